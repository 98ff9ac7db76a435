//! The daemon's side of the rendezvous.
//!
//! A [`Client`] is the handle of an actor that keeps one registration alive over a QUIC endpoint it
//! is handed: it connects, registers, answers requests and, when the connection breaks, does so
//! again with jittered back-off. Where no UDP reaches the server it connects through [`Tunnels`],
//! and leaves them again when UDP does. It knows nothing of peers, transfers or relayed links: a
//! [`Call`] is all it hands out.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ed25519_dalek::SigningKey;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use crate::protos::{
    address::ServerAddress,
    certificate::{DeviceCertificate, IdentityKey},
    name::Name,
    relay::{SessionId, SessionKey, Side},
    rendezvous::{self, ClientFrame, ServerFrame, Session, Transaction},
    stun::TransactionId,
};

pub use crate::protos::rendezvous::RefuseReason;

mod actor;
mod backoff;
mod connection;
mod error;
mod live;
mod race;
pub mod resolve;
mod trust;
mod tunnel;

pub use error::Error;
pub use tunnel::{Tunnel, Tunnels};

/// How long a request waits for a reconnect under way.
const REGISTRATION_WAIT: Duration = Duration::from_secs(5);
/// How long the server may take: a call may wait there for its callee to come back.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the end of the actor is waited for.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Commands waiting for the actor; who sends more waits, but [`Client::check_alive`] gives up.
const COMMAND_CAPACITY: usize = 64;

/// Whom to register, and where.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server, with its pin if it has one.
    pub server: ServerAddress,
    /// The name to hold there.
    pub name: Name,
    /// The device's certificate.
    pub certificate: DeviceCertificate,
    /// The device's private key.
    pub device_key: SigningKey,
}

/// Where the registration stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Whether the server holds the registration now. If not, nothing is known of who is online.
    pub registered: bool,
    /// The server's address, as last connected to by UDP.
    pub server_addr: Option<SocketAddr>,
    /// The server's relay.
    pub relay: Option<Relay>,
    /// This side's address as the server saw it when it registered by UDP.
    pub observed: Option<SocketAddr>,
    /// Why the last attempt to register failed, or the last connection ended.
    pub last_error: Option<Error>,
}

/// How the server's relay is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relay {
    /// As it should be.
    Udp(SocketAddr),
    /// In TLS over TCP: the network lets no UDP through to the server.
    Tunnel(Tunnels),
}

impl State {
    /// The relay's address, where UDP reaches it.
    pub fn relay_addr(&self) -> Option<SocketAddr> {
        match self.relay {
            Some(Relay::Udp(address)) => Some(address),
            Some(Relay::Tunnel(_)) | None => None,
        }
    }

    /// Whether the server is reached in TLS over TCP only.
    pub fn is_tunnelled(&self) -> bool {
        matches!(self.relay, Some(Relay::Tunnel(_)))
    }
}

/// Who holds a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name that was looked up.
    pub name: Name,
    /// Its holder, according to the server.
    pub identity: IdentityKey,
}

/// What the server says when it was asked to send something unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probed {
    /// Where the server sees this side now.
    pub observed: SocketAddr,
    /// Whether a STUN response is on its way there, from a port that was never sent anything.
    pub sent: bool,
    /// The server's clock when it answered: time since 1970.
    pub clock: Duration,
    /// How long the answer took.
    pub took: Duration,
}

/// A relay session with somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The session's name.
    pub session: SessionId,
    /// The key to bind with.
    pub key: SessionKey,
    /// Which end this one is.
    pub side: Side,
    /// Where to bind.
    pub relay: Relay,
    /// The other side's name.
    pub name: Name,
    /// The other side's device: the server's word, to be proven on the link.
    pub certificate: DeviceCertificate,
}

/// What happens without being asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "events are few and soon taken apart")]
pub enum Event {
    /// Somebody calls: bind, or refuse.
    IncomingCall(Call),
    /// A call from here was not taken.
    Refused {
        /// The call's session.
        session: SessionId,
        /// Why.
        reason: RefuseReason,
    },
    /// The other side of a call lets this one know where the server observes it.
    Revealed {
        /// The call's session.
        session: SessionId,
        /// The other side's address.
        observed: SocketAddr,
    },
    /// A mutual contact came or went.
    Presence {
        /// Who.
        identity: IdentityKey,
        /// Whether they are registered now.
        online: bool,
    },
    /// [`Client::state`] has news. Left out while the receiver of events is full.
    StateChanged,
}

/// Handle of a registration that is kept alive. The last one dropped ends it.
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    _task: Arc<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
enum Command {
    Request { request: Request, reply: oneshot::Sender<Result<ServerFrame, Error>> },
    Refuse { session: SessionId, reason: RefuseReason, reply: oneshot::Sender<Result<(), Error>> },
    Reveal(SessionId),
    Contacts(Vec<IdentityKey>),
    CheckAlive,
    NetworkChanged,
    RoundTrip(oneshot::Sender<Duration>),
    Shutdown { done: oneshot::Sender<()> },
}

#[derive(Debug, Clone)]
enum Request {
    LookUp(Name),
    Call(Name),
    Probe(TransactionId),
}

impl Request {
    fn into_frame(self, id: u64) -> ClientFrame {
        match self {
            Self::LookUp(name) => ClientFrame::LookUp { id, name },
            Self::Call(name) => ClientFrame::Call { id, name },
            Self::Probe(id_of_response) => {
                ClientFrame::Probe { id, transaction: Transaction(id_of_response) }
            }
        }
    }
}

