//! The daemon itself: one event loop over a closed set of events, which owns all state that is not a
//! transfer's or a session's own. It holds no feature logic: each event goes to the module that
//! knows what it means. Nothing in the loop waits for the network or the disk; what does runs as a
//! task and comes back as an event.

mod examination;
mod links;
mod local;
mod near;
mod outbox;
mod people;
mod receptions;
mod registration;
mod requests;
mod spooled;
mod transfers;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use filefleet_ctl::Home;
use filefleet_ctl::proto::{Call, ControlError, Event as Shown, Reply};
use filefleet_ctl::server::Responder;
use filefleet_ctl::socket::Listener;
use filefleet_server::client::{self as rendezvous, Client};
use filefleet_server::protos::address::ServerAddress;
use filefleet_server::protos::certificate::{DeviceKey, IdentityKey};
use filefleet_server::protos::name::Name;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::people::Pins;
use self::requests::Request;
use self::transfers::Transfer;
use crate::error::DaemonError;
use crate::identity::Identity;
use crate::memory;
use crate::notify::{Ask, Notifier};
use crate::peer::{LinkChange, PeerEvent, Peers, PeersConfig, Session};
use crate::settings::Settings;
use crate::spool::Spool;
use crate::store::{Contact, Outgoing, Store, StoreThread, TransferRecord};
use crate::supervisor::{self, Watchdog};
use crate::transfer::{Engine, TransferId, Unrouted};

pub(crate) use self::people::{ContactChange, Person};
pub(crate) use self::requests::Consent;
pub(crate) use self::spooled::Spooled;

/// Where an answer to a control call goes. A client that is gone does not need it.
pub(crate) type Answer = oneshot::Sender<Result<Reply, ControlError>>;

/// Everything that the daemon reacts to.
pub(crate) enum Event {
    /// A client of the control socket asks for something.
    Call { call: Call, answer: Answer },
    /// A client of the control socket wants to be told everything.
    Watch { responder: Responder },
    /// The rendezvous server said something.
    Rendezvous(rendezvous::Event),
    /// A session came up, or somebody was refused.
    Peer(PeerEvent),
    /// A message that belongs to no running transfer.
    Unrouted(Unrouted),
    /// The same, with what the records say about its transfer.
    Recorded { unrouted: Unrouted, record: Option<Box<TransferRecord>> },
    /// A transfer has got on.
    Progress(TransferId),
    /// A registration that was asked for succeeded.
    Registered { client: Client, name: Name, server: ServerAddress, answer: Answer },
    /// The contacts at a newly chosen server were read.
    ContactsLoaded { contacts: Vec<Contact>, answer: Answer },
    /// Somebody who is to become a contact was looked up.
    Found { person: Person, answer: Answer },
    /// The sender of an accepted request was reached.
    Reached {
        id: TransferId,
        dest_dir: PathBuf,
        consent: Consent,
        session: Session,
        answer: Answer,
    },
    /// The sender of a request that an answer must reach was not found.
    NotReached { id: TransferId },
    /// What is to be sent is there.
    SourcesFound { to: Name, plan: Outgoing, answer: Answer },
    /// A transfer that was to be taken on could not be written down.
    NotKept { id: TransferId, why: String, answer: Answer },
    /// What was not in a file lies in the spool.
    Spooled { spooled: Spooled, answer: Answer },
    /// A page that was asked of a request's sender should have come by now.
    PageLate { id: TransferId, offset: u64 },
    /// What has happened to the links with somebody.
    Links { name: Name, changes: Vec<LinkChange> },
    /// Others of the contacts' devices are on a network here than before.
    Near(HashSet<DeviceKey>),
    /// What the user must hear about.
    Warning(String),
}

/// Events that may wait for the loop. Full: who brings one waits, which holds back clients, sessions
/// and transfers, never the loop.
const EVENTS: usize = 512;
/// Clients that may watch at once; more are told to come later.
const MAX_WATCHERS: usize = 64;
/// Warnings that are kept for `status`.
const MAX_WARNINGS: usize = 20;

