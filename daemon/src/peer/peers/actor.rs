//! The actor behind [`Peers`](super::Peers): it calls, answers calls, owns the sessions, and hands
//! connections on the main socket to the session they belong to.

mod calling;
mod handshakes;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use filefleet_server::{
    client::{self, Call, Client},
    protos::{certificate::DeviceKey, name::Name, relay::SessionId, rendezvous::RefuseReason},
};
use quinn::{Connection, Incoming};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::calling::Wanted;
use super::{
    super::{
        Admission, Gate, Peer, PeerEvent, Session,
        close::{CloseCode, CloseReason},
        link::{FAREWELL, Local, Opened},
        session::{
            actor::{Parts, SessionActor, ticket_of},
            command::{Command, Ending},
        },
    },
    Request,
};
use crate::transport::relayed::Ticket;

/// Sessions at a time; further callers are told that this daemon is busy.
const MAX_SESSIONS: usize = 256;
/// Refusals on their way to the server at a time; beyond it a caller just waits in vain.
const MAX_REFUSING: usize = 32;
/// Refusals that may come in before the call they are about has been answered.
const REFUSALS: usize = 16;

struct Entry {
    generation: u64,
    session: Session,
    commands: mpsc::Sender<Command>,
}

struct Ended {
    device: DeviceKey,
    generation: u64,
    peer: Peer,
    incarnation: u64,
    ending: Ending,
    late_calls: Vec<Ticket>,
}

/// See the module.
pub(super) struct Actor {
    local: Arc<Local>,
    gate: Arc<dyn Gate>,
    events: mpsc::Sender<PeerEvent>,
    rendezvous: watch::Receiver<Option<Client>>,
    requests: mpsc::Receiver<Request>,
    stop: CancellationToken,
    sessions: HashMap<DeviceKey, Entry>,
    actors: JoinSet<Ended>,
    generations: u64,
    /// At most one per name.
    calls: JoinSet<(Name, Result<Call, client::Error>)>,
    wanted: HashMap<Name, Wanted>,
    /// At most one per name.
    looks: JoinSet<(Peer, Option<SocketAddr>)>,
    /// The last refusals, for calls whose answer comes after them.
    refusals: VecDeque<(SessionId, RefuseReason)>,
    refusing: JoinSet<()>,
    handshakes: JoinSet<Option<Connection>>,
}

enum Input {
    Request(Request),
    Called(Name, Result<Call, client::Error>),
    Looked(Peer, Option<SocketAddr>),
    Ended(Ended),
    Incoming(Incoming),
    Connected(Option<Connection>),
    Refused,
}

