//! The actor that owns the main endpoint and all sessions: it calls, answers calls, and hands
//! connections on the main socket to the session they belong to.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use ed25519_dalek::SigningKey;
use filefleet_server::{
    client::{self, Call, Client},
    protos::{
        certificate::{DeviceCertificate, DeviceKey, IdentityKey},
        name::Name,
        relay::SessionId,
        rendezvous::RefuseReason,
    },
    udp::{DemuxSocket, bind_udp},
};
use quinn::{Connection, Endpoint, Incoming, TokioRuntime};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Admission, ConnectError, Gate, Peer, PeerEvent, Session,
    close::{CloseCode, CloseReason},
    link::{FAREWELL, Local, server_config},
    session::actor::{Command, Ending, Parts, SessionActor, Waiter, ticket_of},
};
use crate::connect::driver::Connector;
use crate::transport::{
    Congestion, Path, endpoint_config,
    tls::{Expected, KeySet, Tls, peer_device_key},
};

/// Sessions at a time; further callers are told that this daemon is busy.
const MAX_SESSIONS: usize = 256;
/// Handshakes under way on the main socket; more are refused at their first packet.
const MAX_HANDSHAKES: usize = 32;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests to the actor; a caller waits while it is full.
const REQUESTS: usize = 64;
/// STUN messages that wait for the connector; more are dropped, and said again by whoever needs them.
const STUN_MESSAGES: usize = 256;
/// Refusals that may come in before the call they are about has been answered.
const REFUSALS: usize = 16;

/// What the peers' actor is made from.
#[derive(Debug)]
pub struct PeersConfig {
    /// This device's key.
    pub device_key: SigningKey,
    /// Binds it to this user's identity.
    pub certificate: DeviceCertificate,
    /// Where the main socket is bound; `[::]:0` is any free port, IPv4 and IPv6.
    pub listen: SocketAddr,
    /// The congestion control of every link.
    pub congestion: Congestion,
}

/// The handle of the actor; it ends with the last handle, or gracefully by `shutdown`.
#[derive(Debug, Clone)]
pub struct Peers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    requests: mpsc::Sender<Request>,
    rendezvous: watch::Sender<Option<Client>>,
    main: Endpoint,
    _actor: AbortOnDropHandle<()>,
}

#[derive(Debug)]
enum Request {
    Session {
        name: Name,
        expected: Option<IdentityKey>,
        waiter: Waiter,
    },
    Incoming(Box<Call>),
    Refused(SessionId, RefuseReason),
    Shutdown(oneshot::Sender<()>),
}

impl Peers {
    /// Binds the main socket and starts. Must be called within a tokio runtime.
    ///
    /// While `events` is full, new sessions wait; those that run do not.
    pub fn start(
        config: PeersConfig,
        gate: Arc<dyn Gate>,
        events: mpsc::Sender<PeerEvent>,
    ) -> io::Result<Self> {
        let PeersConfig {
            device_key,
            certificate,
            listen,
            congestion,
        } = config;
        let socket = bind_udp(listen)?;
        let port = socket.local_addr()?.port();
        let (socket, stun) = DemuxSocket::new(socket, STUN_MESSAGES)?;
        let tls = Tls::new(&device_key).map_err(io::Error::other)?;
        let keys = KeySet::default();
        let expected = Expected::Among(keys.clone());
        let server = server_config(&tls, expected, Path::Direct, congestion.clone())
            .map_err(io::Error::other)?;
        let main = Endpoint::new_with_abstract_socket(
            endpoint_config(&device_key),
            Some(server),
            socket.clone(),
            Arc::new(TokioRuntime),
        )?;
        let (rendezvous, rendezvous_end) = watch::channel(None);
        let connector = Connector::spawn(socket, port, stun, rendezvous_end.clone());
        let local = Arc::new(Local {
            device_key,
            certificate,
            tls,
            keys,
            congestion,
            main: main.clone(),
            connector,
        });
        let (requests, requests_end) = mpsc::channel(REQUESTS);
        let actor = Actor::new(local, gate, events, rendezvous_end, requests_end);
        let actor = AbortOnDropHandle::new(tokio::spawn(actor.run()));
        Ok(Self(Arc::new(Shared {
            requests,
            rendezvous,
            main,
            _actor: actor,
        })))
    }

    /// The endpoint over the main socket, for the rendezvous: so its mapping stays alive.
    pub fn endpoint(&self) -> Endpoint {
        self.0.main.clone()
    }

    /// The server to call through, from now on.
    pub fn set_rendezvous(&self, client: Option<Client>) {
        self.0.rendezvous.send_replace(client);
    }

    /// Somebody calls, says the server.
    pub async fn incoming_call(&self, call: Call) {
        self.request(Request::Incoming(Box::new(call))).await;
    }

    /// A call of ours was refused, says the server.
    pub async fn refused(&self, session: SessionId, reason: RefuseReason) {
        self.request(Request::Refused(session, reason)).await;
    }