/// The daemon's state, owned by its loop.
pub(crate) struct Daemon {
    home: Home,
    spool: Spool,
    identity: Identity,
    settings: Settings,
    store: Store,
    peers: Peers,
    engine: Engine,
    pins: Arc<Pins>,
    rendezvous: Option<Client>,
    contacts: BTreeMap<Name, Contact>,
    online: HashMap<IdentityKey, bool>,
    near: HashSet<DeviceKey>,
    transfers: HashMap<TransferId, Transfer>,
    requests: HashMap<TransferId, Request>,
    /// The number of the outgoing transfer that was asked for last.
    last_number: u64,
    /// When the outbox is to be looked at.
    alarm: Option<tokio::time::Instant>,
    /// Whether the server knew us when it was last looked.
    registered: bool,
    watchers: Vec<Responder>,
    notifier: Notifier,
    /// One examination of the network at a time.
    examinations: Arc<Semaphore>,
    warnings: Vec<String>,
    events: mpsc::Sender<Event>,
    tasks: TaskTracker,
    stop: CancellationToken,
    restart: bool,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("identity", &self.identity.key()).finish_non_exhaustive()
    }
}

/// Runs the daemon of `home` until `stop` is cancelled.
///
/// # Errors
///
/// When another daemon serves this home, or keys, settings, state or the network cannot be used.
pub async fn run(home: Home, stop: CancellationToken) -> Result<(), DaemonError> {
    let mut listener = filefleet_ctl::socket::listen(&home)?;
    loop {
        let restart;
        (listener, restart) = run_once(home.clone(), listener, &stop).await?;
        if !restart {
            return Ok(());
        }
    }
}

/// Runs until `stop` is cancelled or the identity was exchanged, which is true at the end. The
/// listener holds the home's lock and is given back last: whoever connects meanwhile waits.
async fn run_once(
    home: Home,
    listener: Listener,
    stop: &CancellationToken,
) -> Result<(Listener, bool), DaemonError> {
    let settings = Settings::open(&home.settings_file())?;
    let identity = Identity::open(&home.state_dir().join("keys"), &settings.device_name())?;
    let (store, store_thread) = Store::open(&home.state_dir().join("state.db"))?;
    let (events, inbox) = mpsc::channel(EVENTS);
    let pins = Arc::new(Pins::default());
    let tasks = TaskTracker::new();
    let peer_events = forward(&tasks, &events, Event::Peer);
    let unrouted = forward(&tasks, &events, Event::Unrouted);
    let config = PeersConfig {
        device_key: identity.device().clone(),
        certificate: identity.certificate().clone(),
        listen: (std::net::Ipv6Addr::UNSPECIFIED, settings.port()).into(),
        congestion: crate::transport::Congestion::default(),
        guess_ports: settings.guess_ports(),
        map_port: settings.map_port(),
    };
    let gate: Arc<Pins> = Arc::clone(&pins);
    let peers = Peers::start(config, gate, peer_events).map_err(DaemonError::Socket)?;
    let mut daemon = Daemon {
        spool: Spool::in_dir(home.state_dir()),
        home,
        identity,
        settings,
        engine: Engine::new(unrouted, store.clone()),
        store,
        peers,
        pins,
        rendezvous: None,
        contacts: BTreeMap::new(),
        online: HashMap::new(),
        near: HashSet::new(),
        transfers: HashMap::new(),
        requests: HashMap::new(),
        last_number: 0,
        alarm: None,
        registered: false,
        watchers: Vec::new(),
        notifier: Notifier::default(),
        examinations: Arc::new(Semaphore::new(1)),
        warnings: Vec::new(),
        events: events.clone(),
        tasks,
        stop: stop.child_token(),
        restart: false,
    };
    daemon.load().await?;
    let (spool, stop) = (daemon.spool.clone(), daemon.stop.clone());
    let control = tokio::spawn(crate::control::serve(listener, events, spool, stop));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    supervisor::tell_ready();
    daemon.run(inbox).await;
    let restart = daemon.restart;
    if !restart {
        supervisor::tell_stopping();
    }
    daemon.shutdown(store_thread).await;
    // It ends with the token.
    let listener = control.await.map_err(DaemonError::Control)?;
    Ok((listener, restart))
}

