//! Runs the checks of all peers over the main socket: gathers candidates, sends and answers STUN,
//! and says what was found. The only file here with a socket and a clock.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use filefleet_server::{
    client::{Client, State},
    protos::stun::{
        self, StunKey, StunMessage, TransactionId, decode, keyed_request, keyed_response,
    },
    udp::{Datagram, DemuxSocket, OtherDatagram},
};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    candidate::{Candidate, Interface, Network},
    checks::{Checks, Success},
    offer::{Offer, Secret, Tag},
};

/// How often the interfaces are looked at while anybody looks for paths.
const NETWORK_TICK: Duration = Duration::from_secs(5);
/// Server-reflexive addresses are asked for again when they are older; RFC 4787 lets a NAT forget
/// a mapping after two minutes.
const REFLEXIVE_AGE: Duration = Duration::from_secs(60);
/// Requests to the driver; what does not fit is lost, and the session's next restart makes up.
const COMMANDS: usize = 64;
/// Findings that wait for a session; what does not fit is lost, as above.
const EVENTS: usize = 32;
/// Addresses that are remembered of one peer.
const MAX_HEARD: usize = 256;
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
}

/// Handle of the driver; it ends with the last one.
#[derive(Debug, Clone)]
pub struct Connector {
    commands: mpsc::Sender<Command>,
    heard: Heard,
    network: watch::Receiver<Network>,
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
}

#[derive(Debug)]
enum Command {
    Open(Tag, mpsc::Sender<Event>),
    Theirs(Tag, Offer),
    Restart(Tag),
}

impl Connector {
    /// Starts the driver of the main socket, whose STUN messages come out of `datagrams`.
    pub fn spawn(
        socket: Arc<DemuxSocket>,
        port: u16,
        datagrams: mpsc::Receiver<OtherDatagram>,
        rendezvous: watch::Receiver<Option<Client>>,
    ) -> Self {
        let (commands, commands_end) = mpsc::channel(COMMANDS);
        let (network_in, network) = watch::channel(read_network());
        let heard = Heard::default();
        let driver = Driver {
            socket,
            port,
            datagrams,
            commands: commands_end,
            heard: heard.clone(),
            rendezvous,
            state: None,
            network: network_in,
            searches: HashMap::new(),
            servers: Checks::default(),
            asked_servers: None,
            reflexive: HashMap::new(),
        };
        let driver = AbortOnDropHandle::new(tokio::spawn(driver.run()));
        Self { commands, heard, network, _driver: Arc::new(driver) }
    }

    /// Begins to look for paths to a peer.
    pub fn open(&self) -> Attempt {
        let (events_in, events) = mpsc::channel(EVENTS);
        let tag = random_tag();
        // Should it be full, the attempt finds nothing.
        let _ = self.commands.try_send(Command::Open(tag, events_in));
        Attempt { tag, commands: self.commands.clone(), events }
    }

    /// Whether a peer whose search goes on has passed a check from this address.
    pub fn has_heard(&self, remote: SocketAddr) -> bool {
        lock(&self.heard).values().any(|from| from.contains(&remote))
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

    /// Looks at everything again; the peer is told to do the same by a new offer.
    pub fn restart(&self) {
        let _ = self.commands.try_send(Command::Restart(self.tag));
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

/// The search for paths to one peer, as the driver keeps it.
struct Search {
    checks: Checks,
    secret: Secret,
    our_key: StunKey,
    generation: u32,
    theirs: Option<Theirs>,
    offered: Option<Vec<Candidate>>,
    events: mpsc::Sender<Event>,
}

struct Theirs {
    tag: Tag,
    secret: Secret,
    key: StunKey,
    generation: u32,
}

struct Driver {
    socket: Arc<DemuxSocket>,
    port: u16,
    datagrams: mpsc::Receiver<OtherDatagram>,
    commands: mpsc::Receiver<Command>,
    heard: Heard,
    rendezvous: watch::Receiver<Option<Client>>,
    state: Option<watch::Receiver<State>>,
    network: watch::Sender<Network>,
    searches: HashMap<Tag, Search>,
    /// Requests for our address to both ports of the server.
    servers: Checks,
    asked_servers: Option<Instant>,
    /// Our address as each of the server's ports saw it.
    reflexive: HashMap<SocketAddr, SocketAddr>,
}

impl Driver {
    async fn run(mut self) {
        let mut tick = interval(NETWORK_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let timeout = self.timeout();
            // Every branch is cancel-safe: channels, watches and timers.
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => return,
                },
                datagram = self.datagrams.recv() => match datagram {
                    Some(datagram) => self.on_datagram(&datagram),
                    None => return,
                },
                () = sleep_until(timeout.unwrap_or_else(far_off).into()), if timeout.is_some() => {}
                Ok(()) = self.rendezvous.changed() => self.on_rendezvous(),
                changed = changed(&mut self.state) => self.on_state(changed),
                _ = tick.tick() => self.on_tick(),
            }
            self.send_due();
        }
    }

    fn timeout(&self) -> Option<Instant> {
        let searches = self.searches.values().filter(|search| search.theirs.is_some());
        let searches = searches.filter_map(|search| search.checks.timeout());
        searches.chain(self.servers.timeout()).min()
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Open(tag, events) => self.open(tag, events),
            Command::Theirs(tag, offer) => {
                let network = self.network.borrow().clone();
                if let Some(search) = self.searches.get_mut(&tag) {
                    search.take_offer(offer, &network);
                }
            }
            Command::Restart(tag) => {
                self.look_at_network();
                self.ask_servers();
                if let Some(search) = self.searches.get_mut(&tag) {
                    search.generation = search.generation.wrapping_add(1);
                    search.offered = None;
                    search.checks.restart(Instant::now());
                }
                self.offer();
            }
        }
    }

