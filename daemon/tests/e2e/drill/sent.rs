//! How much of a transfer was sent more than once, as far as it can be known from outside.

use rusqlite::Connection;
use serde_json::Value;

use super::Victim;
use crate::support::{Pair, Watching};

/// What is watched of both sides.
pub(super) struct Sent {
    sender: Option<Watching>,
    receiver: Option<Watching>,
    /// What a sender that was killed had sent, at least, beyond what it had written down.
    unwritten: u64,
}

impl Sent {
    pub(super) fn watch(pair: &Pair) -> Self {
        let (sender, receiver) = (Some(pair.alice.watch()), Some(pair.bob.watch()));
        Self { sender, receiver, unwritten: 0 }
    }

    /// Notes what a sender had sent that was just killed: no less than it said last, and than had
    /// arrived. (What it had sent since and has not arrived is the window at most.)
    pub(super) fn killed(&mut self, pair: &Pair, id: &str, victims: &[Victim]) {
        if !victims.contains(&Victim::Sender) {
            return;
        }
        let said = last(self.sender.take(), id).map_or(0, |it| number(&it["sent_bytes"]));
        let at_receiver = match victims.contains(&Victim::Receiver) {
            true => last(self.receiver.take(), id),
            false => pair.bob.transfers().into_iter().find(|transfer| transfer["id"] == id),
        };
        let arrived = at_receiver.map_or(0, |it| number(&it["bytes_done"]));
        self.unwritten = said.max(arrived).saturating_sub(written(pair, id));
    }

    /// Bytes that were sent again, when all is `done`.
    pub(super) fn again(&self, done: &Value) -> u64 {
        let sent = number(&done["sent_bytes"]) + self.unwritten;
        // Blocks of zeros are not sent as such.
        sent.saturating_sub(number(&done["bytes"]))
    }
}

/// The last that was said of a transfer to somebody who watched to the end.
fn last(watching: Option<Watching>, id: &str) -> Option<Value> {
    watching?.rest("transfer").into_iter().rfind(|transfer| transfer["id"] == id)
}

/// What a sender that does not run has written down of what it sent.
fn written(pair: &Pair, id: &str) -> u64 {
    let database = Connection::open(pair.alice.database()).unwrap();
    let mut rows = database.prepare("SELECT view FROM transfers").unwrap();
    let views = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let views = views.map(|view| serde_json::from_str::<Value>(&view.unwrap()).unwrap());
    views.filter(|view| view["id"] == id).map(|view| number(&view["sent_bytes"])).sum()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}
