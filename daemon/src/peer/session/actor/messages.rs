//! Messages of a session in both directions.

use std::{ops::ControlFlow, time::Instant};

use bytes::Bytes;

use super::{
    super::super::{
        CloseReason,
        frame::{Frame, Kind},
        mailbox::Violation,
    },
    Ending, Flow, SessionActor,
};
use crate::connect::offer::Offer;

impl SessionActor {
    pub(super) fn on_frame(&mut self, frame: Frame) -> Flow {
        let valid = match frame {
            Frame::Message(message) => self.inbox.receive(message),
            Frame::Ack(next) => self.outbox.acked(next),
            Frame::Hello(_) => Err(Violation),
        };
        if valid.is_err() {
            return ControlFlow::Break(Ending::Closed(CloseReason::Protocol));
        }
        self.take_signals();
        self.flush();
        ControlFlow::Continue(())
    }

    pub(super) fn on_delivered(&mut self) -> Flow {
        self.take_signals();
        self.links.acknowledge(self.inbox.acknowledged(), Instant::now());
        ControlFlow::Continue(())
    }

    /// Reads what is the session's own, up to the next message of the engine.
    fn take_signals(&mut self) {
        while let Some(kind) = self.inbox.next_kind().filter(|kind| *kind != Kind::ENGINE) {
            let body = self.inbox.pop().filter(|_| kind == Kind::SIGNAL);
            if let Some(offer) = body.and_then(Offer::decode)
                && self.direct.on_offer(offer)
            {
                self.on_offered_anew();
            }
            self.links.acknowledge(self.inbox.acknowledged(), Instant::now());
        }
    }

    pub(super) fn say(&mut self, kind: Kind, body: Bytes) -> Flow {
        self.outbox.push(kind, body);
        self.flush();
        ControlFlow::Continue(())
    }

    pub(super) fn flush(&mut self) {
        let now = Instant::now();
        while let Some(message) = self.outbox.unsent() {
            let seq = message.seq;
            let Some(link) = self.links.send(message, now) else {
                return;
            };
            self.outbox.sent(seq, link);
        }
    }
}
