//! Folders and symbolic links that wait for the end of a transfer, in few bytes each and never in
//! more than a fixed number of bytes.

use crate::transfer::entry::{Entry, EntryKind};
use crate::transfer::proto::{Reader, put_entry, read_entry};

/// The most bytes that may wait: about half a million folders.
const MAX_BYTES: usize = 32 << 20;

/// What waits for the end.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    links: Vec<u8>,
    folders: Vec<u8>,
}

impl Deferred {
    /// Adds an entry; false if there is no more room.
    pub(super) fn push(&mut self, index: u64, entry: &Entry) -> bool {
        let table = match entry.kind {
            EntryKind::Directory => &mut self.folders,
            EntryKind::File { .. } | EntryKind::Symlink { .. } | EntryKind::HardLink { .. } => {
                &mut self.links
            }
        };
        table.extend_from_slice(&index.to_be_bytes());
        put_entry(table, entry);
        self.links.len() + self.folders.len() <= MAX_BYTES
    }

    /// Gives everything in batches of at most `most`: first the links, then the folders, the deepest
    /// first.
    pub(super) fn take_batches(&mut self, most: usize) -> Vec<Vec<(u64, Entry)>> {
        let (links, mut folders) = (read_all(&self.links), read_all(&self.folders));
        *self = Self::default();
        folders.sort_by_cached_key(|(_, entry)| std::cmp::Reverse(entry.path.components().count()));
        let batches = [links, folders];
        batches.iter().flat_map(|entries| entries.chunks(most)).map(<[_]>::to_vec).collect()
    }
}

fn read_all(table: &[u8]) -> Vec<(u64, Entry)> {
    let mut reader = Reader::new(table);
    std::iter::from_fn(|| {
        let index = reader.u64().ok()?;
        Some((index, read_entry(&mut reader).ok()?))
    })
    .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
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
        let batches = deferred.take_batches(2);
        let indices: Vec<Vec<u64>> =
            batches.iter().map(|batch| batch.iter().map(|(index, _)| *index).collect()).collect();
        assert_eq!(indices, [vec![1], vec![2, 3], vec![0]]);
        assert_eq!(batches[0][0].1, symlink("a/link", "to"));
        assert!(deferred.take_batches(2).is_empty());
    }

    #[test]
    fn no_more_waits_than_fits_the_bound() {
        let mut deferred = Deferred::default();
        let entry = folder(&vec!["x".repeat(255); 15].join("/"));
        let taken = (0..20_000).take_while(|index| deferred.push(*index, &entry)).count();
        assert!((8_000..9_000).contains(&taken), "{taken}");
    }
}