    fn open(&mut self, tag: Tag, events: mpsc::Sender<Event>) {
        self.look_at_network();
        let mut secret = Secret([0; 16]);
        fill_random(&mut secret.0);
        let our_key = StunKey::new(&secret.password());
        let search = Search {
            checks: Checks::default(),
            secret,
            our_key,
            generation: 0,
            theirs: None,
            offered: None,
            events,
        };
        self.searches.insert(tag, search);
        self.offer();
        if self.asked_servers.is_none_or(|asked| asked.elapsed() > REFLEXIVE_AGE) {
            self.ask_servers();
        }
    }

    /// Tells every peer where we are, unless that is what it was told last.
    fn offer(&mut self) {
        let reflexive: HashSet<_> = self.reflexive.values().copied().collect();
        let reflexive: Vec<_> = reflexive.into_iter().collect();
        let candidates = self.network.borrow().candidates(self.port, &reflexive);
        for (tag, search) in &mut self.searches {
            if search.offered.as_ref() == Some(&candidates) {
                continue;
            }
            let offer = Offer {
                tag: *tag,
                secret: search.secret.clone(),
                generation: search.generation,
                candidates: candidates.clone(),
            };
            if search.events.try_send(Event::Offer(offer)).is_ok() {
                search.offered = Some(candidates.clone());
            }
        }
    }

    fn ask_servers(&mut self) {
        let Some(state) = &self.state else { return };
        let servers: Vec<_> = {
            let state = state.borrow();
            [state.server_addr, state.relay_addr].into_iter().flatten().collect()
        };
        self.asked_servers = Some(Instant::now());
        self.servers = Checks::default();
        self.servers.add(Instant::now(), servers);
    }

    fn on_rendezvous(&mut self) {
        self.state = self.rendezvous.borrow_and_update().as_ref().map(Client::state);
        self.on_state(true);
    }

    fn on_state(&mut self, alive: bool) {
        if !alive {
            self.state = None;
            return;
        }
        let Some(state) = &mut self.state else { return };
        let (server, observed) = {
            let state = state.borrow_and_update();
            (state.server_addr, state.observed)
        };
        // The rendezvous connection uses this socket, so that it knows the address already.
        if let (Some(server), Some(observed)) = (server, observed) {
            self.reflexive.insert(server, observed);
        }
        self.ask_servers();
        self.offer();
    }

    fn on_tick(&mut self) {
        self.searches.retain(|_, search| !search.events.is_closed());
        lock(&self.heard).retain(|tag, _| self.searches.contains_key(tag));
        if !self.searches.is_empty() && self.look_at_network() {
            tracing::info!("the network has changed: looking for paths again");
            let tags: Vec<_> = self.searches.keys().copied().collect();
            for tag in tags {
                self.on_command(Command::Restart(tag));
            }
        }
    }

    /// Reads the interfaces; whether they are others than before.
    fn look_at_network(&mut self) -> bool {
        let network = read_network();
        self.network.send_if_modified(|old| std::mem::replace(old, network) != *old)
    }

    fn on_datagram(&mut self, datagram: &OtherDatagram) {
        if datagram.kind != Datagram::Stun {
            return;
        }
        match decode(&datagram.payload, None) {
            Ok(StunMessage::Request { username: Some(username), .. }) => {
                self.on_request(datagram, &username);
            }
            Ok(StunMessage::Response { id, mapped, .. }) => {
                self.on_response(datagram, id, mapped);
            }
            Ok(StunMessage::Indication) => self.on_indication(datagram.source),
            // Who asks without a name is no peer of ours, and we are no server.
            Ok(StunMessage::Request { .. }) | Err(_) => {}
        }
    }