/// A channel whose values arrive as events.
fn forward<T: Send + 'static>(
    tasks: &TaskTracker,
    events: &mpsc::Sender<Event>,
    wrap: impl Fn(T) -> Event + Send + 'static,
) -> mpsc::Sender<T> {
    // One: what waits, waits in the channel of events.
    let (sender, mut receiver) = mpsc::channel(1);
    let events = events.clone();
    // Ends when its sender or the loop is gone.
    tasks.spawn(async move {
        loop {
            tokio::select! {
                biased;
                () = events.closed() => break,
                value = receiver.recv() => match value {
                    // A loop that is gone is seen in the next round.
                    Some(value) => drop(events.send(wrap(value)).await),
                    None => break,
                },
            }
        }
    });
    sender
}

impl Daemon {
    /// Brings back what was there before the last stop.
    async fn load(&mut self) -> Result<(), DaemonError> {
        for key in self.settings.unknown_keys() {
            self.warn(format!("the settings file has an unknown key '{key}'"));
        }
        self.store.forget_old_transfers(unix_now()).await?;
        self.store.forget_old_deliveries(unix_now()).await?;
        self.load_requests().await?;
        if let (Some(name), Some(server)) = (self.settings.name(), self.settings.server()) {
            self.load_contacts(&server).await?;
            let client = self.rendezvous_client(name, server);
            self.use_rendezvous(client);
        }
        self.load_transfers().await?;
        self.look_around();
        self.notifier.learn(&Shown::State(Box::new(self.state_view())));
        let asks =
            forward(&self.tasks, &self.events, |Ask { call, answer }| Event::Call { call, answer });
        self.notifier.start(asks, &self.tasks, self.stop.clone());
        Ok(())
    }

    async fn run(&mut self, mut inbox: mpsc::Receiver<Event>) {
        let mut watchdog = Watchdog::from_env();
        let calm = || Some(tokio::time::Instant::now() + memory::CALM);
        let mut rest = calm();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = watchdog.due() => watchdog.feed(),
                event = inbox.recv() => match event {
                    Some(event) => {
                        self.handle(event);
                        rest = calm();
                    }
                    None => break,
                },
                () = reached(self.alarm) => {
                    self.drop_forsaken();
                    self.look_at_outbox();
                }
                () = reached(rest) => {
                    rest = None;
                    self.tasks.spawn_blocking(memory::give_back);
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Call { call, answer } => self.call(call, answer),
            Event::Watch { responder } => self.watch(responder),
            Event::Rendezvous(event) => self.on_rendezvous(event),
            Event::Peer(event) => self.on_peer(event),
            Event::Unrouted(unrouted) => self.look_up_record(unrouted),
            Event::Recorded { unrouted, record } => self.on_unrouted(unrouted, record),
            Event::Progress(id) => self.on_progress(id),
            Event::Registered { client, name, server, answer } => {
                self.on_registered(client, name, server, answer);
            }
            Event::ContactsLoaded { contacts, answer } => self.on_contacts_loaded(contacts, answer),
            Event::Found { person, answer } => self.on_found(person, answer),
            Event::Reached { id, dest_dir, consent, session, answer } => {
                self.start_receiving(id, dest_dir, consent, session, answer);
            }
            Event::NotReached { id } => self.show_request(id),
            Event::SourcesFound { to, plan, answer } => self.on_sources_found(&to, plan, answer),
            Event::NotKept { id, why, answer } => self.on_not_kept(id, &why, answer),
            Event::Spooled { spooled, answer } => self.on_spooled(spooled, answer),
            Event::PageLate { id, offset } => self.on_page_late(id, offset),
            Event::Links { name, changes } => self.on_links(&name, &changes),
            Event::Near(near) => self.on_near(near),
            Event::Warning(text) => self.warn(text),
        }
    }

