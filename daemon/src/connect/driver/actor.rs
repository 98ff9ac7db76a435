//! The task behind [`Connector`](super::Connector): it owns all searches.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use filefleet_server::{
    client::{Client, State},
    nat64::{self, Prefix},
    protos::certificate::DeviceKey,
    protos::stun::{self, StunMessage, TransactionId, decode},
    udp::{Datagram, DemuxSocket, OtherDatagram},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep_until},
};

use super::{
    super::{
        allowance::{Allowances, Reason},
        birthday::Mapping,
        candidate::Network,
        checks::{Checks, Success},
        offer::Tag,
    },
    Answer, Callers, Changes, Command, Event, Heard, Nat, Reachable, Router, SERVERS, Surroundings,
    asking::Asking,
    keys::{read_username, tag_of, transaction},
    lock, read_network,
    search::{Reach, Search},
};

/// How often the interfaces are looked at while anybody looks for paths.
const NETWORK_TICK: Duration = Duration::from_secs(5);
/// Server-reflexive addresses are asked for again when they are older; RFC 4787 lets a NAT forget
/// a mapping after two minutes.
const REFLEXIVE_AGE: Duration = Duration::from_secs(60);
/// Ports are guessed for one peer at most this often.
const GUESS_PAUSE: Duration = Duration::from_secs(600);
/// Addresses that are remembered of one peer.
const MAX_HEARD: usize = 256;

/// Peers whose addresses are remembered after the search.
const MAX_REMEMBERED: usize = 1024;

/// What the driver is made from.
pub(super) struct Driver {
    pub(super) socket: Arc<DemuxSocket>,
    pub(super) port: u16,
    pub(super) datagrams: mpsc::Receiver<OtherDatagram>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) patient: mpsc::Receiver<Command>,
    pub(super) rendezvous: watch::Receiver<Option<Client>>,
    pub(super) router: Router,
    pub(super) heard: Heard,
    pub(super) callers: Callers,
    pub(super) network: watch::Sender<Network>,
    pub(super) changes: Changes,
}

struct Actor {
    driver: Driver,
    /// Of the present client.
    state: Option<watch::Receiver<State>>,
    searches: HashMap<Tag, Search>,
    /// Requests for our address to both ports of the server.
    servers: Checks,
    servers_allowances: Allowances,
    asked_servers: Option<Instant>,
    /// Our address as each of the server's ports saw it.
    reflexive: HashMap<SocketAddr, SocketAddr>,
    /// When ports were last guessed for a peer.
    guessed: HashMap<DeviceKey, Instant>,
    /// What has been asked of the addresses of each peer: of all for whom a search goes on, and of
    /// the last ones for whom one did.
    allowances: HashMap<DeviceKey, Allowances>,
    /// How addresses of IPv4 are reached, if this machine has IPv6 alone.
    translator: Option<Prefix>,
    /// The question how, while it is asked.
    translators: JoinSet<Option<Prefix>>,
    asking: Asking,
}

impl Driver {
    /// Runs until the last handle is gone.
    pub(super) async fn run(self) {
        let actor = Actor {
            driver: self,
            state: None,
            searches: HashMap::new(),
            servers: Checks::default(),
            servers_allowances: Allowances::unlimited(),
            asked_servers: None,
            reflexive: HashMap::new(),
            guessed: HashMap::new(),
            allowances: HashMap::new(),
            translator: None,
            translators: JoinSet::new(),
            asking: Asking::default(),
        };
        actor.run().await;
    }
}

impl Actor {
    async fn run(mut self) {
        let mut tick = interval(NETWORK_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.look_for_translator();
        loop {
            let timeout = self.timeout();
            // Every branch is cancel-safe: channels, watches, timers and a join.
            tokio::select! {
                command = self.driver.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => return,
                },
                Some(command) = self.driver.patient.recv() => self.on_command(command),
                datagram = self.driver.datagrams.recv() => match datagram {
                    Some(datagram) => self.on_datagram(&datagram),
                    None => return,
                },
                () = until(timeout) => {}
                Ok(()) = self.driver.rendezvous.changed() => self.on_rendezvous(),
                () = self.driver.changes.next() => self.on_change(),
                Ok(()) = self.driver.router.mapped.changed() => self.offer(),
                alive = changed(&mut self.state) => self.on_state(alive),
                Some(Ok(found)) = self.translators.join_next() => self.on_translator(found),
                _ = tick.tick() => self.on_tick(),
            }
            self.send_due(Instant::now());
        }
    }

