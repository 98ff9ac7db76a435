//! Runs the checks of all peers over the main socket: gathers candidates, sends and answers STUN,
//! and says what was found. The only part of `connect` with a
//! socket and a clock.

mod actor;
mod asking;
mod callers;
mod guessing;
mod keys;
mod search;
mod standing;

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use filefleet_server::{
    client::Client,
    protos::{certificate::DeviceKey, stun::TransactionId},
    udp::{DemuxSocket, OtherDatagram, source_towards},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use self::{actor::Driver, asking::Waiting, callers::Callers, standing::Found};
pub use self::{
    asking::{Answer, Surroundings},
    callers::Caller,
    guessing::Scattered,
    keys::Keys,
};
use super::{
    candidate::{Interface, Network},
    obstacle::Standing,
    offer::{Offer, Tag},
};
use crate::discover::{changes::Changes, portmap::Nat};

/// Requests to the driver; what does not fit is lost, and the session's next restart makes up.
const COMMANDS: usize = 64;
/// Requests of those who wait while there are more, so that they take no room from sessions.
const PATIENT: usize = 8;
/// Findings that wait for a session; what does not fit is lost, as above.
const EVENTS: usize = 32;
/// Addresses that no network has (RFC 5737, RFC 3849), so that the default routes lead to them.
const ELSEWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];
/// The tag of requests to servers.
const SERVERS: Tag = Tag(0);

/// A path that works in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reachable {
    /// Where the peer answers.
    pub remote: SocketAddr,
    /// Whether packets to it pass no router.
    pub on_link: bool,
    /// Of one check.
    pub rtt: Duration,
}

/// What an attempt finds out.
#[derive(Debug)]
pub enum Event {
    /// To be told to the peer; it replaces what was told before.
    Offer(Offer),
    /// A path to the peer.
    Reachable(Reachable),
    /// The peer is to learn from the server where we are observed.
    Reveal,
    /// A path to the peer that belongs to a socket of its own.
    Scattered(Scattered),
}

/// What passes between the driver and whoever asks the router for a mapping.
#[derive(Debug)]
pub struct Router {
    /// Is told whether there is a NAT.
    pub nat: watch::Sender<Option<Nat>>,
    /// The address that the router has given us.
    pub mapped: watch::Receiver<Option<SocketAddr>>,
}

/// Handle of the driver; it ends with the last one.
#[derive(Debug, Clone)]
pub struct Connector {
    commands: mpsc::Sender<Command>,
    patient: mpsc::Sender<Command>,
    heard: Heard,
    callers: Callers,
    network: watch::Receiver<Network>,
    changes: Changes,
    _driver: Arc<AbortOnDropHandle<()>>,
}

/// Where authenticated requests of each search came from.
type Heard = Arc<Mutex<HashMap<Tag, HashSet<SocketAddr>>>>;

/// The search for paths to one peer; dropping it ends the search.
#[derive(Debug)]
pub struct Attempt {
    tag: Tag,
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
    found: watch::Receiver<Found>,
}

#[derive(Debug)]
enum Command {
    Open(Tag, DeviceKey, mpsc::Sender<Event>, watch::Sender<Found>),
    Theirs(Tag, Offer),
    Revealed(Tag, SocketAddr),
    Guess(Tag),
    Restart(Tag),
    Wait(TransactionId, Waiting),
    Surroundings(oneshot::Sender<Surroundings>),
}

impl Connector {
    /// Starts the driver of the main socket, whose STUN messages come out of `datagrams`.
    pub fn spawn(
        socket: Arc<DemuxSocket>,
        port: u16,
        datagrams: mpsc::Receiver<OtherDatagram>,
        rendezvous: watch::Receiver<Option<Client>>,
        router: Router,
    ) -> Self {
        let (commands, commands_end) = mpsc::channel(COMMANDS);
        let (patient, patient_end) = mpsc::channel(PATIENT);
        let (network_in, network) = watch::channel(read_network());
        let changes = Changes::watch();
        let (heard, callers) = (Heard::default(), Callers::default());
        let driver = Driver {
            socket,
            port,
            datagrams,
            commands: commands_end,
            patient: patient_end,
            rendezvous,
            router,
            heard: heard.clone(),
            callers: callers.clone(),
            network: network_in,
            changes: changes.clone(),
        };
        let driver = AbortOnDropHandle::new(tokio::spawn(driver.run()));
        let driver = Arc::new(driver);
        Self { commands, patient, heard, callers, network, changes, _driver: driver }
    }

    /// Begins to look for paths to a peer's device.
    pub fn open(&self, device: DeviceKey) -> Attempt {
        let (attempt, command) = self.prepare(device);
        // Should it be full, the attempt finds nothing.
        let _ = self.commands.try_send(command);
        attempt
    }

    /// Looks for a peer's device where it is known to be from elsewhere. Waits while others begin to;
    /// cancelled, it looks for nobody.
    pub async fn look(&self, device: DeviceKey, offer: Offer) -> Attempt {
        let (attempt, command) = self.prepare(device);
        for command in [command, Command::Theirs(attempt.tag, offer)] {
            // A driver that has ended finds nothing.
            let _ = self.patient.send(command).await;
        }
        attempt
    }