impl Client {
    /// Registers, and stays registered. Must be called inside a tokio runtime.
    ///
    /// While `events` is full, nothing more is read from the server: whoever receives must not
    /// wait for an answer of this client before receiving on.
    pub fn spawn(endpoint: quinn::Endpoint, config: Config, events: mpsc::Sender<Event>) -> Self {
        let (commands, inbox) = mpsc::channel(COMMAND_CAPACITY);
        let (state, watch) = watch::channel(State::default());
        let actor = actor::Actor::new(endpoint, config, inbox, events, state);
        let task = AbortOnDropHandle::new(tokio::spawn(actor.run()));
        Self { commands, state: watch, _task: Arc::new(task) }
    }

    /// Where the registration stands, now and from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Asks the server who holds a name.
    pub async fn look_up(&self, name: &Name) -> Result<Person, Error> {
        match self.request(Request::LookUp(name.clone())).await? {
            ServerFrame::Found { identity, .. } => Ok(Person { name: name.clone(), identity }),
            _ => Err(Error::Protocol),
        }
    }

    /// Allocates a relay session with the holder of a name, who is told about it.
    pub async fn call(&self, name: &Name) -> Result<Call, Error> {
        match self.request(Request::Call(name.clone())).await? {
            ServerFrame::Called { call, .. } => {
                let relay = self.state.borrow().relay.clone().ok_or(Error::NotRegistered)?;
                Ok(Call::new(call, Side::Caller, relay))
            }
            _ => Err(Error::Protocol),
        }
    }

    /// Does not take an incoming call; its caller is told.
    pub async fn refuse(&self, session: SessionId, reason: RefuseReason) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Refuse { session, reason, reply }).await?;
        answer.await.map_err(|_| Error::ShutDown)?
    }

    /// Lets the other side of a call know where the server observes this one. Lost if the client is
    /// busy or not registered: say it again if nothing comes of it.
    pub fn reveal(&self, session: SessionId) {
        let _ = self.commands.try_send(Command::Reveal(session));
    }

    /// Shows presence to these people, as far as they name this one too, and asks for theirs. At
    /// most 1,000 are told to the server.
    pub async fn set_contacts(&self, mut contacts: Vec<IdentityKey>) {
        contacts.truncate(rendezvous::MAX_CONTACTS);
        // Whoever sets contacts after the shutdown has nobody to be shown to.
        let _ = self.command(Command::Contacts(contacts)).await;
    }

    /// Makes sure soon that the connection is alive: call it when the server's restart beacon, a
    /// STUN Binding indication from its address, came in. It may come from anybody, so this is
    /// rate-limited and costs one packet.
    pub fn check_alive(&self) {
        // A full channel means that the actor is being asked much, and will notice by itself.
        let _ = self.commands.try_send(Command::CheckAlive);
    }

    /// Looks at once whether the server is still reached, and whether UDP reaches it again.
    pub fn network_changed(&self) {
        // As above.
        let _ = self.commands.try_send(Command::NetworkChanged);
    }

    /// Has the server send a STUN response of this transaction to the endpoint's socket, from a port
    /// that was never sent anything: what arrives tells how this side's NAT filters. A server of an
    /// older version does not answer.
    pub async fn probe(&self, transaction: TransactionId) -> Result<Probed, Error> {
        let asked = Instant::now();
        match self.request(Request::Probe(transaction)).await? {
            ServerFrame::Probed { observed, sent, now, .. } => {
                let (clock, took) = (Duration::from_millis(now), asked.elapsed());
                Ok(Probed { observed, sent, clock, took })
            }
            _ => Err(Error::Protocol),
        }
    }

    /// QUIC's estimate of the round trip to the server; `None` while this is not registered.
    pub async fn round_trip(&self) -> Option<Duration> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::RoundTrip(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Ends the registration; the server knows when this returns, or soon after.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.command(Command::Shutdown { done }).await.is_ok() {
            let _ = timeout(SHUTDOWN_TIMEOUT, ended).await;
        }
    }

    /// Asks once registered, and once again if the connection broke underneath.
    async fn request(&self, request: Request) -> Result<ServerFrame, Error> {
        self.registered().await?;
        match self.ask(request.clone()).await {
            Err(Error::ConnectionLost) => {
                self.registered().await?;
                self.ask(request).await
            }
            result => result,
        }
    }

    async fn ask(&self, request: Request) -> Result<ServerFrame, Error> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Request { request, reply }).await?;
        match timeout(REQUEST_TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(|_| Error::ConnectionLost)?,
            Err(_) => {
                self.check_alive();
                Err(Error::TimedOut)
            }
        }
    }

    async fn registered(&self) -> Result<(), Error> {
        let mut state = self.state.clone();
        let settled = |state: &State| {
            state.registered || state.last_error.as_ref().is_some_and(Error::is_lasting)
        };
        let result = timeout(REGISTRATION_WAIT, state.wait_for(settled)).await;
        match result {
            Ok(Ok(state)) if state.registered => Ok(()),
            Ok(Err(_)) => Err(Error::ShutDown),
            Ok(Ok(_)) | Err(_) => {
                Err(self.state.borrow().last_error.clone().unwrap_or(Error::NotRegistered))
            }
        }
    }

    async fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| Error::ShutDown)
    }
}

impl Call {
    fn new(call: rendezvous::CallFrame, side: Side, relay: Relay) -> Self {
        let rendezvous::CallFrame { session: Session(session), key, name, certificate } = call;
        Self { session, key, side, relay, name, certificate }
    }
}