    fn on_request(&mut self, datagram: &OtherDatagram, username: &str) {
        let Some((ours, theirs)) = read_username(username) else { return };
        let Some(search) = self.searches.get_mut(&ours) else { return };
        let Ok(StunMessage::Request { id, authenticated: true, .. }) =
            decode(&datagram.payload, Some(&search.our_key))
        else {
            return;
        };
        // Before the answer leaves: the peer may connect as soon as it is there.
        let mut heard = lock(&self.heard);
        let from = heard.entry(ours).or_default();
        if from.len() < MAX_HEARD {
            from.insert(datagram.source);
        }
        drop(heard);
        let response = keyed_response(id, datagram.source, &search.our_key);
        self.socket.send_to(&response, datagram.source, datagram.local_ip);
        // A check may overtake the offer: then it is remembered as observed.
        if search.theirs.as_ref().is_none_or(|known| known.tag == theirs) {
            search.checks.on_request(Instant::now(), datagram.source);
        }
    }

    fn on_response(&mut self, datagram: &OtherDatagram, id: TransactionId, mapped: SocketAddr) {
        let (tag, now) = (tag_of(&id), Instant::now());
        if tag == SERVERS {
            if self.servers.on_response(now, datagram.source, id).is_some() {
                self.reflexive.insert(datagram.source, mapped);
                self.offer();
            }
            return;
        }
        let Some(search) = self.searches.get_mut(&tag) else { return };
        let Some(theirs) = &search.theirs else { return };
        let Ok(StunMessage::Response { authenticated: true, .. }) =
            decode(&datagram.payload, Some(&theirs.key))
        else {
            return;
        };
        if let Some(Success { remote, rtt }) = search.checks.on_response(now, datagram.source, id) {
            let on_link = self.network.borrow().is_on_link(remote.ip());
            tracing::debug!(%remote, on_link, ?rtt, "a path works");
            let _ = search.events.try_send(Event::Reachable(Reachable { remote, on_link, rtt }));
        }
    }

    /// The server says that it has been restarted; the client checks whether that is true.
    fn on_indication(&self, source: SocketAddr) {
        let server = self.state.as_ref().and_then(|state| state.borrow().server_addr);
        if let (true, Some(client)) = (server == Some(source), &*self.rendezvous.borrow()) {
            client.check_alive();
        }
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        while self.servers.timeout().is_some_and(|at| at <= now) {
            let id = transaction(SERVERS);
            let Some(remote) = self.servers.poll(now, id) else { break };
            self.socket.send_to(&stun::request(id), remote, None);
        }
        for (tag, search) in &mut self.searches {
            let Some(theirs) = &search.theirs else { continue };
            while search.checks.timeout().is_some_and(|at| at <= now) {
                let id = transaction(*tag);
                let Some(remote) = search.checks.poll(now, id) else { break };
                let username = username(theirs.tag, *tag);
                let request = keyed_request(id, &username, &theirs.key);
                self.socket.send_to(&request, remote, None);
            }
        }
    }
}

impl Search {
    fn take_offer(&mut self, offer: Offer, network: &Network) {
        let now = Instant::now();
        let Offer { tag, secret, generation, candidates } = offer;
        match &mut self.theirs {
            Some(theirs) if theirs.tag == tag && theirs.secret == secret => {
                if theirs.generation != generation {
                    theirs.generation = generation;
                    self.checks.restart(now);
                }
            }
            theirs => {
                if theirs.is_some() {
                    self.checks = Checks::default();
                }
                let key = StunKey::new(&secret.password());
                *theirs = Some(Theirs { tag, secret, key, generation });
            }
        }
        self.checks.add(now, network.rank(&candidates));
    }
}

fn lock(heard: &Heard) -> MutexGuard<'_, HashMap<Tag, HashSet<SocketAddr>>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn changed(state: &mut Option<watch::Receiver<State>>) -> bool {
    match state {
        Some(state) => state.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

fn far_off() -> Instant {
    Instant::now() + NETWORK_TICK
}

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
    Network(interfaces.collect())
}

/// RFC 8445 section 7.2.2: the peer's name, a colon, our own.
fn username(theirs: Tag, ours: Tag) -> String {
    format!("{:08x}:{:08x}", theirs.0, ours.0)
}

/// Our own name and the peer's, as the peer has put them.
fn read_username(username: &str) -> Option<(Tag, Tag)> {
    let (ours, theirs) = username.split_once(':')?;
    let read = |tag| u32::from_str_radix(tag, 16).ok().map(Tag);
    Some((read(ours)?, read(theirs)?))
}

/// The first four bytes say whose checks it belongs to, the rest is random.
fn transaction(tag: Tag) -> TransactionId {
    let mut id = [0; 12];
    fill_random(&mut id[4..]);
    id[..4].copy_from_slice(&tag.0.to_be_bytes());
    id
}

fn tag_of(id: &TransactionId) -> Tag {
    let [a, b, c, d, ..] = *id;
    Tag(u32::from_be_bytes([a, b, c, d]))
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

fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the platform has randomness");
}