    fn prepare(&self, device: DeviceKey) -> (Attempt, Command) {
        let (events_in, events) = mpsc::channel(EVENTS);
        let (found_in, found) = watch::channel(Found::nothing(Instant::now()));
        let tag = random_tag();
        let attempt = Attempt { tag, commands: self.commands.clone(), events, found };
        (attempt, Command::Open(tag, device, events_in, found_in))
    }

    /// Tells when the network has changed.
    pub fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// Whether a peer whose search goes on has passed a check from this address.
    pub fn has_heard(&self, remote: SocketAddr) -> bool {
        lock(&self.heard).values().any(|from| from.contains(&remote))
    }

    /// From now on checks of these people are answered, who are known without a session.
    pub fn expect(&self, callers: impl Iterator<Item = Caller>) {
        self.callers.expect(callers);
    }

    /// Which of those who are expected has passed a check from this address a moment ago.
    pub fn caller(&self, remote: SocketAddr) -> Option<DeviceKey> {
        self.callers.passed(Instant::now(), remote)
    }

    /// The networks that this machine is on.
    pub fn network(&self) -> watch::Receiver<Network> {
        self.network.clone()
    }

    /// Whether packets to this address pass no router.
    pub fn is_on_link(&self, remote: SocketAddr) -> bool {
        self.network.borrow().is_on_link(remote.ip())
    }
}

impl Attempt {
    /// What the peer offers.
    pub fn theirs(&self, offer: Offer) {
        let _ = self.commands.try_send(Command::Theirs(self.tag, offer));
    }

    /// Where the server observes the peer.
    pub fn revealed(&self, observed: SocketAddr) {
        let _ = self.commands.try_send(Command::Revealed(self.tag, observed));
    }

    /// Ports may be guessed now, if nothing else helps. To be said from time to time: whether it
    /// is time for it, and not too often, is looked at each time.
    pub fn guess(&self) {
        let _ = self.commands.try_send(Command::Guess(self.tag));
    }

    /// Looks at everything again; the peer is told to do the same by a new offer.
    pub fn restart(&self) {
        let _ = self.commands.try_send(Command::Restart(self.tag));
    }

    /// How the search stands.
    pub fn standing(&self) -> Standing {
        self.found.borrow().at(Instant::now())
    }

    /// The next finding. Cancel-safe.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            // The driver ends only with the daemon.
            None => std::future::pending().await,
        }
    }
}

fn lock(heard: &Heard) -> MutexGuard<'_, HashMap<Tag, HashSet<SocketAddr>>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The networks this machine is on, those first through which the rest of the world is reached.
fn read_network() -> Network {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "the network interfaces cannot be listed");
        Vec::new()
    });
    let interfaces = interfaces.into_iter().map(|interface| {
        let prefix_len = match &interface.addr {
            if_addrs::IfAddr::V4(address) => address.prefixlen,
            if_addrs::IfAddr::V6(address) => address.prefixlen,
        };
        Interface { ip: interface.ip(), prefix_len }
    });
    let mut interfaces: Vec<_> = interfaces.collect();
    let first = ELSEWHERE.map(|ip| source_towards((ip, 9).into()));
    interfaces.sort_by_key(|interface| !first.contains(&Some(interface.ip)));
    Network(interfaces)
}

fn random_tag() -> Tag {
    loop {
        let mut tag = [0; 4];
        fill_random(&mut tag);
        let tag = Tag(u32::from_be_bytes(tag));
        if tag != SERVERS {
            return tag;
        }
    }
}

fn random_u64() -> u64 {
    getrandom::u64().expect("the platform has randomness")
}

fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the platform has randomness");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::task::JoinSet;

    use super::{super::offer::Secret, *};

    #[tokio::test]
    async fn searches_of_those_who_wait_are_not_lost_and_take_no_room_from_sessions() {
        let (commands, mut of_sessions) = mpsc::channel(COMMANDS);
        let (patient, mut of_others) = mpsc::channel(PATIENT);
        let (_, network) = watch::channel(Network::default());
        let connector = Connector {
            commands,
            patient,
            heard: Heard::default(),
            callers: Callers::default(),
            network,
            changes: Changes::watch(),
            _driver: Arc::new(AbortOnDropHandle::new(tokio::spawn(std::future::pending()))),
        };
        let device = DeviceKey::from_bytes([7; 32]);
        let mut looking = JoinSet::new();
        for tag in 0..256 {
            let connector = connector.clone();
            let (tag, secret) = (Tag(tag), Secret([1; 16]));
            let offer = Offer { tag, secret, generation: 0, candidates: vec![], mapping: None };
            looking.spawn(async move { connector.look(device, offer).await });
        }
        assert!(matches!(of_others.recv().await, Some(Command::Open(..))));
        connector.open(device);
        assert!(matches!(of_sessions.try_recv(), Ok(Command::Open(..))));
        for _ in 1..2 * looking.len() {
            of_others.recv().await.unwrap();
        }
        assert_eq!(looking.join_all().await.len(), 256);
    }
}
