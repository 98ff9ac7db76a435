//! Examining the network for `ffctl doctor`.

use std::sync::Arc;

use filefleet_ctl::proto::Reply;

use super::{Answer, Daemon};
use crate::control::doctor as words;
use crate::doctor::{self, Subject};

impl Daemon {
    /// Looks at the network and the way to the server, beside the loop; one examination at a time.
    pub(crate) fn examine(&self, answer: Answer) {
        let name = self.settings.name();
        let subject = Subject {
            connector: self.peers.connector(),
            server: self.settings.server().zip(self.rendezvous.clone()),
            map_port: self.settings.map_port(),
            guess_ports: self.settings.guess_ports(),
        };
        let turns = Arc::clone(&self.examinations);
        self.spawn(async move {
            // It is never closed.
            let _turn = turns.acquire().await;
            let examination = doctor::examine(subject).await;
            let view = words::view(name.as_ref(), &examination);
            // A client that is gone does not need it.
            let _ = answer.send(Ok(Reply::Doctor(Box::new(view))));
            None
        });
    }
}
