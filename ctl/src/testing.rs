//! A fake daemon: it serves the real socket of a home, answers as it is told and keeps what it was
//! asked. For tests of clients.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::home::Home;
use crate::proto::{
    Accept, Call, Check, ContactView, ControlError, Direction, DoctorView, Event, Finding, Hello,
    Level, LinkKind, NatFiltering, NatKind, NatMapping, NetworkView, Reply, RequestView, Setting,
    StateView, StatusView, TransferState, TransferView,
};
use crate::server::{Responder, ServerConnection};
use crate::socket::{self, ListenError, Listener, Stream};

/// How long [`FakeDaemon::next_call`] waits: a client that has not asked by then never will.
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// What the fake daemon answers, and the events that follow it on the same connection.
#[derive(Debug)]
pub struct Answer {
    result: Result<Reply, ControlError>,
    events: Vec<Event>,
}

impl Answer {
    /// The same answer, and then these events.
    #[must_use]
    pub fn then(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.events.extend(events);
        self
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { result: Ok(reply), events: Vec::new() }
    }
}

impl From<ControlError> for Answer {
    fn from(error: ControlError) -> Self {
        Self { result: Err(error), events: Vec::new() }
    }
}

type Script = Box<dyn FnMut(&Call) -> Answer + Send>;

/// What the connections of a fake daemon share.
struct Shared {
    hello: Hello,
    script: Mutex<Script>,
    calls: mpsc::Sender<Call>,
    watchers: Mutex<Vec<Responder>>,
    end: Notify,
}

/// A daemon that plays a script, on a thread of its own, until it is dropped or shut down.
pub struct FakeDaemon {
    shared: Arc<Shared>,
    calls: mpsc::Receiver<Call>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for FakeDaemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeDaemon").field("hello", &self.shared.hello).finish_non_exhaustive()
    }
}

impl FakeDaemon {
    /// Serves `home`, asking `script` for every answer.
    pub fn start(
        home: &Home,
        script: impl FnMut(&Call) -> Answer + Send + 'static,
    ) -> Result<Self, ListenError> {
        Self::start_with(home, Hello::new("0.0.0-fake"), script)
    }

    /// Serves `home` and says `hello` first.
    pub fn start_with(
        home: &Home,
        hello: Hello,
        script: impl FnMut(&Call) -> Answer + Send + 'static,
    ) -> Result<Self, ListenError> {
        let (calls, received) = mpsc::channel();
        let shared = Arc::new(Shared {
            hello,
            script: Mutex::new(Box::new(script)),
            calls,
            watchers: Mutex::new(Vec::new()),
            end: Notify::new(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ListenError::Bind("a runtime".to_owned(), error))?;
        let listener = {
            let _guard = runtime.enter();
            socket::listen(home)?
        };
        let serving = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            if let Err(error) = runtime.block_on(serve(listener, serving)) {
                tracing::error!(%error, "the fake daemon cannot accept");
            }
        });
        Ok(Self { shared, calls: received, thread: Some(thread) })
    }

    /// What it was asked next, in the order in which it came.
    ///
    /// # Panics
    ///
    /// If nobody asks anything for a long time.
    pub fn next_call(&self) -> Call {
        self.calls.recv_timeout(CALL_DEADLINE).expect("a client asks something")
    }

    /// Tells everybody who watches.
    pub fn event(&self, event: Event) {
        for watcher in self.shared.watchers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            watcher.event(event.clone());
        }
    }
}

impl FakeDaemon {
    /// Serves until a client shuts it down.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.shared.end.notify_one();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

async fn serve(listener: Listener, shared: Arc<Shared>) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shared.end.notified() => return Ok(()),
            Some(_) = connections.join_next() => {}
            stream = listener.accept() => {
                connections.spawn(serve_one(stream?, Arc::clone(&shared)));
            }
        }
    }
}

async fn serve_one(stream: Stream, shared: Arc<Shared>) {
    let mut connection = ServerConnection::new(stream, &shared.hello);
    let responder = connection.responder();
    let mut shuts_down = false;
    while !shuts_down && let Ok(Some(request)) = connection.next().await {
        let answer = {
            let mut script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
            script(&request.call)
        };
        {
            // Locked, so that events from elsewhere come after those of the answer.
            let mut watchers = shared.watchers.lock().unwrap_or_else(PoisonError::into_inner);
            responder.respond(request.id, answer.result);
            answer.events.into_iter().for_each(|event| responder.event(event));
            if request.call == Call::Watch {
                watchers.push(responder.clone());
            }
        }
        shuts_down = request.call == Call::Shutdown;
        let _test_is_over = shared.calls.send(request.call);
    }
    connection.close().await;
    if shuts_down {
        shared.end.notify_one();
    }
}

