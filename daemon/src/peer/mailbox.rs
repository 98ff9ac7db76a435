//! Messages of a session: numbered, acknowledged, sent again over another link when one dies,
//! delivered in order and once. No clock, no task, no socket.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{
    LinkId,
    frame::{Kind, MAX_MESSAGE, Message},
};

/// Messages without acknowledgement, at most; the sender waits beyond it.
pub(super) const WINDOW: usize = 256;
/// Their bytes, at most, but for the last message.
const WINDOW_BYTES: usize = 1 << 20;

/// The other side broke the numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer broke the numbering of messages")]
pub(super) struct Violation;

/// The sending half: what has been said and not yet been acknowledged.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    next: u64,
    bytes: usize,
    unacked: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    message: Message,
    sent_over: Option<LinkId>,
}

impl Outbox {
    /// Whether another message may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.unacked.len() < WINDOW && self.bytes < WINDOW_BYTES
    }

    /// Takes a message and numbers it. The session's own messages are few and need no room.
    pub(super) fn push(&mut self, kind: Kind, body: Bytes) {
        self.bytes += body.len();
        let message = Message { seq: self.next, kind, body };
        self.unacked.push_back(Pending { message, sent_over: None });
        self.next += 1;
    }

    /// The first message that no live link has been given.
    pub(super) fn unsent(&self) -> Option<&Message> {
        let pending = self.unacked.iter().find(|pending| pending.sent_over.is_none());
        pending.map(|pending| &pending.message)
    }

    /// The message `seq` has been given to `link`.
    pub(super) fn sent(&mut self, seq: u64, link: LinkId) {
        if let Some(pending) = self.unacked.iter_mut().find(|p| p.message.seq == seq) {
            pending.sent_over = Some(link);
        }
    }

    /// Whatever `link` was given and has not been acknowledged counts as unsent again.
    pub(super) fn link_lost(&mut self, link: LinkId) {
        for pending in &mut self.unacked {
            pending.sent_over.take_if(|over| *over == link);
        }
    }

    /// The peer has everything below `next`.
    pub(super) fn acked(&mut self, next: u64) -> Result<(), Violation> {
        if next > self.next {
            return Err(Violation);
        }
        while let Some(first) = self.unacked.front().filter(|p| p.message.seq < next) {
            // What has never been sent cannot have been received.
            self.bytes -= first.message.body.len();
            self.unacked.pop_front();
        }
        Ok(())
    }
}

/// The receiving half: what came out of order, and what is next.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    next: u64,
    waiting: BTreeMap<u64, Message>,
}

impl Inbox {
    /// Takes a message from any link; a duplicate is ignored. A peer that keeps to the window
    /// never has more than [`WINDOW`] messages in flight, nor many more bytes than it allows.
    pub(super) fn receive(&mut self, message: Message) -> Result<(), Violation> {
        if message.seq < self.next {
            return Ok(());
        }
        let ahead = message.seq - self.next;
        let held: usize = self.waiting.values().map(|message| message.body.len()).sum();
        let slack = 2 * MAX_MESSAGE;
        if ahead >= 2 * WINDOW as u64 || held > WINDOW_BYTES + slack {
            return Err(Violation);
        }
        self.waiting.entry(message.seq).or_insert(message);
        Ok(())
    }

    /// Whose turn it is, if the next message is here.
    pub(super) fn next_kind(&self) -> Option<Kind> {
        self.waiting.get(&self.next).map(|message| message.kind)
    }

    /// Hands out the next message, if it is here.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let message = self.waiting.remove(&self.next)?;
        self.next += 1;
        Some(message.body)
    }

    /// What to acknowledge: everything below this has been handed out.
    pub(super) fn acknowledged(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const A: LinkId = LinkId(1);
    const B: LinkId = LinkId(2);

    fn text(n: u64) -> Bytes {
        Bytes::from(n.to_string())
    }

    fn send_all(outbox: &mut Outbox, link: LinkId) -> Vec<Message> {
        let mut sent = Vec::new();
        while let Some(message) = outbox.unsent().cloned() {
            outbox.sent(message.seq, link);
            sent.push(message);
        }
        sent
    }

    fn drain(inbox: &mut Inbox) -> Vec<Bytes> {
        std::iter::from_fn(|| inbox.pop()).collect()
    }

    #[test]
    fn a_dead_links_messages_go_over_another_and_arrive_once() {
        let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
        (0..4).for_each(|n| outbox.push(Kind::ENGINE, text(n)));
        let first = send_all(&mut outbox, A);
        for message in first.into_iter().take(2) {
            inbox.receive(message).unwrap();
        }
        assert_eq!(drain(&mut inbox), [text(0), text(1)]);
        outbox.acked(1).unwrap();
        outbox.link_lost(A);
        for message in send_all(&mut outbox, B) {
            inbox.receive(message).unwrap();
        }
        assert_eq!(drain(&mut inbox), [text(2), text(3)]);
        outbox.acked(inbox.acknowledged()).unwrap();
        assert!(outbox.unacked.is_empty());
    }

    #[test]
    fn a_full_window_asks_the_sender_to_wait() {
        let mut outbox = Outbox::default();
        while outbox.has_room() {
            outbox.push(Kind::ENGINE, Bytes::new());
        }
        assert_eq!(outbox.unacked.len(), WINDOW);
        outbox.acked(1).unwrap();
        assert!(outbox.has_room());
        let mut outbox = Outbox::default();
        while outbox.has_room() {
            outbox.push(Kind::ENGINE, Bytes::from(vec![0; MAX_MESSAGE]));
        }
        assert!(outbox.bytes < WINDOW_BYTES + MAX_MESSAGE);
    }

    #[test]
    fn a_peer_that_breaks_the_numbering_is_found_out() {
        let mut outbox = Outbox::default();
        outbox.push(Kind::ENGINE, text(0));
        assert_eq!(outbox.acked(2), Err(Violation));
        let mut inbox = Inbox::default();
        let far = Message { seq: 100_000, kind: Kind::ENGINE, body: text(0) };
        assert_eq!(inbox.receive(far), Err(Violation));
        let heavy = |seq| Message { seq, kind: Kind::ENGINE, body: vec![0; MAX_MESSAGE].into() };
        assert!((1..400).any(|seq| inbox.receive(heavy(seq)).is_err()));
    }

    proptest! {
        #[test]
        fn any_order_of_arrival_is_delivered_in_order_and_once(order in Just((0..50u64).collect::<Vec<_>>()).prop_shuffle(), again in proptest::collection::vec(0..50u64, 0..50)) {
            let mut inbox = Inbox::default();
            let mut delivered = Vec::new();
            for seq in order.into_iter().chain(again) {
                inbox.receive(Message { seq, kind: Kind::ENGINE, body: text(seq) }).unwrap();
                delivered.extend(drain(&mut inbox));
            }
            prop_assert_eq!(delivered, (0..50).map(text).collect::<Vec<_>>());
        }
    }
}