    /// A session with this person: the present one, or a new one by a call. `expected` is the
    /// identity that is pinned for the name; another one is refused.
    pub async fn session(
        &self,
        name: &Name,
        expected: Option<IdentityKey>,
    ) -> Result<Session, ConnectError> {
        // Twice: the present session may end just while it is asked for.
        for _ in 0..2 {
            let (waiter, answer) = oneshot::channel();
            self.request(Request::Session {
                name: name.clone(),
                expected,
                waiter,
            })
            .await;
            if let Ok(result) = answer.await {
                return result;
            }
        }
        Err(ConnectError::Unavailable)
    }

    /// Says goodbye to every peer and closes the main endpoint, within about a second.
    pub async fn shutdown(&self) {
        let (done, finished) = oneshot::channel();
        self.request(Request::Shutdown(done)).await;
        // An actor that has ended already has nothing left to shut down.
        let _ = finished.await;
    }

    async fn request(&self, request: Request) {
        // The actor has ended after a shutdown; whoever waits for an answer learns by its absence.
        let _ = self.0.requests.send(request).await;
    }
}

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
}

struct Actor {
    local: Arc<Local>,
    gate: Arc<dyn Gate>,
    events: mpsc::Sender<PeerEvent>,
    rendezvous: watch::Receiver<Option<Client>>,
    requests: mpsc::Receiver<Request>,
    sessions: HashMap<DeviceKey, Entry>,
    actors: JoinSet<Ended>,
    generations: u64,
    calls: JoinSet<(Name, Result<Call, client::Error>)>,
    waiting: HashMap<Name, Vec<(Option<IdentityKey>, Waiter)>>,
    refusals: VecDeque<(SessionId, RefuseReason)>,
    refusing: JoinSet<()>,
    handshakes: JoinSet<Option<Connection>>,
}

enum Input {
    Request(Option<Request>),
    Called(Name, Result<Call, client::Error>),
    Ended(Ended),
    Incoming(Option<Incoming>),
    Connected(Option<Connection>),
    Refused,
}

impl Actor {
    fn new(
        local: Arc<Local>,
        gate: Arc<dyn Gate>,
        events: mpsc::Sender<PeerEvent>,
        rendezvous: watch::Receiver<Option<Client>>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        Self {
            local,
            gate,
            events,
            rendezvous,
            requests,
            sessions: HashMap::new(),
            actors: JoinSet::new(),
            generations: 0,
            calls: JoinSet::new(),
            waiting: HashMap::new(),
            refusals: VecDeque::new(),
            refusing: JoinSet::new(),
            handshakes: JoinSet::new(),
        }
    }

