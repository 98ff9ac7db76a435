//! Calling a peer again when the relayed link of a session that is needed has died.

use std::time::{Duration, Instant};

use filefleet_server::{
    client::{self, Call, Client},
    protos::name::Name,
};
use tokio::{task::JoinSet, time::sleep};

/// The side that does not call again first waits so long for the other one's call.
const CALL_BACK: Duration = Duration::from_millis(1500);
/// Between two attempts: doubled from the first to the last.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// At most one call at a time, ever less often while they come to nothing.
#[derive(Debug)]
pub(super) struct Recall {
    calls: JoinSet<Result<Call, client::Error>>,
    next: Instant,
    pause: Duration,
    /// Whether this side knows best that it is time to call, whoever is first otherwise.
    hurried: bool,
}

impl Default for Recall {
    fn default() -> Self {
        Self { calls: JoinSet::new(), next: Instant::now(), pause: PAUSE, hurried: false }
    }
}

impl Recall {
    /// Calls, unless that is under way or was tried a moment ago. One of the two sides is first.
    pub(super) fn start(&mut self, client: &Client, name: &Name, first: bool) {
        let now = Instant::now();
        if now < self.next || !self.calls.is_empty() {
            return;
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        let first = first || self.hurried;
        let (client, name) = (client.clone(), name.clone());
        self.calls.spawn(async move {
            if !first {
                sleep(CALL_BACK).await;
            }
            client.call(&name).await
        });
    }

    /// Somebody else calls already: not before this, unless the network changes.
    pub(super) fn put_off(&mut self, until: Instant) {
        self.next = self.next.max(until);
    }

    /// The network has changed: what came to nothing may be possible now.
    pub(super) fn hurry(&mut self) {
        self.calls.abort_all();
        (self.next, self.pause, self.hurried) = (Instant::now(), PAUSE, true);
    }

    /// There is a relayed link again, whoever called.
    pub(super) fn succeeded(&mut self) {
        self.calls.abort_all();
        (self.pause, self.hurried) = (PAUSE, false);
    }

    /// Whether a call may still bring a link.
    pub(super) fn is_under_way(&self) -> bool {
        !self.calls.is_empty()
    }

    /// What a call has come to; waits while there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Call, client::Error> {
        loop {
            match self.calls.join_next().await {
                Some(Ok(called)) => return called,
                // Aborted, because a link came up otherwise.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::peer::tests::support::{TestServer, User};

    #[tokio::test]
    async fn nobody_is_called_while_somebody_else_calls() {
        let server = TestServer::start();
        let alice = User::start("alice", 1, &server).await;
        let bob = "bob".parse().unwrap();
        let mut recall = Recall::default();
        recall.put_off(Instant::now() + Duration::from_secs(600));
        recall.start(&alice.client, &bob, true);
        assert!(!recall.is_under_way());
        recall.hurry();
        recall.start(&alice.client, &bob, true);
        assert!(recall.is_under_way());
    }
}
