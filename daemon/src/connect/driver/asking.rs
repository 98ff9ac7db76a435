//! What is asked of servers on the main socket besides what candidates need: for whoever examines the
//! network.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use filefleet_server::protos::stun::TransactionId;
use tokio::{sync::oneshot, time::timeout};

use super::{Command, Connector, SERVERS, keys::transaction};
use crate::connect::candidate::Network;

/// Requests that may wait for an answer; more get none.
const MAX_WAITING: usize = 64;
/// How long each of the requests to one address is waited for: one packet may be lost, and a second
/// one late.
const PATIENCE: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(600), Duration::from_millis(1100)];

/// A STUN response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Where it came from.
    pub source: SocketAddr,
    /// Where the request had come from, as the answering side saw it.
    pub mapped: SocketAddr,
}

/// What the driver knows without asking anybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The interfaces.
    pub network: Network,
    /// The address that the router has given us.
    pub mapped: Option<SocketAddr>,
}

/// A response that somebody waits for.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Who is to be asked for it; `None` if it comes without that.
    pub(super) remote: Option<SocketAddr>,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// The responses that are waited for.
#[derive(Debug, Default)]
pub(super) struct Asking(HashMap<TransactionId, Waiting>);

impl Asking {
    /// Whether there was room.
    pub(super) fn wait(&mut self, id: TransactionId, waiting: Waiting) -> bool {
        self.0.retain(|_, waiting| !waiting.reply.is_closed());
        let has_room = self.0.len() < MAX_WAITING;
        if has_room {
            self.0.insert(id, waiting);
        }
        has_room
    }

    /// A response: it counts if it comes from whoever was asked, or nobody was.
    pub(super) fn on_response(&mut self, id: &TransactionId, answer: Answer) {
        let expected =
            |waiting: &Waiting| waiting.remote.is_none_or(|remote| remote == answer.source);
        if self.0.get(id).is_some_and(expected)
            && let Some(waiting) = self.0.remove(id)
        {
            // Whoever asked may have given up.
            let _ = waiting.reply.send(answer);
        }
    }
}

impl Connector {
    /// What is known without asking anybody; `None` once the driver has ended.
    pub async fn surroundings(&self) -> Option<Surroundings> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Surroundings(reply)).await.ok()?;
        answer.await.ok()
    }

    /// A new transaction of which a response may come from anywhere.
    pub async fn expect_response(&self) -> (TransactionId, oneshot::Receiver<Answer>) {
        self.wait_for(None).await
    }

    /// Asks a server, more than once if need be, where it sees the main socket, and how long that
    /// took; `None` if it does not answer.
    pub async fn ask(&self, server: SocketAddr) -> Option<(Answer, Duration)> {
        for patience in PATIENCE {
            let asked = Instant::now();
            let (_, answer) = self.wait_for(Some(server)).await;
            if let Ok(Ok(answer)) = timeout(patience, answer).await {
                return Some((answer, asked.elapsed()));
            }
        }
        None
    }

    async fn wait_for(
        &self,
        remote: Option<SocketAddr>,
    ) -> (TransactionId, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let id = transaction(SERVERS);
        // A driver that has ended lets the reply drop.
        let _ = self.commands.send(Command::Wait(id, Waiting { remote, reply })).await;
        (id, answer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn answer(source: &str) -> Answer {
        Answer { source: source.parse().unwrap(), mapped: "192.0.2.1:1".parse().unwrap() }
    }

    #[test]
    fn who_was_asked_must_answer_and_anybody_may_where_nobody_was() {
        let mut asking = Asking::default();
        let (reply, mut asked) = oneshot::channel();
        let remote = Some("192.0.2.9:9".parse().unwrap());
        assert!(asking.wait([1; 12], Waiting { remote, reply }));
        let (reply, mut expected) = oneshot::channel();
        assert!(asking.wait([2; 12], Waiting { remote: None, reply }));
        asking.on_response(&[1; 12], answer("192.0.2.9:8"));
        asking.on_response(&[3; 12], answer("192.0.2.9:9"));
        assert!(asked.try_recv().is_err() && expected.try_recv().is_err());
        asking.on_response(&[1; 12], answer("192.0.2.9:9"));
        asking.on_response(&[2; 12], answer("192.0.2.9:8"));
        assert_eq!(asked.try_recv().unwrap(), answer("192.0.2.9:9"));
        assert_eq!(expected.try_recv().unwrap(), answer("192.0.2.9:8"));
    }

    #[test]
    fn what_waits_is_bounded_and_who_gave_up_makes_room() {
        let mut asking = Asking::default();
        let mut receivers: Vec<_> = (0..=u8::try_from(MAX_WAITING).unwrap())
            .map(|number| {
                let (reply, receiver) = oneshot::channel();
                let waits = asking.wait([number; 12], Waiting { remote: None, reply });
                assert_eq!(waits, usize::from(number) < MAX_WAITING);
                receiver
            })
            .collect();
        receivers.truncate(3);
        let (reply, _receiver) = oneshot::channel();
        assert!(asking.wait([99; 12], Waiting { remote: None, reply }));
        assert_eq!(asking.0.len(), 4);
    }
}
