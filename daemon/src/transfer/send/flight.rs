//! Chunks on their way: which link each is leased to, and which must go again because their link
//! died or the transfer moved to another session.

use std::collections::{HashMap, VecDeque};

use super::reader::{Chunk, ChunkId};
use crate::peer::{LinkId, LinkKind};

/// The most chunks that are neither stored at the receiver nor waiting to be read: 32 MiB.
pub(crate) const WINDOW: usize = 32;

/// The chunks that the receiver has not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    chunks: HashMap<ChunkId, Flying>,
    /// Chunks to hand to a link, oldest first.
    ready: VecDeque<ChunkId>,
}

#[derive(Debug)]
struct Flying {
    chunk: Chunk,
    link: Option<(LinkId, LinkKind)>,
}

impl Flight {
    pub(crate) fn has_room(&self) -> bool {
        self.chunks.len() < WINDOW
    }

    /// Whether a block of this file is on its way.
    pub(crate) fn holds_file(&self, file: u64) -> bool {
        self.chunks
            .keys()
            .any(|id| matches!(id, ChunkId::Block { file: other, .. } if *other == file))
    }

    pub(crate) fn add(&mut self, chunk: Chunk) {
        self.ready.push_back(chunk.id);
        self.chunks.insert(chunk.id, Flying { chunk, link: None });
    }

    /// The next chunk to send.
    pub(crate) fn next_ready(&mut self) -> Option<Chunk> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(flying) = self.chunks.get(&id) {
                return Some(flying.chunk.clone());
            }
        }
        None
    }

    /// A chunk was handed to a link.
    pub(crate) fn leased(&mut self, id: ChunkId, link: LinkId, kind: LinkKind) {
        if let Some(flying) = self.chunks.get_mut(&id) {
            flying.link = Some((link, kind));
        }
    }

    /// A chunk must go again.
    pub(crate) fn again(&mut self, id: ChunkId) {
        if let Some(flying) = self.chunks.get_mut(&id) {
            flying.link = None;
            if !self.ready.contains(&id) {
                self.ready.push_back(id);
            }
        }
    }

    /// Everything on a link that is not among the live ones must go again.
    pub(crate) fn keep_links(&mut self, live: impl Fn(LinkId) -> bool) {
        let lost: Vec<_> = self
            .chunks
            .iter()
            .filter(|(_, flying)| flying.link.is_some_and(|(link, _)| !live(link)))
            .map(|(id, _)| *id)
            .collect();
        lost.into_iter().for_each(|id| self.again(id));
    }

    /// Everything must go again, in another session.
    pub(crate) fn restart(&mut self) {
        self.ready = self.chunks.keys().copied().collect();
        self.chunks.values_mut().for_each(|flying| flying.link = None);
    }

    /// The receiver has stored a chunk: its length and the kind of link that carried it. `None` if it
    /// is not on its way (acknowledged before) or was stored with another chaining value; then it
    /// goes again.
    pub(crate) fn stored(
        &mut self,
        id: ChunkId,
        cv: Option<[u8; 32]>,
    ) -> Option<(u64, Option<LinkKind>)> {
        let flying = self.chunks.get(&id)?;
        if flying.chunk.cv != cv {
            self.again(id);
            return None;
        }
        let flying = self.chunks.remove(&id)?;
        Some((flying.chunk.content.len() as u64, flying.link.map(|(_, kind)| kind)))
    }

    /// Drops what belongs to a file that is given up.
    pub(crate) fn forget_file(&mut self, file: u64) {
        self.chunks
            .retain(|id, _| !matches!(id, ChunkId::Block { file: other, .. } if *other == file));
    }
}