impl Actor {
    pub(super) fn new(
        local: Arc<Local>,
        gate: Arc<dyn Gate>,
        events: mpsc::Sender<PeerEvent>,
        rendezvous: watch::Receiver<Option<Client>>,
        requests: mpsc::Receiver<Request>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            local,
            gate,
            events,
            rendezvous,
            requests,
            stop,
            sessions: HashMap::new(),
            actors: JoinSet::new(),
            generations: 0,
            calls: JoinSet::new(),
            wanted: HashMap::new(),
            looks: JoinSet::new(),
            refusals: VecDeque::new(),
            refusing: JoinSet::new(),
            handshakes: JoinSet::new(),
        }
    }

    /// Runs until it is told to stop, or the last handle is gone.
    pub(super) async fn run(mut self) {
        while let Some(input) = self.next().await {
            match input {
                Input::Request(Request::Session { name, expected, waiter }) => {
                    self.find(name, expected, waiter);
                }
                Input::Request(Request::Incoming(call)) => self.on_call(&call),
                Input::Request(Request::Refused(session, reason)) => {
                    self.on_refused(session, reason);
                }
                Input::Request(Request::Revealed(session, observed)) => {
                    for entry in self.sessions.values() {
                        // A session whose queue is full guesses no ports this time.
                        let _ = entry.commands.try_send(Command::Revealed(session, observed));
                    }
                }
                Input::Called(name, result) => self.on_called(&name, result),
                Input::Looked(peer, remote) => self.on_looked(&peer, remote),
                Input::Ended(ended) => self.on_ended(ended),
                Input::Incoming(incoming) => self.on_incoming(incoming),
                Input::Connected(Some(connection)) => self.on_connected(&connection),
                Input::Connected(None) | Input::Refused => {}
            }
        }
        self.shut_down().await;
    }

    /// Every branch is cancel-safe: a token, channels, joins, and an accept that loses nothing.
    async fn next(&mut self) -> Option<Input> {
        let main = &self.local.main;
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            request = self.requests.recv() => request.map(Input::Request),
            Some(Ok((name, result))) = self.calls.join_next() => Some(Input::Called(name, result)),
            Some(Ok((peer, remote))) = self.looks.join_next() => Some(Input::Looked(peer, remote)),
            Some(Ok(ended)) = self.actors.join_next() => Some(Input::Ended(ended)),
            Some(Ok(handshake)) = self.handshakes.join_next() => Some(Input::Connected(handshake)),
            Some(_) = self.refusing.join_next() => Some(Input::Refused),
            incoming = main.accept() => incoming.map(Input::Incoming),
        }
    }

    /// Somebody calls us.
    fn on_call(&mut self, call: &Call) {
        if call.certificate.device() == self.local.certificate.device() {
            return;
        }
        let identity = call.certificate.identity();
        match self.gate.admit(&call.name, &identity) {
            Admission::Blocked => self.refuse(call.session, RefuseReason::Blocked),
            Admission::IdentityChanged => {
                let name = call.name.clone();
                self.tell(PeerEvent::IdentityRefused { name, identity });
                self.refuse(call.session, RefuseReason::IdentityChanged);
            }
            Admission::Admit => {
                if self.entry_for(call).is_none() {
                    self.refuse(call.session, RefuseReason::Busy);
                }
            }
        }
    }

    /// Tells the daemon of a refusal; one that is swamped does not hear of this attempt.
    fn tell(&self, event: PeerEvent) {
        let _ = self.events.try_send(event);
    }

    fn refuse(&mut self, session: SessionId, reason: RefuseReason) {
        let Some(client) = self.rendezvous.borrow().clone() else {
            return;
        };
        if self.refusing.len() < MAX_REFUSING {
            self.refusing.spawn(async move {
                if let Err(error) = client.refuse(session, reason).await {
                    tracing::debug!(%error, "the server was not told of a refusal");
                }
            });
        }
    }

    fn on_refused(&mut self, session: SessionId, reason: RefuseReason) {
        for entry in self.sessions.values() {
            // A session whose queue is full learns by the relay that the call came to nothing.
            let _ = entry.commands.try_send(Command::Refused(session, reason));
        }
        if self.refusals.len() >= REFUSALS {
            self.refusals.pop_front();
        }
        self.refusals.push_back((session, reason));
    }

    /// The session with the other side of a call, which now makes a link for it.
    fn entry_for(&mut self, call: &Call) -> Option<&Entry> {
        let peer = Peer { name: call.name.clone(), certificate: call.certificate.clone() };
        let entry = self.living(&peer)?;
        // A session whose queue is full does not make the link; the call times out.
        let _ = entry.commands.try_send(Command::Call(ticket_of(call)));
        Some(entry)
    }

    /// The session with this device, which is begun if there is none and room for it. One device has
    /// one identity at a time; nobody's word for another one ends a session.
    fn living(&mut self, peer: &Peer) -> Option<&Entry> {
        self.sessions.retain(|_, entry| entry.is_alive());
        if !self.sessions.contains_key(&peer.device()) {
            if self.sessions.len() >= MAX_SESSIONS {
                return None;
            }
            self.begin(peer.clone(), random_u64(), None);
        }
        self.sessions.get(&peer.device()).filter(|entry| entry.is_of(peer))
    }

    fn begin(&mut self, peer: Peer, incarnation: u64, first: Option<Opened>) {
        let device = peer.device();
        let parts = Parts {
            local: self.local.clone(),
            rendezvous: self.rendezvous.clone(),
            peer: peer.clone(),
            incarnation,
            events: self.events.clone(),
        };
        let (mut actor, session, commands) = SessionActor::new(parts);
        self.generations += 1;
        let generation = self.generations;
        self.actors.spawn(async move {
            if let Some(link) = first {
                actor.begin_with(link);
            }
            let (ending, late_calls) = actor.run().await;
            Ended { device, generation, peer, incarnation, ending, late_calls }
        });
        self.sessions.insert(device, Entry { generation, session, commands });
    }

    fn on_ended(&mut self, mut ended: Ended) {
        let (peer, late_calls) = (ended.peer.clone(), std::mem::take(&mut ended.late_calls));
        self.put_away(ended);
        for ticket in late_calls {
            if let Some(entry) = self.living(&peer) {
                // As with any call: a session whose queue is full does not make the link.
                let _ = entry.commands.try_send(Command::Call(ticket));
            }
        }
    }

    fn put_away(&mut self, ended: Ended) {
        let Ended { device, generation, peer, incarnation, ending, .. } = ended;
        if self.sessions.get(&device).is_none_or(|entry| entry.generation != generation) {
            return;
        }
        let direct = self.sessions.remove(&device).is_some_and(|entry| entry.session.is_direct());
        match ending {
            Ending::Replaced(link) => {
                // The link's greeting has said this side's incarnation already.
                self.begin(peer, incarnation, Some(*link));
                if let Some(entry) = self.sessions.get(&device).filter(|_| direct) {
                    entry.session.allow_direct();
                }
            }
            Ending::Closed(CloseReason::IdentityChanged) => {
                self.tell(PeerEvent::RefusedAsOther { name: peer.name });
            }
            Ending::Closed(_) => {}
        }
    }

    async fn shut_down(&mut self) {
        for entry in self.sessions.values() {
            entry.session.close(CloseReason::ShuttingDown);
        }
        let ended = async { while self.actors.join_next().await.is_some() {} };
        let Local { mapper, nearby, .. } = &*self.local;
        let ended = timeout(3 * FAREWELL, ended);
        let (_, (), ()) = tokio::join!(ended, mapper.release(), nearby.close());
        self.local.main.close(CloseCode::GoingAway.wire(), b"");
        let _ = timeout(FAREWELL, self.local.main.wait_idle()).await;
    }
}

impl Entry {
    fn is_alive(&self) -> bool {
        !self.commands.is_closed() && self.session.close_reason().is_none()
    }

    fn is_of(&self, peer: &Peer) -> bool {
        self.session.identity() == peer.identity()
    }
}

fn random_u64() -> u64 {
    getrandom::u64().expect("the platform has randomness")
}
