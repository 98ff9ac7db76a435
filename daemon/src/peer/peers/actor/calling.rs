//! Calls of ours: through the server, and at the same time to whoever is on a network here. The first
//! that leads to the person is it; what the other one brings becomes one more link of the session.

use std::{net::SocketAddr, sync::Arc};

use filefleet_server::{
    client::{self, Call},
    protos::{certificate::IdentityKey, name::Name, rendezvous::RefuseReason},
};

use super::{
    super::super::{
        ConnectError, Peer, PeerEvent,
        session::command::{Command, Waiter},
    },
    Actor, Entry,
};

/// Somebody with whom a session is wanted.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    waiting: Vec<Waiting>,
    /// Whether the server is being asked.
    calling: bool,
    /// Whether they are being looked for on networks here.
    looking: bool,
    /// Who was found there.
    nearby: Option<IdentityKey>,
    /// Why the server did not help.
    error: Option<ConnectError>,
}

/// Who waits for a call, and which identity they have pinned.
type Waiting = (Option<IdentityKey>, Waiter);

impl Actor {
    /// Finds the session with this person, or begins to call.
    pub(super) fn find(&mut self, name: Name, expected: Option<IdentityKey>, waiter: Waiter) {
        let mut entries = self.sessions.values();
        let present = entries.find(|entry| *entry.session.name() == name && entry.is_alive());
        if let Some(Entry { session, commands, .. }) = present {
            let found = session.identity();
            if expected.is_some_and(|expected| expected != found) {
                let _ = waiter.send(Err(ConnectError::IdentityChanged { found }));
            } else {
                // A session that is full or ending drops the waiter, who then asks again.
                let _ = commands.try_send(Command::Wait(waiter));
            }
            return;
        }
        self.wanted.entry(name.clone()).or_default().waiting.push((expected, waiter));
        self.look_nearby(&name, expected);
        self.call(&name);
        self.settle(&name);
    }

    /// Asks the server for them, unless that is being done.
    fn call(&mut self, name: &Name) {
        let Some(wanted) = self.wanted.get_mut(name).filter(|wanted| !wanted.calling) else {
            return;
        };
        let Some(client) = self.rendezvous.borrow().clone() else {
            wanted.error = Some(ConnectError::NotRegistered);
            return;
        };
        wanted.calling = true;
        let name = name.clone();
        self.calls.spawn(async move {
            let result = client.call(&name).await;
            (name, result)
        });
    }

    /// Looks for them on networks here, unless that is being done.
    fn look_nearby(&mut self, name: &Name, expected: Option<IdentityKey>) {
        let Some(wanted) = self.wanted.get_mut(name).filter(|wanted| !wanted.looking) else {
            return;
        };
        let Some(peer) = self.local.nearby.named(name, expected) else { return };
        wanted.looking = true;
        let nearby = self.local.nearby.clone();
        self.looks.spawn(async move {
            let remote = nearby.reach(peer.device()).await;
            (peer, remote)
        });
    }

    /// Once nothing more can come of any way, those who wait hear so.
    fn settle(&mut self, name: &Name) {
        let over = |wanted: &Wanted| !wanted.calling && !wanted.looking;
        if !self.wanted.get(name).is_some_and(over) {
            return;
        }
        if let Some(Wanted { waiting, error, .. }) = self.wanted.remove(name) {
            answer_all(waiting, &error.unwrap_or(ConnectError::TimedOut));
        }
    }