    async fn run(mut self) {
        loop {
            let main = self.local.main.clone();
            // Every branch is cancel-safe: channels, joins, and an accept that loses nothing.
            let input = tokio::select! {
                request = self.requests.recv() => Input::Request(request),
                Some(Ok((name, result))) = self.calls.join_next() => Input::Called(name, result),
                Some(Ok(ended)) = self.actors.join_next() => Input::Ended(ended),
                incoming = main.accept() => Input::Incoming(incoming),
                Some(Ok(connection)) = self.handshakes.join_next() => Input::Connected(connection),
                Some(_) = self.refusing.join_next() => Input::Refused,
            };
            match input {
                Input::Request(Some(Request::Shutdown(done))) => {
                    self.shutdown().await;
                    // Whoever asked may have gone.
                    let _ = done.send(());
                    return;
                }
                Input::Request(None) | Input::Incoming(None) => return self.shutdown().await,
                Input::Request(Some(request)) => self.on_request(request),
                Input::Called(name, result) => self.on_called(&name, result),
                Input::Ended(ended) => self.on_ended(ended),
                Input::Incoming(Some(incoming)) => self.on_incoming(incoming),
                Input::Connected(Some(connection)) => self.on_connected(connection),
                Input::Connected(None) | Input::Refused => {}
            }
        }
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Session {
                name,
                expected,
                waiter,
            } => self.find(name, expected, waiter),
            Request::Incoming(call) => self.on_call(&call),
            Request::Refused(session, reason) => self.on_refused(session, reason),
            Request::Shutdown(_) => {}
        }
    }

    /// Finds the session with this person, or begins a call.
    fn find(&mut self, name: Name, expected: Option<IdentityKey>, waiter: Waiter) {
        let mut entries = self.sessions.values();
        let present = entries.find(|entry| *entry.session.name() == name && entry.is_alive());
        if let Some(Entry {
            session, commands, ..
        }) = present
        {
            let found = session.identity();
            if expected.is_some_and(|expected| expected != found) {
                let _ = waiter.send(Err(ConnectError::IdentityChanged { found }));
            } else {
                // A session that is full or ending drops the waiter, who then asks again.
                let _ = commands.try_send(Command::Wait(waiter));
            }
            return;
        }
        let waiting = self.waiting.entry(name.clone()).or_default();
        waiting.push((expected, waiter));
        if waiting.len() > 1 {
            return;
        }
        let Some(client) = self.rendezvous.borrow().clone() else {
            return self.give_up(&name, &ConnectError::NotRegistered);
        };
        self.calls.spawn(async move {
            let result = client.call(&name).await;
            (name, result)
        });
    }

    fn give_up(&mut self, name: &Name, error: &ConnectError) {
        for (_, waiter) in self.waiting.remove(name).into_iter().flatten() {
            let _ = waiter.send(Err(error.clone()));
        }
    }

    /// A call of ours has been answered by the server.
    fn on_called(&mut self, name: &Name, result: Result<Call, client::Error>) {
        let call = match result {
            Ok(call) => call,
            Err(error) => return self.give_up(name, &ConnectError::Server(Arc::new(error))),
        };
        let found = call.certificate.identity();
        let waiting = self.waiting.remove(name).unwrap_or_default();
        let (agreed, refused): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|(expected, _)| expected.is_none_or(|expected| expected == found));
        if !refused.is_empty() {
            self.tell(PeerEvent::IdentityRefused { name: name.clone(), identity: found });
        }
        for (_, waiter) in refused {
            let _ = waiter.send(Err(ConnectError::IdentityChanged { found }));
        }
        if agreed.is_empty() {
            return self.refuse(call.session, RefuseReason::IdentityChanged);
        }
        if let Some(position) = self.refusals.iter().position(|(id, _)| *id == call.session) {
            let reason = self.refusals.remove(position).map(|(_, reason)| reason);
            if reason == Some(RefuseReason::IdentityChanged) {
                self.tell(PeerEvent::RefusedAsOther { name: name.clone() });
            }
            for (_, waiter) in agreed {
                let _ = waiter.send(Err(
                    reason.map_or(ConnectError::TimedOut, ConnectError::Refused)
                ));
            }
            return;
        }
        let Some(entry) = self.entry_for(&call) else {
            return;
        };
        // Whom we call may learn our addresses.
        entry.session.allow_direct();
        for (_, waiter) in agreed {
            let _ = entry.commands.try_send(Command::Wait(waiter));
        }
    }

    /// Somebody calls us.
    fn on_call(&mut self, call: &Call) {
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
        if self.refusing.len() < MAX_HANDSHAKES {
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
        let device = call.certificate.device();
        let stale = self.sessions.get(&device).is_some_and(|entry| {
            let other = entry.session.identity() != call.certificate.identity();
            if other {
                entry.session.close(CloseReason::IdentityChanged);
            }
            other || !entry.is_alive()
        });
        if stale {
            self.sessions.remove(&device);
        }
        if !self.sessions.contains_key(&device) {
            if self.sessions.len() >= MAX_SESSIONS {
                return None;
            }
            let peer = Peer {
                name: call.name.clone(),
                certificate: call.certificate.clone(),
            };
            self.begin(peer, random_u64(), None);
        }
        let entry = self.sessions.get(&device)?;
        // A session whose queue is full does not make the link; the call times out.
        let _ = entry.commands.try_send(Command::Call(ticket_of(call)));
        Some(entry)
    }

    fn begin(&mut self, peer: Peer, incarnation: u64, first: Option<super::link::Opened>) {
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
            let ending = actor.run().await;
            Ended {
                device,
                generation,
                peer,
                incarnation,
                ending,
            }
        });
        self.sessions.insert(
            device,
            Entry {
                generation,
                session,
                commands,
            },
        );
    }

    fn on_ended(&mut self, ended: Ended) {
        let Ended {
            device,
            generation,
            peer,
            incarnation,
            ending,
        } = ended;
        if self
            .sessions
            .get(&device)
            .is_none_or(|entry| entry.generation != generation)
        {
            return;
        }
        let direct = self
            .sessions
            .remove(&device)
            .is_some_and(|entry| entry.session.is_direct());
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

    /// A connection begins on the main socket: nothing is spent on it while too many do.
    fn on_incoming(&mut self, incoming: Incoming) {
        if self.handshakes.len() >= MAX_HANDSHAKES {
            return incoming.refuse();
        }
        self.handshakes.spawn(async move {
            match timeout(HANDSHAKE_TIMEOUT, incoming.into_future()).await {
                Ok(Ok(connection)) => Some(connection),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a handshake failed");
                    None
                }
                Err(_) => None,
            }
        });
    }

    fn on_connected(&mut self, connection: Connection) {
        let entry = peer_device_key(&connection).and_then(|key| self.sessions.get(&key));
        let adopted = entry.is_some_and(|entry| {
            entry
                .commands
                .try_send(Command::Adopt(connection.clone()))
                .is_ok()
        });
        if !adopted {
            connection.close(CloseCode::SessionGone.wire(), b"");
        }
    }

    async fn shutdown(&mut self) {
        for entry in self.sessions.values() {
            entry.session.close(CloseReason::ShuttingDown);
        }
        let ended = async { while self.actors.join_next().await.is_some() {} };
        let _ = timeout(3 * FAREWELL, ended).await;
        self.local.main.close(CloseCode::GoingAway.wire(), b"");
        let _ = timeout(FAREWELL, self.local.main.wait_idle()).await;
    }
}

impl Entry {
    fn is_alive(&self) -> bool {
        !self.commands.is_closed() && self.session.close_reason().is_none()
    }
}

fn random_u64() -> u64 {
    getrandom::u64().expect("the platform has randomness")
}