    fn timeout(&self) -> Option<Instant> {
        let searches = self.searches.values();
        let searches = searches.filter_map(|it| it.timeout(self.allowances.get(&it.device())?));
        searches.chain(self.servers.timeout(&self.servers_allowances)).min()
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Open(tag, device, events, found) => {
                self.look_at_network();
                self.end_searches();
                // The provider's DNS may not have been there yet.
                if self.translator.is_none() && self.translators.is_empty() {
                    self.look_for_translator();
                }
                self.allowances.entry(device).or_default();
                let search = Search::new(tag, device, events).telling(found);
                self.searches.insert(tag, search);
                if self.asked_servers.is_none_or(|asked| asked.elapsed() > REFLEXIVE_AGE) {
                    self.ask_servers();
                }
                self.offer();
            }
            Command::Theirs(tag, offer) => {
                if let Some(search) = self.searches.get_mut(&tag) {
                    let network = &self.driver.network.borrow();
                    let ours = Reach { network, translator: self.translator };
                    search.take_offer(Instant::now(), offer, &ours);
                }
            }
            Command::Revealed(tag, observed) => {
                if let Some(search) = self.searches.get_mut(&tag) {
                    search.take_revealed(observed);
                }
            }
            Command::Guess(tag) => self.guess(tag),
            Command::Wait(id, waiting) => {
                let remote = waiting.remote;
                if let (true, Some(remote)) = (self.asking.wait(id, waiting), remote) {
                    self.driver.socket.send_to(&stun::request(id), remote, None);
                }
            }
            Command::Surroundings(reply) => {
                let network = read_network();
                let mapped = *self.driver.router.mapped.borrow();
                // Whoever asked may have given up.
                let _ = reply.send(Surroundings { network, mapped });
            }
            Command::Restart(tag) => {
                self.look_at_network();
                self.ask_servers();
                if let Some(search) = self.searches.get_mut(&tag) {
                    search.restart(Instant::now());
                }
                self.offer();
            }
        }
    }

    /// Asks whether IPv4 is reached through a translator, and forgets what was asked before.
    fn look_for_translator(&mut self) {
        self.translators = JoinSet::new();
        self.translators.spawn(nat64::discover());
    }

    fn on_translator(&mut self, found: Option<Prefix>) {
        if std::mem::replace(&mut self.translator, found) != found {
            let network = &self.driver.network.borrow();
            let ours = Reach { network, translator: found };
            for search in self.searches.values_mut() {
                search.look_again(Instant::now(), &ours);
            }
        }
    }

    /// Guesses ports for one peer at a time, and not for the same one again and again: it costs
    /// thousands of packets.
    fn guess(&mut self, tag: Tag) {
        let now = Instant::now();
        self.guessed.retain(|_, last| now.saturating_duration_since(*last) < GUESS_PAUSE);
        if self.searches.values().any(Search::is_guessing) {
            return;
        }
        let Some(search) = self.searches.get_mut(&tag) else { return };
        if self.guessed.contains_key(&search.device()) {
            return;
        }
        if let Some(guessing) = search.to_guess(now, &self.driver.socket, self.translator) {
            self.guessed.insert(search.device(), now);
            search.guess(guessing);
        }
    }

    /// Tells every peer where we are.
    fn offer(&mut self) {
        let reflexive: BTreeSet<_> = self.reflexive.values().copied().collect();
        let reflexive: Vec<_> = reflexive.into_iter().collect();
        self.tell_router(&reflexive);
        let mapped = *self.driver.router.mapped.borrow_and_update();
        let network = self.driver.network.borrow().clone();
        let candidates = network.candidates(self.driver.port, mapped, &reflexive);
        let seen: Vec<_> = self.reflexive.iter().map(|(server, seen)| (*server, *seen)).collect();
        let mapping = Mapping::seen(&seen);
        for search in self.searches.values_mut() {
            search.offer(&candidates, mapping);
        }
    }

    /// There is a NAT where others see us at an address that is not our own.
    fn tell_router(&self, reflexive: &[SocketAddr]) {
        let network = self.driver.network.borrow().clone();
        let is_mapped = |ip: &IpAddr| ip.is_ipv4() && !network.has(*ip);
        let public = reflexive.iter().map(SocketAddr::ip).find(is_mapped);
        let nat = public.map(|public| Nat { public, network });
        self.driver.router.nat.send_if_modified(|old| {
            let changed = *old != nat;
            *old = nat;
            changed
        });
    }

    fn ask_servers(&mut self) {
        let Some(state) = &self.state else { return };
        let servers = {
            let state = state.borrow();
            [state.server_addr, state.relay_addr()]
        };
        let now = Instant::now();
        self.asked_servers = Some(now);
        self.servers = Checks::default();
        self.servers.add(now, servers.into_iter().flatten());
    }

    fn on_rendezvous(&mut self) {
        let client = self.driver.rendezvous.borrow_and_update();
        self.state = client.as_ref().map(Client::state);
        drop(client);
        // What another server saw may be of another network.
        self.reflexive.clear();
        self.on_state(true);
    }

    fn on_state(&mut self, alive: bool) {
        if !alive {
            self.state = None;
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

    /// Ends the searches that nobody waits for any more.
    fn end_searches(&mut self) {
        self.searches.retain(|_, search| !search.is_over());
        let sought: HashSet<_> = self.searches.values().map(Search::device).collect();
        let (now, mut room) = (Instant::now(), MAX_REMEMBERED);
        self.allowances.retain(|device, allowances| {
            let is_remembered = !allowances.is_settled(now) && room > 0;
            room -= usize::from(is_remembered);
            sought.contains(device) || is_remembered
        });
        lock(&self.driver.heard).retain(|tag, _| self.searches.contains_key(tag));
    }

    fn on_tick(&mut self) {
        self.end_searches();
        if !self.searches.is_empty() && self.look_at_network() {
            tracing::info!("the network has changed: looking for paths again");
            self.ask_servers();
            for search in self.searches.values_mut() {
                search.restart(Instant::now());
            }
            self.offer();
        }
    }

    /// The registration is looked after at once, and so is what servers see of us. Searches are
    /// restarted by their sessions.
    fn on_change(&mut self) {
        tracing::info!("the network has changed");
        self.look_at_network();
        self.forgive();
        self.look_for_translator();
        if let Some(client) = &*self.driver.rendezvous.borrow() {
            client.network_changed();
        }
        self.ask_servers();
        self.offer();
    }

    /// Reads the interfaces; whether they are others than before.
    fn look_at_network(&mut self) -> bool {
        let network = read_network();
        let changed = self.driver.network.send_if_modified(|old| {
            let changed = *old != network;
            *old = network;
            changed
        });
        if changed {
            self.forgive();
        }
        changed
    }

    /// Other machines may have the addresses now that have been asked in vain.
    fn forgive(&mut self) {
        self.allowances.values_mut().for_each(Allowances::forgive);
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
        let Some(search) = self.searches.get_mut(&ours) else {
            return self.on_call(datagram, ours);
        };
        let allowances = self.allowances.entry(search.device()).or_default();
        let answer = search.answer(Instant::now(), datagram, theirs, allowances);
        let Some(answer) = answer else { return };
        {
            // Before the answer leaves: the peer may connect as soon as it is there.
            let mut heard = lock(&self.driver.heard);
            let from = heard.entry(ours).or_default();
            if from.len() < MAX_HEARD {
                from.insert(datagram.source);
            }
        }
        self.driver.socket.send_to(&answer, datagram.source, datagram.local_ip);
    }

    /// A check that no search is for: of somebody who is known without a session, or a stranger.
    fn on_call(&mut self, datagram: &OtherDatagram, ours: Tag) {
        let (now, source) = (Instant::now(), datagram.source);
        let answered = self.driver.callers.answer(now, datagram, ours);
        let Some((answer, device)) = answered else { return };
        // Who is checked in turn, and was not there before, is there now.
        if let Some(allowances) = self.allowances.get_mut(&device) {
            allowances.heard(now, source.ip(), Reason::Named);
        }
        self.driver.socket.send_to(&answer, source, datagram.local_ip);
    }

    fn on_response(&mut self, datagram: &OtherDatagram, id: TransactionId, mapped: SocketAddr) {
        let (tag, now) = (tag_of(&id), Instant::now());
        if tag == SERVERS {
            self.asking.on_response(&id, Answer { source: datagram.source, mapped });
            let allowances = &mut self.servers_allowances;
            if self.servers.on_response(now, datagram.source, id, allowances).is_some() {
                self.reflexive.insert(datagram.source, mapped);
                self.offer();
            }
            return;
        }
        let Some(search) = self.searches.get_mut(&tag) else { return };
        let allowances = self.allowances.entry(search.device()).or_default();
        if let Some(Success { remote, rtt }) = search.on_response(now, datagram, allowances) {
            let on_link = self.driver.network.borrow().is_on_link(remote.ip());
            tracing::debug!(%remote, on_link, ?rtt, "a path works");
            search.tell(Event::Reachable(Reachable { remote, on_link, rtt }));
        }
    }

    /// The server says that it has been restarted; the client checks whether that is true.
    fn on_indication(&self, source: SocketAddr) {
        let server = self.state.as_ref().and_then(|state| state.borrow().server_addr);
        if let (true, Some(client)) = (server == Some(source), &*self.driver.rendezvous.borrow()) {
            client.check_alive();
        }
    }

    /// A message that does not fit into the socket's buffer counts as lost.
    fn send_due(&mut self, now: Instant) {
        let allowances = &mut self.servers_allowances;
        while self.servers.timeout(allowances).is_some_and(|at| at <= now) {
            let id = transaction(SERVERS);
            let Some(server) = self.servers.poll(now, id, allowances) else { break };
            self.driver.socket.send_to(&stun::request(id), server, None);
        }
        for search in self.searches.values_mut() {
            let allowances = self.allowances.entry(search.device()).or_default();
            while let Some((request, remote)) = search.due(now, allowances) {
                self.driver.socket.send_to(&request, remote, None);
            }
            search.tell_standing();
        }
    }
}

async fn until(timeout: Option<Instant>) {
    match timeout {
        Some(timeout) => sleep_until(timeout.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for news of the registration; whether there is one still. Cancel-safe.
async fn changed(state: &mut Option<watch::Receiver<State>>) -> bool {
    match state {
        Some(state) => state.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}