    /// Runs something that waits, and brings what it gives back as an event. What is
    /// spawned first begins first: a call is there before the word that it was refused.
    fn spawn(&self, work: impl Future<Output = Option<Event>> + Send + 'static) {
        let (events, stop) = (self.events.clone(), self.stop.clone());
        let work = begin(work);
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                event = work => if let Some(event) = event {
                    // A loop that is gone needs no events.
                    let _ = events.send(event).await;
                }
            }
        });
    }

    /// Writes to the store beside the loop; a failure is something the user must hear about. It is
    /// not given up when the daemon stops, and what is saved first is written first.
    fn save<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, crate::store::StoreError>> + Send + 'static,
    ) {
        let events = self.events.clone();
        let work = begin(work);
        self.tasks.spawn(async move {
            if let Err(error) = work.await {
                let text = format!("cannot save: {}", crate::error::chain(&error));
                let _ = events.try_send(Event::Warning(text));
            }
        });
    }

    /// Tells everybody who watches, and the desktop.
    pub(crate) fn show(&mut self, event: &Shown) {
        self.notifier.learn(event);
        self.watchers.retain(|watcher| !watcher.is_closed());
        for watcher in &self.watchers {
            watcher.event(match event {
                Shown::Transfer(view) => Shown::Transfer(view.clone().brief()),
                event => event.clone(),
            });
        }
    }

    fn warn(&mut self, message: String) {
        tracing::warn!("{message}");
        if self.warnings.last() != Some(&message) {
            self.warnings.push(message.clone());
        }
        let surplus = self.warnings.len().saturating_sub(MAX_WARNINGS);
        self.warnings.drain(..surplus);
        self.show(&Shown::Warning { message });
    }

    fn watch(&mut self, responder: Responder) {
        self.watchers.retain(|watcher| !watcher.is_closed());
        if self.watchers.len() < MAX_WATCHERS {
            responder.event(Shown::State(Box::new(self.state_view())));
            self.watchers.push(responder);
        }
    }

    /// Ends in order: no new work, transfers with their partial files, sessions, registration, and
    /// last the store with all that these still had to write.
    async fn shutdown(mut self, store_thread: StoreThread) {
        self.engine.shutdown().await;
        let records: Vec<_> =
            self.transfers.values_mut().filter_map(Transfer::unsaved_record).collect();
        for record in records {
            if let Err(error) = self.store.put_transfer(record).await {
                tracing::error!(%error, "cannot save a transfer");
            }
        }
        self.peers.shutdown().await;
        if let Some(client) = &self.rendezvous {
            client.shutdown().await;
        }
        self.tasks.close();
        self.tasks.wait().await;
        drop(self);
        store_thread.join();
    }
}

/// Waits until `instant`; without one, for ever.
async fn reached(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The time, in seconds since 1970.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Begins work now and gives the rest of it: what it queues at its beginning stands in line when
/// this returns. Tasks begin in no order at all; a worker even takes the youngest first.
fn begin<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send + 'static {
    let mut work = Box::pin(work);
    let first = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    async move {
        match first {
            Poll::Ready(value) => value,
            Poll::Pending => work.await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn work_stands_in_line_in_the_order_in_which_it_was_begun() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _thread) = crate::store::testing::open(dir.path());
        let set = |version: u32| {
            let store = store.clone();
            async move { store.call(move |c| c.pragma_update(None, "user_version", version)).await }
        };
        let (first, second) = (begin(set(7)), begin(set(8)));
        second.await.unwrap();
        first.await.unwrap();
        let read =
            store.call(|c| c.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)));
        assert_eq!(read.await.unwrap(), 8);
    }
}