    /// It is known whether a contact is on a network here.
    pub(super) fn on_looked(&mut self, peer: &Peer, remote: Option<SocketAddr>) {
        let name = &peer.name;
        let mut waiting = Vec::new();
        if let Some(wanted) = self.wanted.get_mut(name) {
            wanted.looking = false;
            if remote.is_some() {
                waiting = std::mem::take(&mut wanted.waiting);
            }
        }
        let (agreed, others): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|waiting| accepts(waiting, peer.identity()));
        match remote {
            Some(remote) if agreed.is_empty() => self.join_nearby(peer, remote),
            Some(remote) => self.call_nearby(peer, remote, agreed),
            None => {}
        }
        if let Some(wanted) = self.wanted.get_mut(name) {
            // Whoever has pinned another identity waits for the server's word.
            wanted.waiting.extend(others);
        }
        self.settle(name);
    }

    /// The server was faster: if it has led to the same person, this is one more way to them.
    fn join_nearby(&self, peer: &Peer, remote: SocketAddr) {
        let entry = self.sessions.get(&peer.device()).filter(|entry| entry.is_of(peer));
        if let Some(entry) = entry {
            // A session whose queue is full goes without.
            let _ = entry.commands.try_send(Command::Dial(remote));
        }
    }

    fn call_nearby(&mut self, peer: &Peer, remote: SocketAddr, waiting: Vec<Waiting>) {
        let Some(entry) = self.living(peer) else {
            return answer_all(waiting, &ConnectError::Unavailable);
        };
        // As with any call of ours.
        entry.session.allow_direct();
        let dials = entry.commands.try_send(Command::Dial(remote)).is_ok();
        tracing::debug!(peer = %peer.name, %remote, dials, "called on the local network");
        for (_, waiter) in waiting {
            // A session that is full drops the waiter, who then asks again.
            let _ = entry.commands.try_send(Command::Wait(waiter));
        }
        if let Some(wanted) = self.wanted.get_mut(&peer.name) {
            wanted.nearby = Some(peer.identity());
        }
    }

    /// A call of ours has been answered by the server.
    pub(super) fn on_called(&mut self, name: &Name, result: Result<Call, client::Error>) {
        let (mut waiting, mut nearby) = (Vec::new(), None);
        if let Some(wanted) = self.wanted.get_mut(name) {
            wanted.calling = false;
            match &result {
                Ok(_) => {
                    waiting = std::mem::take(&mut wanted.waiting);
                    nearby = wanted.nearby.take();
                }
                Err(error) => {
                    wanted.error = Some(ConnectError::Server(Arc::new(error.clone())));
                }
            }
        }
        if let Ok(call) = result {
            self.on_answered(name, &call, waiting, nearby);
        }
        self.settle(name);
    }

    /// The server has connected a call; `nearby` is who was called meanwhile on a network here.
    fn on_answered(
        &mut self,
        name: &Name,
        call: &Call,
        waiting: Vec<Waiting>,
        nearby: Option<IdentityKey>,
    ) {
        if call.certificate.device() == self.local.certificate.device() {
            return answer_all(waiting, &ConnectError::Yourself);
        }
        let found = call.certificate.identity();
        let (agreed, misled): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|waiting| accepts(waiting, found));
        if !misled.is_empty() || nearby.is_some_and(|nearby| nearby != found) {
            self.tell(PeerEvent::IdentityRefused { name: name.clone(), identity: found });
            answer_all(misled, &ConnectError::IdentityChanged { found });
        }
        if agreed.is_empty() && nearby != Some(found) {
            return self.refuse(call.session, RefuseReason::IdentityChanged);
        }
        if let Some((_, reason)) = self.refusals.iter().find(|(id, _)| *id == call.session) {
            if *reason == RefuseReason::IdentityChanged {
                self.tell(PeerEvent::RefusedAsOther { name: name.clone() });
            }
            return answer_all(agreed, &ConnectError::Refused(*reason));
        }
        let Some(entry) = self.entry_for(call) else {
            return answer_all(agreed, &ConnectError::Unavailable);
        };
        // Whom we call may learn our addresses.
        entry.session.allow_direct();
        for (_, waiter) in agreed {
            // As above: whoever is dropped asks again.
            let _ = entry.commands.try_send(Command::Wait(waiter));
        }
    }
}

fn accepts((expected, _): &Waiting, found: IdentityKey) -> bool {
    expected.is_none_or(|expected| expected == found)
}

fn answer_all(waiting: Vec<Waiting>, error: &ConnectError) {
    for (_, waiter) in waiting {
        // Whoever gave up waiting does not want to know.
        let _ = waiter.send(Err(error.clone()));
    }
}
