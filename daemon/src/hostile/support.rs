//! The scene: a server, Bob's daemon, Alice whom he trusts, and Mallory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, Once},
};

use filefleet_ctl::{
    Client, ClientError, Home,
    proto::{Accept, Call, Change, ErrorCode, Event, Reply, RequestView, TransferView},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    peer::{
        PeerEvent,
        tests::support::{TestServer, User, soon},
    },
    transfer::{Engine, Order, Running, TransferId, progress::State},
};

/// What threads of daemons under attack panicked with.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// The name of those threads.
const VICTIM: &str = "victim";
/// The name of the thread of the store.
const STORE: &str = "ff-store";
/// The name of the threads that write transfers.
const WRITER: &str = "ff-writer";

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if matches!(std::thread::current().name(), Some(VICTIM | STORE | WRITER)) {
                PANICS.lock().unwrap().push(info.to_string());
            }
            before(info);
        }));
    });
}

/// A real daemon with a home and threads of its own.
pub(super) struct Victim {
    /// The home, and beside it what must stay as it is.
    dir: tempfile::TempDir,
    home: Home,
    stop: CancellationToken,
    ended: oneshot::Receiver<Result<(), String>>,
    runtime: tokio::runtime::Handle,
}

impl Victim {
    async fn start(server: &TestServer) -> Self {
        watch_panics();
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "mine").unwrap();
        let home = Home::at(dir.path().join("home")).unwrap();
        fs::create_dir_all(home.config_dir()).unwrap();
        fs::write(home.settings_file(), "lan-discovery = false\n").unwrap();
        let stop = CancellationToken::new();
        let (runtime_in, runtime) = oneshot::channel();
        let (ended_in, ended) = oneshot::channel();
        let (its_home, its_stop) = (home.clone(), stop.clone());
        let thread = move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let builder = builder.worker_threads(2).thread_name(VICTIM).enable_all();
            let runtime = builder.build().unwrap();
            let _ = runtime_in.send(runtime.handle().clone());
            let ended = runtime.block_on(crate::run(its_home, its_stop));
            drop(runtime);
            let _ = ended_in.send(ended.map_err(|error| format!("{error:?}")));
        };
        std::thread::Builder::new().name(VICTIM.to_owned()).spawn(thread).unwrap();
        let runtime = soon(runtime).await.unwrap();
        let victim = Self { dir, home, stop, ended, runtime };
        let name = "bob".to_owned();
        victim.done(Call::Register { name, server: server.address().to_string() }).await;
        victim
    }

    async fn client(&self) -> Client {
        // The socket is there as soon as the daemon has started.
        let connected = async {
            loop {
                match Client::connect(&self.home).await {
                    Ok(client) => return client,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        soon(connected).await
    }

    pub(super) async fn call(&self, call: Call) -> Reply {
        let mut client = self.client().await;
        soon(client.call(call)).await.unwrap()
    }

    pub(super) async fn done(&self, call: Call) {
        assert_eq!(self.call(call).await, Reply::Done);
    }

    /// Why a call is refused.
    pub(super) async fn refused(&self, call: Call) -> ErrorCode {
        let mut client = self.client().await;
        match soon(client.call(call)).await {
            Err(ClientError::Refused(error)) => error.code,
            answer => panic!("not refused: {answer:?}"),
        }
    }

    /// Takes what this person sends, without asking.
    pub(super) async fn trust(&self, name: &str) {
        self.trust_up_to(name, Change::Clear).await;
    }

    pub(super) async fn trust_up_to(&self, name: &str, max_size: Change<u64>) {
        let (name, accept) = (name.to_owned(), Some(Accept::Always));
        let (dir, overwrite) = (Change::Keep, None);
        self.call(Call::ContactSet { name, accept, dir, max_size, overwrite }).await;
    }

    pub(super) async fn requests(&self) -> Vec<RequestView> {
        match self.call(Call::Requests).await {
            Reply::Requests(requests) => requests,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until a transfer is as wanted.
    pub(super) async fn transfer(
        &self,
        id: TransferId,
        wanted: impl Fn(&TransferView) -> bool,
    ) -> TransferView {
        let id = id.to_string();
        let wanted = |view: &TransferView| view.id == id && wanted(view);
        let mut watch = self.client().await.watch().await.unwrap();
        loop {
            let views = match soon(watch.next()).await.unwrap() {
                Event::State(state) => state.transfers,
                Event::Transfer(view) => vec![view],
                _ => continue,
            };
            if let Some(view) = views.into_iter().find(wanted) {
                return view;
            }
        }
    }

    /// Waits until a transfer has ended.
    pub(super) async fn ended(&self, id: TransferId) -> TransferView {
        self.transfer(id, |view| view.state.is_final()).await
    }

    /// Gives up everything that has not ended.
    pub(super) async fn cancel_all(&self) {
        let Reply::Transfers(open) = self.call(Call::Transfers { all: false }).await else {
            panic!("no transfers")
        };
        for TransferView { id, .. } in open {
            // It may be ending by itself.
            let mut client = self.client().await;
            match soon(client.call(Call::Cancel { id: id.clone() })).await {
                Ok(_) => {}
                Err(ClientError::Refused(error)) if error.code == ErrorCode::NoSuchTransfer => {}
                Err(error) => panic!("{error:?}"),
            }
            self.ended(id.parse().unwrap()).await;
        }
    }

    /// Where files arrive.
    pub(super) fn received(&self) -> &Path {
        self.home.received_dir()
    }

    /// A folder beside the destination, in which nothing may change.
    pub(super) fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// Tasks that the daemon has now.
    pub(super) fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }
}

/// A server, Bob's daemon, Alice and Mallory.
pub(super) struct Scene {
    pub(super) server: TestServer,
    pub(super) bob: Victim,
    pub(super) mallory: User,
    alice: User,
    engine: Engine,
    _serving: AbortOnDropHandle<()>,
    sources: tempfile::TempDir,
    /// What must lie in Bob's folder at the end: content by file path, `None` for folders.
    expected: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl Scene {
    /// Mallory is a stranger.
    pub(super) async fn start() -> Self {
        let server = TestServer::start();
        let bob = Victim::start(&server).await;
        let mut alice = User::start("alice", 1, &server).await;
        let mallory = User::start("mallory", 66, &server).await;
        bob.trust("alice").await;
        // Full: sessions wait; nobody sends anything to Alice.
        let (unrouted, _) = mpsc::channel(1);
        let state = tempfile::tempdir().unwrap();
        let (store, _) = crate::store::testing::open(state.path());
        let engine = Engine::new(unrouted, store);
        let mut events = std::mem::replace(&mut alice.events, mpsc::channel(1).1);
        let serving = engine.clone();
        let serving = async move {
            while let Some(event) = events.recv().await {
                if let PeerEvent::Session { session, messages, streams } = event {
                    serving.serve(session, messages, streams);
                }
            }
        };
        Self {
            server,
            bob,
            mallory,
            alice,
            engine,
            _serving: AbortOnDropHandle::new(tokio::spawn(serving)),
            sources: tempfile::tempdir().unwrap(),
            expected: BTreeMap::new(),
        }
    }

    /// Mallory is trusted.
    pub(super) async fn with_trusted_mallory() -> Self {
        let scene = Self::start().await;
        scene.bob.trust("mallory").await;
        scene
    }

    /// This file is right and must be there at the end.
    pub(super) fn expect(&mut self, rel_path: &str, content: impl Into<Vec<u8>>) {
        self.expected.insert(rel_path.into(), Some(content.into()));
    }

    /// This folder must be there at the end.
    pub(super) fn expect_folder(&mut self, rel_path: &str) {
        self.expected.insert(rel_path.into(), None);
    }

    /// Alice sends files of these names and contents.
    pub(super) fn send(&self, to: &str, files: &[(&str, &[u8])]) -> Running {
        let source = |(name, content): &(&str, &[u8])| {
            let source = self.sources.path().join(name);
            fs::write(&source, content).unwrap();
            source
        };
        let order = Order {
            id: TransferId::random(),
            to: to.parse().unwrap(),
            expected: None,
            sources: files.iter().map(source).collect(),
            exclude: Vec::new(),
            limit: None,
            checksum: false,
            update: false,
            xattrs: false,
            text: None,
            asked: false,
            resumed: false,
        };
        self.engine.send(order, &self.alice.peers)
    }

    /// Bob still serves others: Alice sends him a file in blocks and a small one.
    pub(super) async fn still_serves(&mut self) {
        let name = format!("from alice {}", self.expected.len());
        let (small, large) = (format!("{name}, small"), format!("{name}, large"));
        let content: Vec<u8> = (0_u8..251).cycle().take((2 << 20) + 77).collect();
        self.expect(&small, "hello");
        self.expect(&large, content.clone());
        let mut running = self.send("bob", &[(&small, b"hello"), (&large, &content)]);
        let ended = soon(running.progress.wait_for(|progress| progress.state.is_final())).await;
        let ended = ended.unwrap().clone();
        assert_eq!(ended.state, State::Done, "{ended:?}");
    }

    /// Bob still serves others, gives up what is open, his daemon ends well, and what lies where is
    /// what should.
    pub(super) async fn finish(mut self) {
        self.still_serves().await;
        self.bob.cancel_all().await;
        self.end_well().await;
        let found = contents(self.bob.received());
        let names: Vec<_> = found.keys().collect();
        assert_eq!(names, self.expected.keys().collect::<Vec<_>>());
        assert!(found == self.expected, "wrong content in {names:?}");
    }

    /// [`finish`](Self::finish), whatever lies in the destination.
    #[cfg(target_os = "linux")]
    pub(super) async fn finish_untouched_outside(mut self) {
        self.still_serves().await;
        self.end_well().await;
    }

    /// Stops Bob's daemon, which must not have panicked nor touched anything outside.
    async fn end_well(&mut self) {
        self.bob.stop.cancel();
        assert_eq!(soon(&mut self.bob.ended).await.unwrap(), Ok(()));
        let panics = PANICS.lock().unwrap().clone();
        assert!(panics.is_empty(), "{panics:#?}");
        let precious = BTreeMap::from([("precious".into(), Some(b"mine".to_vec()))]);
        assert_eq!(contents(&self.bob.outside()), precious);
        let mut beside: Vec<_> = contents(self.bob.dir.path()).into_keys().collect();
        beside.retain(|path| path.components().count() < 3);
        let own = ["home", "home/config", "home/received", "home/run", "home/state"];
        let own: Vec<PathBuf> =
            own.into_iter().chain(["outside", "outside/precious"]).map(PathBuf::from).collect();
        assert_eq!(beside, own);
    }
}

/// All that lies below `dir`; links as what they point to, in words.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let at = entry.unwrap().path();
            let kind = at.symlink_metadata().unwrap().file_type();
            let content = if kind.is_symlink() {
                Some(link_to(&fs::read_link(&at).unwrap()))
            } else if kind.is_file() {
                Some(fs::read(&at).unwrap())
            } else {
                if kind.is_dir() {
                    folders.push(at.clone());
                }
                None
            };
            found.insert(at.strip_prefix(dir).unwrap().to_path_buf(), content);
        }
    }
    found
}

/// How a link is noted among the contents.
pub(super) fn link_to(target: &Path) -> Vec<u8> {
    format!("link to {}", target.display()).into_bytes()
}
