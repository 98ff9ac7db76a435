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
            EntryKind::File { .. } | EntryKind::Symlink { .. } => &mut self.links,
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
