//! The handle of everything that has to do with peers; its actor is in `peers/actor.rs`.

mod actor;

use std::{collections::HashSet, io, net::SocketAddr, sync::Arc};

use ed25519_dalek::SigningKey;
use filefleet_server::{
    client::{Call, Client},
    protos::{
        certificate::{DeviceCertificate, DeviceKey, IdentityKey},
        name::Name,
        relay::SessionId,
        rendezvous::RefuseReason,
    },
    udp::{DemuxSocket, bind_udp},
};
use quinn::{Endpoint, TokioRuntime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::actor::Actor;
use super::{
    ConnectError, Gate, Peer, PeerEvent, Session,
    link::{Local, server_config},
    nearby::Nearby,
    session::command::Waiter,
};
use crate::{
    connect::driver::{Connector, Router},
    discover::portmap::PortMapper,
    transport::{
        Congestion, Path,
        batched::BatchedSocket,
        endpoint_config, mtu,
        tls::{Expected, KeySet, Tls},
    },
};

/// Requests to the actor; a caller waits while it is full.
const REQUESTS: usize = 64;
/// STUN messages that wait for the connector; more are dropped, and said again by whoever needs
/// them.
const STUN_MESSAGES: usize = 256;

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
    /// Whether ports of NATs may be guessed, which takes thousands of packets.
    pub guess_ports: bool,
    /// Whether the router may be asked to map the main socket's port.
    pub map_port: bool,
}

/// The handle of the actor; it ends with the last handle, or gracefully by `shutdown`.
#[derive(Debug, Clone)]
pub struct Peers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    requests: mpsc::Sender<Request>,
    rendezvous: watch::Sender<Option<Client>>,
    main: Endpoint,
    connector: Connector,
    nearby: Nearby,
    stop: CancellationToken,
    _actor: AbortOnDropHandle<()>,
}

#[derive(Debug)]
enum Request {
    Session { name: Name, expected: Option<IdentityKey>, waiter: Waiter },
    Incoming(Box<Call>),
    Refused(SessionId, RefuseReason),
    Revealed(SessionId, SocketAddr),
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
        let PeersConfig { device_key, certificate, listen, congestion, guess_ports, map_port } =
            config;
        let socket = bind_udp(listen)?;
        let port = socket.local_addr()?.port();
        let (socket, stun) = DemuxSocket::new(socket, STUN_MESSAGES)?;
        let tls = Tls::new(&device_key).map_err(io::Error::other)?;
        let keys = KeySet::default();
        let expected = Expected::Among(keys.clone());
        let path = Path::Direct { largest_payload: mtu::USUAL };
        let server =
            server_config(&tls, expected, path, congestion.clone()).map_err(io::Error::other)?;
        let main = Endpoint::new_with_abstract_socket(
            endpoint_config(&device_key),
            Some(server),
            BatchedSocket::new(socket.clone()),
            Arc::new(TokioRuntime),
        )?;
        let (rendezvous, rendezvous_end) = watch::channel(None);
        let (nat, nat_end) = watch::channel(None);
        let mapper = PortMapper::spawn(if map_port { port } else { 0 }, nat_end);
        let router = Router { nat, mapped: mapper.mapped() };
        let connector = Connector::spawn(socket, port, stun, rendezvous_end.clone(), router);
        let nearby =
            Nearby::spawn(connector.clone(), device_key.clone(), certificate.clone(), port);
        let local = Arc::new(Local {
            device_key,
            certificate,
            tls,
            keys,
            congestion,
            main: main.clone(),
            connector: connector.clone(),
            mapper,
            nearby: nearby.clone(),
            guess_ports,
        });
        let (requests, requests_end) = mpsc::channel(REQUESTS);
        let stop = CancellationToken::new();
        let actor = Actor::new(local, gate, events, rendezvous_end, requests_end, stop.clone());
        let actor = AbortOnDropHandle::new(tokio::spawn(actor.run()));
        let shared = Shared { requests, rendezvous, main, connector, nearby, stop, _actor: actor };
        Ok(Self(Arc::new(shared)))
    }

    /// The endpoint over the main socket, for the rendezvous: so its mapping stays alive.
    pub fn endpoint(&self) -> Endpoint {
        self.0.main.clone()
    }

    /// The driver of the main socket, for whoever examines the network.
    pub fn connector(&self) -> Connector {
        self.0.connector.clone()
    }

    /// The server to call through, from now on.
    pub fn set_rendezvous(&self, client: Option<Client>) {
        self.0.rendezvous.send_replace(client);
    }

    /// Whom to find on networks here without a server, and by whom to be found.
    pub fn set_contacts(&self, contacts: Vec<Peer>) {
        self.0.nearby.set_contacts(contacts);
    }

    /// Whether contacts on networks here are to be found.
    pub fn set_lan_discovery(&self, enabled: bool) {
        self.0.nearby.set_enabled(enabled);
    }

    /// The contacts' devices that are on a network here.
    pub fn near(&self) -> watch::Receiver<HashSet<DeviceKey>> {
        self.0.nearby.near()
    }

    /// Somebody calls, says the server.
    pub async fn incoming_call(&self, call: Call) {
        self.request(Request::Incoming(Box::new(call))).await;
    }

    /// A call of ours was refused, says the server.
    pub async fn refused(&self, session: SessionId, reason: RefuseReason) {
        self.request(Request::Refused(session, reason)).await;
    }

    /// The other side of a call is observed at this address, says the server.
    pub async fn revealed(&self, session: SessionId, observed: SocketAddr) {
        self.request(Request::Revealed(session, observed)).await;
    }

    /// A session with this person: the present one, or a new one by a call through the server or on
    /// a network here, whichever is quicker. `expected` is the identity that is pinned for the name;
    /// another one is refused.
    pub async fn session(
        &self,
        name: &Name,
        expected: Option<IdentityKey>,
    ) -> Result<Session, ConnectError> {
        // Twice: the present session may end just while it is asked for.
        for _ in 0..2 {
            let (waiter, answer) = oneshot::channel();
            self.request(Request::Session { name: name.clone(), expected, waiter }).await;
            if let Ok(result) = answer.await {
                return result;
            }
        }
        Err(ConnectError::Unavailable)
    }

    /// Says goodbye to every peer and closes the main endpoint, within about a second.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        // The actor's end of the channel goes with the actor.
        self.0.requests.closed().await;
    }

    async fn request(&self, request: Request) {
        // The actor has ended after a shutdown; whoever waits for an answer learns by its absence.
        let _ = self.0.requests.send(request).await;
    }
}