/// A status to start from.
pub fn status() -> StatusView {
    StatusView {
        name: Some("alice".to_owned()),
        identity: "3f2a 91bc".to_owned(),
        device: "laptop".to_owned(),
        server: Some("example.org:7835".to_owned()),
        registered: true,
        registration_error: None,
        transfers: Vec::new(),
        requests: 0,
        received_dir: std::path::Path::new("/home/alice/Downloads").into(),
        lan_discovery: true,
        warnings: Vec::new(),
        version: "0.0.0-fake".to_owned(),
        pid: 4711,
    }
}

/// What is found behind a strict NAT, to start from.
pub fn doctor() -> DoctorView {
    let finding = |check, level, message: &str, hint: Option<&str>| Finding {
        check,
        level,
        message: message.to_owned(),
        hint: hint.map(str::to_owned),
    };
    DoctorView {
        findings: vec![
            finding(Check::Udp, Level::Ok, "the server answers by UDP", None),
            finding(Check::Nat, Level::Warn, "the NAT is strict", Some("turn on UPnP")),
        ],
        outlook: "some people are reached through the relay only".to_owned(),
        network: NetworkView {
            nat: Some(NatKind::Strict),
            mapping: Some(NatMapping::Dependent),
            filtering: Some(NatFiltering::PortDependent),
            public: vec!["192.0.2.1:7".to_owned()],
            udp: Some(true),
            round_trip: Some(0.25),
            ..NetworkView::default()
        },
    }
}

/// A state with these transfers and nothing else.
pub fn state(transfers: Vec<TransferView>) -> Event {
    let (requests, contacts, settings) = (Vec::new(), Vec::new(), Vec::new());
    let status = status();
    Event::State(Box::new(StateView { status, transfers, requests, contacts, settings }))
}

/// An outgoing transfer of 3 files and 3,000 bytes to bob, in that state, to start from.
pub fn transfer(state: TransferState) -> TransferView {
    let done = state == TransferState::Done;
    TransferView {
        id: "00112233445566778899aabbccddeeff".to_owned(),
        direction: Direction::Outgoing,
        peer: "bob".to_owned(),
        state,
        label: "holiday".to_owned(),
        text: None,
        files: 3,
        files_done: if done { 3 } else { 1 },
        bytes: 3000,
        bytes_done: if done { 3000 } else { 1000 },
        files_there: 0,
        bytes_there: 0,
        files_replaced: 0,
        files_beside: 0,
        sent_bytes: if done { 3000 } else { 1000 },
        received_bytes: 0,
        total_known: true,
        update: false,
        limit: None,
        rate: 500,
        link: Some(LinkKind::Direct),
        links: BTreeMap::from([(LinkKind::Direct, 2000), (LinkKind::Relayed, 1000)]),
        seconds: 1.5,
        started_at: 1_700_000_000,
        detail: None,
        why_relayed: None,
        error: None,
        reason: None,
        next_try: None,
        failures: Vec::new(),
        failures_more: 0,
        losses: Vec::new(),
        dest: None,
        paths: Vec::new(),
    }
}

/// A stranger's request for two files, to start from.
pub fn request(id: &str, from: &str) -> RequestView {
    RequestView {
        id: id.to_owned(),
        from: from.to_owned(),
        identity: "77aa".to_owned(),
        known: false,
        verified: false,
        device: "desk".to_owned(),
        files: 2,
        bytes: 10,
        total_known: false,
        names: vec!["a".to_owned(), "b".to_owned()],
        text: None,
        update: false,
        received_at: 1_700_000_000,
    }
}

/// A contact about whom the user is asked, to start from.
pub fn contact(name: &str) -> ContactView {
    ContactView {
        name: name.to_owned(),
        server: Some("example.org:7835".to_owned()),
        identity: "77aa".to_owned(),
        verified: false,
        accept: Accept::Ask,
        dir: None,
        max_size: None,
        overwrite: false,
        online: None,
        near: false,
        safety_phrase: None,
        warning: None,
    }
}

/// A setting with this value.
pub fn setting(key: &str, value: &str) -> Setting {
    Setting {
        key: key.to_owned(),
        value: value.to_owned(),
        is_default: false,
        help: "what it decides".to_owned(),
    }
}
