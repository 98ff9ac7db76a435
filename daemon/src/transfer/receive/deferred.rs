//! Folders and symbolic links that wait for the end of a transfer, in few bytes each and never in
//! more than a fixed number of bytes.

use crate::transfer::entry::{Entry, EntryKind};
use crate::transfer::proto::{Reader, put_entry, read_entry};

/// The most bytes that may wait: about half a million folders.
const MAX_BYTES: usize = 32 << 20;
/// Encoded bytes that end a batch: an entry with many small attributes takes far more once it is read.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// What waits for the end.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    table: Vec<u8>,
    places: Vec<Place>,
}

/// Where an entry lies in the table. Ordered as they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Links have the lowest, and of two folders the deeper one.
    rank: u32,
    offset: u32,
    len: u32,
}

impl Deferred {
    /// Adds an entry; false if there is no more room.
    pub(super) fn push(&mut self, index: u64, entry: &Entry) -> bool {
        let depth = u32::try_from(entry.path.components().count()).unwrap_or(u32::MAX);
        let rank = match entry.kind {
            EntryKind::Directory => u32::MAX - depth,
            EntryKind::File { .. } | EntryKind::Symlink { .. } | EntryKind::HardLink { .. } => 0,
        };
        let before = self.table.len();
        self.table.extend_from_slice(&index.to_be_bytes());
        put_entry(&mut self.table, entry);
        let [offset, len] = [before, self.table.len() - before]
            .map(|number| u32::try_from(number).expect("it is bounded below"));
        self.places.push(Place { rank, offset, len });
        self.table.len() + size_of_val(&self.places[..]) <= MAX_BYTES
    }

    /// Gives everything in batches of at most `most`, each read when it is its turn: first the links,
    /// then the folders, the deepest first.
    pub(super) fn take_batches(
        &mut self,
        most: usize,
    ) -> impl Iterator<Item = Vec<(u64, Entry)>> + use<> {
        let Self { table, mut places } = std::mem::take(self);
        places.sort_unstable();
        let mut places = places.into_iter().peekable();
        std::iter::from_fn(move || {
            // A folder's time is set when nothing is put into it any more.
            let are_links = places.peek()?.rank == 0;
            let of_same_kind = |place: &Place| (place.rank == 0) == are_links;
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < most && bytes < MAX_BATCH_BYTES {
                let Some(place) = places.next_if(of_same_kind) else { break };
                bytes += place.len as usize;
                batch.extend(read(&table, place));
            }
            Some(batch)
        })
    }
}

fn read(table: &[u8], Place { offset, .. }: Place) -> Option<(u64, Entry)> {
    let mut reader = Reader::new(table.get(offset as usize..)?);
    Some((reader.u64().ok()?, read_entry(&mut reader).ok()?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::transfer::entry::Attribute;
    use crate::transfer::testing::{folder, symlink};

    #[test]
    fn links_come_first_and_the_deepest_folders_before_their_parents() {
        let mut deferred = Deferred::default();
        for (index, entry) in [folder("a"), symlink("a/link", "to"), folder("a/b/c"), folder("a/b")]
            .iter()
            .enumerate()
        {
            assert!(deferred.push(index as u64, entry));
        }
        let batches: Vec<_> = deferred.take_batches(2).collect();
        let indices: Vec<Vec<u64>> =
            batches.iter().map(|batch| batch.iter().map(|(index, _)| *index).collect()).collect();
        assert_eq!(indices, [vec![1], vec![2, 3], vec![0]]);
        assert_eq!(batches[0][0].1, symlink("a/link", "to"));
        assert_eq!(deferred.take_batches(2).count(), 0);
    }

    #[test]
    fn of_entries_that_take_much_few_are_read_at_a_time() {
        let mut deferred = Deferred::default();
        let value = vec![0; 15 << 10];
        let mut entry = folder("a");
        entry.attributes.push(Attribute { name: b"user.a".to_vec(), value }).unwrap();
        assert!((0..1_000).all(|index| deferred.push(index, &entry)));
        let lens: Vec<_> = deferred.take_batches(1_000).map(|batch| batch.len()).collect();
        assert!(lens.iter().all(|len| *len < 100), "{lens:?}");
        assert_eq!(lens.iter().sum::<usize>(), 1_000);
    }

    #[test]
    fn no_more_waits_than_fits_the_bound() {
        let mut deferred = Deferred::default();
        let entry = folder(&vec!["x".repeat(255); 15].join("/"));
        let taken = (0..20_000).take_while(|index| deferred.push(*index, &entry)).count();
        assert!((8_000..9_000).contains(&taken), "{taken}");
    }
}
