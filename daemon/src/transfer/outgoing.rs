//! Control messages that wait for their turn on a session, so that a transfer never stops listening
//! while it speaks.

use std::collections::VecDeque;

use super::proto::{Ack, Envelope, MAX_ACKS, MAX_PACK_ENTRIES, Message, TransferId};
use crate::peer::{CloseReason, Session, SessionClosed};

/// More waiting messages than an honest peer can cause by not reading for a while: each of the chunks
/// in flight may be a pack, and each of its entries a file that cannot be stored.
const MAX_WAITING: usize = 33 * MAX_PACK_ENTRIES as usize;

/// A queue of messages of one transfer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    transfer: TransferId,
    queue: VecDeque<Message>,
}

impl Outgoing {
    pub(crate) fn new(transfer: TransferId) -> Self {
        Self { transfer, queue: VecDeque::new() }
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.queue.push_back(message);
    }

    /// Queues an acknowledgement, in the message of the one before where that still waits.
    pub(crate) fn push_ack(&mut self, ack: Ack) {
        match self.queue.back_mut() {
            Some(Message::Acked(acks)) if acks.len() < usize::from(MAX_ACKS) => acks.push(ack),
            _ => self.queue.push_back(Message::Acked(vec![ack])),
        }
    }

    /// Queues a count of what is durable, in place of the one before where that still waits.
    pub(crate) fn push_delivered(&mut self, files: u64, bytes: u64) {
        self.queue.retain(|message| !matches!(message, Message::Delivered { .. }));
        self.queue.push_back(Message::Delivered { files, bytes });
    }

    /// Queues a count of what replaced something, in place of the one before where that still waits.
    pub(crate) fn push_placed(&mut self, replaced: u64, beside: u64) {
        self.queue.retain(|message| !matches!(message, Message::Placed { .. }));
        self.queue.push_back(Message::Placed { replaced, beside });
    }

    /// The message that goes last.
    pub(crate) fn last(&self) -> Option<&Message> {
        self.queue.back()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the peer lets more wait than it may.
    pub(crate) fn is_overfull(&self) -> bool {
        self.queue.len() > MAX_WAITING
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Hands the first message to the session. Cancel-safe: a message that was not handed over stays
    /// the first.
    pub(crate) async fn flush_one(&mut self, session: &Session) -> Result<(), SessionClosed> {
        let Some(message) = self.queue.front() else { return Ok(()) };
        let envelope = Envelope { transfer: self.transfer, message: message.clone() };
        session.send(envelope.encode().into()).await?;
        self.queue.pop_front();
        Ok(())
    }

    /// Hands everything to the session.
    pub(crate) async fn flush(&mut self, session: &Session) -> Result<(), SessionClosed> {
        while !self.queue.is_empty() {
            self.flush_one(session).await?;
        }
        Ok(())
    }
}

/// Why the session was closed, once it is; never without a session.
pub(crate) async fn closed(session: Option<&Session>) -> CloseReason {
    match session {
        Some(session) => session.closed().await,
        None => std::future::pending().await,
    }
}

/// Hands one message to the session; never ends without a session.
pub(crate) async fn flush_one(outgoing: &mut Outgoing, session: Option<&Session>) {
    let sent = match session {
        Some(session) => outgoing.flush_one(session).await.is_ok(),
        None => false,
    };
    if !sent {
        // The session's end is seen by `closed`; a failed attempt must not be repeated at once.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing() -> Outgoing {
        Outgoing::new(TransferId([1; 16]))
    }

    #[test]
    fn acknowledgements_share_a_message_in_order_and_up_to_its_bound() {
        let mut outgoing = outgoing();
        let ack = |number| Ack::Pack { number };
        (0..300).for_each(|number| outgoing.push_ack(ack(number)));
        outgoing.push(Message::Finish { entries: 1 });
        outgoing.push_ack(ack(300));
        let acks: Vec<_> = (0..301).map(ack).collect();
        let (first, rest) = acks.split_at(MAX_ACKS.into());
        let expected = [
            Message::Acked(first.to_vec()),
            Message::Acked(rest[..44].to_vec()),
            Message::Finish { entries: 1 },
            Message::Acked(rest[44..].to_vec()),
        ];
        assert!(outgoing.queue.iter().eq(&expected));
        assert_eq!(outgoing.last(), Some(&expected[3]));
    }

    #[test]
    fn only_the_last_count_of_what_is_durable_waits() {
        let mut outgoing = outgoing();
        outgoing.push_delivered(1, 10);
        outgoing.push_ack(Ack::Pack { number: 0 });
        outgoing.push_delivered(2, 20);
        assert_eq!(outgoing.len(), 2);
        assert_eq!(outgoing.last(), Some(&Message::Delivered { files: 2, bytes: 20 }));
    }

    #[test]
    fn every_file_of_the_packs_in_flight_may_fail_and_no_more() {
        let mut outgoing = outgoing();
        let most = 32 * usize::from(MAX_PACK_ENTRIES);
        (0..most).for_each(|_| outgoing.push(Message::Finish { entries: 0 }));
        assert!(!outgoing.is_overfull());
        (0..most).for_each(|_| outgoing.push(Message::Finish { entries: 0 }));
        assert!(outgoing.is_overfull());
        outgoing.clear();
        assert!(outgoing.is_empty());
    }
}
