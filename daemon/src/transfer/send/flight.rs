//! Chunks on their way: which link each is leased to, and which must go again because their link
//! died or the transfer moved to another session.

use std::collections::{HashMap, VecDeque};

use super::reader::{Chunk, ChunkId};
use crate::peer::{LinkId, LinkKind};

/// The most chunks that are neither stored at the receiver nor waiting to be read: 32 MiB.
pub(crate) const WINDOW: usize = 32;
/// How often a chunk is sent again because it was not stored as it is.
const MAX_DAMAGED: u8 = 3;

/// A chunk was stored wrong again and again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Corrupt;

/// The chunks that the receiver has not acknowledged, and the links `L` that they were leased to.
#[derive(Debug)]
pub(crate) struct Flight<L = LinkId> {
    chunks: HashMap<ChunkId, Flying<L>>,
    /// Chunks to hand to a link, oldest first.
    ready: VecDeque<ChunkId>,
}

#[derive(Debug)]
struct Flying<L> {
    chunk: Chunk,
    /// How often it was stored with another chaining value.
    damaged: u8,
    link: Option<(L, LinkKind)>,
}

impl<L> Default for Flight<L> {
    fn default() -> Self {
        Self { chunks: HashMap::new(), ready: VecDeque::new() }
    }
}

impl<L: Copy> Flight<L> {
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
        self.chunks.insert(chunk.id, Flying { chunk, damaged: 0, link: None });
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
    pub(crate) fn leased(&mut self, id: ChunkId, link: L, kind: LinkKind) {
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
    pub(crate) fn keep_links(&mut self, live: impl Fn(L) -> bool) {
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
    /// goes again, but not for ever.
    pub(crate) fn stored(
        &mut self,
        id: ChunkId,
        cv: Option<[u8; 32]>,
    ) -> Result<Option<(u64, Option<LinkKind>)>, Corrupt> {
        let Some(flying) = self.chunks.get_mut(&id) else { return Ok(None) };
        if flying.chunk.cv != cv {
            flying.damaged += 1;
            if flying.damaged > MAX_DAMAGED {
                return Err(Corrupt);
            }
            self.again(id);
            return Ok(None);
        }
        let Some(flying) = self.chunks.remove(&id) else { return Ok(None) };
        Ok(Some((flying.chunk.len, flying.link.map(|(_, kind)| kind))))
    }

    /// Drops what belongs to a file that is given up.
    pub(crate) fn forget_file(&mut self, file: u64) {
        self.chunks
            .retain(|id, _| !matches!(id, ChunkId::Block { file: other, .. } if *other == file));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;

    use super::*;

    const CV: Option<[u8; 32]> = Some([1; 32]);

    fn block(file: u64, block: u32) -> Chunk {
        let id = ChunkId::Block { file, revision: 0, block };
        Chunk { id, head: Bytes::new(), content: Bytes::from_static(b"abc"), len: 3, cv: CV }
    }

    fn flight(chunks: u32) -> Flight<u64> {
        let mut flight = Flight::default();
        (0..chunks).for_each(|n| flight.add(block(0, n)));
        flight
    }

    fn ready(flight: &mut Flight<u64>) -> Vec<ChunkId> {
        std::iter::from_fn(|| flight.next_ready()).map(|chunk| chunk.id).collect()
    }

    #[test]
    fn the_window_has_room_again_when_a_chunk_is_stored_once() {
        let mut flight = flight(32);
        assert!(!flight.has_room());
        let id = block(0, 0).id;
        flight.leased(id, 1, LinkKind::Lan);
        assert_eq!(flight.stored(id, CV), Ok(Some((3, Some(LinkKind::Lan)))));
        assert!(flight.has_room());
        assert_eq!(flight.stored(id, CV), Ok(None), "a second acknowledgement counts nothing");
        assert_eq!(ready(&mut flight).len(), 31, "what is stored is not sent any more");
    }

    #[test]
    fn what_was_on_a_dead_link_goes_again_once() {
        let mut flight = flight(3);
        let ids = ready(&mut flight);
        flight.leased(ids[0], 1, LinkKind::Lan);
        flight.leased(ids[1], 2, LinkKind::Lan);
        flight.keep_links(|link| link == 2);
        flight.keep_links(|link| link == 2);
        flight.again(ids[0]);
        assert_eq!(ready(&mut flight), [ids[0]], "the third has no link yet");
    }

    #[test]
    fn another_session_gets_everything_again() {
        let mut flight = flight(3);
        let ids = ready(&mut flight);
        flight.leased(ids[0], 1, LinkKind::Lan);
        flight.stored(ids[2], CV).unwrap();
        flight.restart();
        flight.keep_links(|_| false);
        let mut again = ready(&mut flight);
        again.sort_by_key(|id| ids.iter().position(|other| other == id));
        assert_eq!(again, ids[..2]);
    }

    #[test]
    fn a_chunk_stored_wrong_goes_again_a_few_times() {
        let mut flight = flight(1);
        let id = ready(&mut flight)[0];
        for _ in 0..3 {
            assert_eq!(flight.stored(id, Some([2; 32])), Ok(None));
            assert_eq!(ready(&mut flight), [id]);
        }
        assert_eq!(flight.stored(id, None), Err(Corrupt));
    }

    #[test]
    fn a_file_that_is_given_up_is_forgotten_and_no_other() {
        let mut flight = flight(2);
        flight.add(block(1, 0));
        flight.add(Chunk { id: ChunkId::Pack(0), cv: None, ..block(0, 0) });
        assert!(flight.holds_file(0));
        flight.forget_file(0);
        assert!(!flight.holds_file(0) && flight.holds_file(1));
        assert_eq!(ready(&mut flight), [block(1, 0).id, ChunkId::Pack(0)]);
        flight.again(block(0, 0).id);
        assert!(ready(&mut flight).is_empty());
    }
}
