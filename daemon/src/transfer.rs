//! Transfers: the engine that runs them, and the routes by which a session's messages and streams
//! reach the transfer they belong to.
//!
//! A transfer is known by its id *and* its peer's identity: whatever comes for an id from anybody
//! else is not for it. What belongs to no running transfer (a new request, above all) goes to the
//! daemon, which decides with its policy and its records.

pub(crate) mod buffer;
mod confine;
pub mod dest;
pub mod entry;
mod folder;
pub mod hash;
pub mod loss;
mod outgoing;
pub(crate) mod progress;
pub(crate) mod proto;
mod ranges;
mod receive;
mod send;
pub mod source;
#[cfg(all(test, target_os = "linux"))]
pub(crate) mod testing;
mod zeros;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use filefleet_server::protos::certificate::IdentityKey;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::buffer::Supply;
use self::progress::{Fault, Progress};
use self::proto::{Envelope, Message};
pub(crate) use self::proto::{Reason, TransferId};
use self::receive::Ends;
pub(crate) use self::receive::Reception;
use self::receive::streams::{self, Budget, NOT_WANTED};
use self::receive::writer::Job;
pub(crate) use self::send::{Order, connect_fault};
use crate::memory;
use crate::peer::{CloseReason, IncomingStream, Peers, Session};
use crate::store::Store;

/// Whether extended attributes can be sent from this system.
pub(crate) const KNOWS_ATTRIBUTES: bool = cfg!(target_os = "linux");

/// A message for a transfer and the session it came in.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) session: Session,
    pub(crate) message: Message,
}

/// A message that belongs to no running transfer.
#[derive(Debug)]
pub(crate) struct Unrouted {
    pub(crate) session: Session,
    pub(crate) transfer: TransferId,
    pub(crate) message: Message,
    pub(crate) turn: Turn,
}

/// Held while a message that belongs to no running transfer is dealt with, to the last write that it
/// causes: until then the next message of its session is not looked at. So what a session says is
/// dealt with in order, and a peer cannot say more than this daemon keeps up with.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// A running transfer: its progress, and what it can be told.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) cancel: CancellationToken,
    /// The peer may be there (again): an outgoing one that waits for an answer asks once more.
    pub(crate) wake: Arc<Notify>,
}

/// What ends a transfer from this side.
#[derive(Debug, Clone)]
struct Stop {
    cancel: CancellationToken,
    shutdown: CancellationToken,
}

impl Stop {
    /// Waits until the transfer is to end, and says why.
    async fn requested(&self) -> Fault {
        self.cancel.cancelled().await;
        if self.shutdown.is_cancelled() {
            Fault::reason(Reason::GoingAway, "")
        } else {
            Fault::reason(Reason::Cancelled, "")
        }
    }
}

/// Runs transfers. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    routes: Mutex<HashMap<TransferId, Route>>,
    budget: Budget,
    /// What is read to be sent lies in these.
    supply: Supply,
    /// Where it is noted what was delivered.
    store: Store,
    unrouted: mpsc::Sender<Unrouted>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// Where a transfer's messages go, and blocks if it is an incoming one.
#[derive(Debug, Clone)]
struct Route {
    /// The only identity that may speak for this transfer; an outgoing one to somebody not met yet
    /// learns it with its first session.
    identity: Option<IdentityKey>,
    mailbox: mpsc::Sender<Inbound>,
    inlet: Option<Inlet>,
}

/// Where the blocks of an incoming transfer go, and the count of what came.
#[derive(Debug, Clone)]
struct Inlet {
    jobs: mpsc::Sender<Job>,
    received: Arc<AtomicU64>,
}

/// One run of a transfer, told from others by its mailbox.
#[derive(Debug)]
struct Run {
    id: TransferId,
    mailbox: mpsc::WeakSender<Inbound>,
}

/// Messages that may wait for a transfer's task. Full: the session waits, and with it only this peer.
const MAILBOX: usize = 256;
/// Blocks that may wait for a writing thread. Full: streams wait, then flow control holds the sender.
const JOB_QUEUE: usize = 16;

/// Blocks of content that all sending transfers together hold, but for two that each may have in any
/// case: a whole window of one, and what is read ahead of it.
const SEND_BUFFERS: usize = send::WINDOW + 8;

impl Engine {
    /// An engine that notes in `store` what was delivered; what belongs to no running transfer goes to `unrouted`.
    pub(crate) fn new(unrouted: mpsc::Sender<Unrouted>, store: Store) -> Self {
        let shared = Shared {
            routes: Mutex::default(),
            budget: Budget::new(),
            supply: Supply::new(SEND_BUFFERS),
            store,
            unrouted,
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts to send.
    pub(crate) fn send(&self, order: Order, peers: &Peers) -> Running {
        let (id, identity) = (order.id, order.expected);
        let (mailbox, inbox) = mpsc::channel(MAILBOX);
        let run = self.route_to(id, Route { identity, mailbox, inlet: None });
        let (progress, stop, running) = self.prepare();
        let (wake, buffers) = (Arc::clone(&running.wake), self.shared.supply.ration());
        let task = send::run(order, peers.clone(), inbox, progress, stop, wake, buffers);
        self.spawn(run, async move {
            task.await;
            Vec::new()
        });
        running
    }

    /// Starts to receive; the sender is told that it may send.
    pub(crate) fn receive(&self, reception: Reception, session: Session) -> Running {
        let id = reception.id;
        let store = self.shared.store.clone();
        let (mailbox, inbox) = mpsc::channel(MAILBOX);
        let jobs = mpsc::channel(JOB_QUEUE);
        let identity = Some(session.identity());
        let received = Arc::<AtomicU64>::default();
        let inlet = Some(Inlet { jobs: jobs.0.clone(), received: Arc::clone(&received) });
        let run = self.route_to(id, Route { identity, mailbox, inlet });
        let (progress, stop, running) = self.prepare();
        let ends = Ends { mailbox: inbox, jobs, received, progress, stop };
        self.spawn(run, receive::run(reception, store, session, ends));
        running
    }

    /// The two ends of a transfer that starts: its task's and its owner's.
    fn prepare(&self) -> (watch::Sender<Progress>, Stop, Running) {
        let shutdown = self.shared.shutdown.clone();
        let cancel = shutdown.child_token();
        let progress = watch::Sender::new(Progress::default());
        let (progress_end, wake) = (progress.subscribe(), Arc::default());
        let running = Running { progress: progress_end, cancel: cancel.clone(), wake };
        (progress, Stop { cancel, shutdown }, running)
    }

    /// From now on what comes for this transfer goes this way.
    fn route_to(&self, id: TransferId, route: Route) -> Run {
        let run = Run { id, mailbox: route.mailbox.downgrade() };
        self.routes().insert(id, route);
        run
    }

    /// Runs a transfer's task. What it gives back was said too late for it.
    fn spawn(&self, run: Run, task: impl Future<Output = Vec<Inbound>> + Send + 'static) {
        let engine = self.clone();
        self.shared.tasks.spawn(async move {
            let late = task.await;
            let transfer = run.id;
            engine.end(&run);
            for Inbound { session, message } in late {
                let turn = Arc::new(Semaphore::new(1)).acquire_owned().await;
                let turn = Turn(turn.expect("a new semaphore is open"));
                let unrouted = Unrouted { session, transfer, message, turn };
                // A daemon that no longer listens is about to end.
                drop(engine.shared.unrouted.send(unrouted).await);
            }
        });
    }

    /// A run has ended; after the last one the daemon is small again.
    fn end(&self, run: &Run) {
        let mut routes = self.routes();
        // The transfer may run again already, by another route.
        let is_ours = |route: &Route| {
            run.mailbox.upgrade().is_some_and(|own| own.same_channel(&route.mailbox))
        };
        if routes.get(&run.id).is_some_and(is_ours) {
            routes.remove(&run.id);
        }
        if routes.is_empty() {
            let (budget, supply) = (self.shared.budget.clone(), self.shared.supply.clone());
            self.shared.tasks.spawn_blocking(move || {
                budget.clear();
                supply.clear();
                memory::give_back();
            });
        }
    }

    fn routes(&self) -> MutexGuard<'_, HashMap<TransferId, Route>> {
        self.shared.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The route of a transfer, if this peer is the one to speak for it.
    fn route(&self, id: TransferId, session: &Session) -> Option<Route> {
        let mut routes = self.routes();
        let route = routes.get_mut(&id)?;
        let identity = *route.identity.get_or_insert(session.identity());
        (identity == session.identity()).then(|| route.clone())
    }

    /// Serves a session until it is closed: its messages in order, its streams side by side.
    pub(crate) fn serve(
        &self,
        session: Session,
        mut messages: mpsc::Receiver<Bytes>,
        mut incoming: mpsc::Receiver<IncomingStream>,
    ) {
        let engine = self.clone();
        self.shared.tasks.spawn(async move {
            // As many as the peer may open streams; QUIC's flow control bounds them.
            let mut reading = JoinSet::new();
            let turns = Arc::new(Semaphore::new(1));
            let budget = engine.shared.budget.for_session();
            loop {
                tokio::select! {
                    biased;
                    () = engine.shared.shutdown.cancelled() => break,
                    message = messages.recv() => match message {
                        Some(bytes) => engine.dispatch(&session, &turns, &bytes).await,
                        None => break,
                    },
                    Some(stream) = incoming.recv() => {
                        let (engine, session) = (engine.clone(), session.clone());
                        let budget = budget.clone();
                        let read =
                            async move { engine.take_stream(&session, stream, &budget).await };
                        reading.spawn(read);
                    }
                    Some(_) = reading.join_next() => {}
                }
            }
        });
    }

    /// Hands a message to its transfer, or to the daemon.
    async fn dispatch(&self, session: &Session, turns: &Arc<Semaphore>, bytes: &[u8]) {
        let Envelope { transfer, message } = match Envelope::decode(bytes) {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(peer = %session.name(), %error, "a malformed message");
                session.close(CloseReason::Protocol);
                return;
            }
        };
        let session = session.clone();
        let turn = Arc::clone(turns).acquire_owned().await.expect("the turns are never closed");
        let inbound = Inbound { session, message };
        // A transfer whose mailbox is closed has ended: what comes now, its records answer.
        let inbound = match self.route(transfer, &inbound.session) {
            Some(route) => route.mailbox.send(inbound).await.err().map(|unsent| unsent.0),
            None => Some(inbound),
        };
        if let Some(Inbound { session, message }) = inbound {
            let unrouted = Unrouted { session, transfer, message, turn: Turn(turn) };
            // A daemon that no longer listens is about to end.
            drop(self.shared.unrouted.send(unrouted).await);
        }
    }

    /// Hands a message to a transfer that has begun since it came; false if there is none.
    pub(crate) fn redeliver(
        &self,
        session: &Session,
        transfer: TransferId,
        message: Message,
    ) -> bool {
        let Some(route) = self.route(transfer, session) else { return false };
        let session = session.clone();
        // Full: the peer says it again and again, or has far too much to say.
        route.mailbox.try_send(Inbound { session, message }).is_ok()
    }

    /// Reads a stream and hands what it carries to the writing thread of its transfer.
    async fn take_stream(&self, session: &Session, mut incoming: IncomingStream, budget: &Budget) {
        let result = async {
            let prefix = streams::read_prefix(&mut incoming).await?;
            let inlet = self.route(prefix.transfer, session).and_then(|route| route.inlet);
            let Some(inlet) = inlet else {
                // An error says that the stream is over anyway.
                let _ = incoming.stream.stop(NOT_WANTED);
                return Err(streams::StreamError::NotWanted);
            };
            let (job, bytes) = streams::read_job(incoming, prefix, budget).await?;
            inlet.received.fetch_add(bytes, Ordering::Relaxed);
            inlet.jobs.send(job).await.map_err(|_| streams::StreamError::NotWanted)
        };
        match result.await {
            Ok(()) => {}
            Err(error @ streams::StreamError::Wire(_)) => {
                tracing::warn!(peer = %session.name(), %error, "a malformed stream");
                session.close(CloseReason::Protocol);
            }
            // The sender believes that it is on its way, and would wait for ever. In another session
            // everything goes again that is not acknowledged.
            Err(error @ streams::StreamError::TimedOut) => {
                tracing::warn!(peer = %session.name(), %error, "the session begins anew");
                session.close(CloseReason::Idle);
            }
            Err(error) => {
                tracing::debug!(peer = %session.name(), %error, "a stream was not taken");
            }
        }
    }

    /// Interrupts every transfer and waits until each has put down what it has.
    pub(crate) async fn shutdown(&self) {
        self.shared.shutdown.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

/// The name of a transfer's partial folder: nobody but this sender can make it come out the same.
pub(crate) type FolderId = [u8; 16];

/// The name of the partial folder of what `sender` sends as `id`.
pub(crate) fn folder_id(sender: &IdentityKey, id: TransferId) -> FolderId {
    let mut hasher = blake3::Hasher::new_derive_key("filefleet 1 partial folder");
    hasher.update(sender.as_bytes()).update(&id.0);
    let mut folder_id = FolderId::default();
    hasher.finalize_xof().fill(&mut folder_id);
    folder_id
}

/// Removes the partial folder of a transfer that does not run and will not go on.
pub(crate) fn remove_partial(dest_dir: &Path, folder_id: FolderId) {
    let removed = dest::Destination::create(dest_dir, folder_id).and_then(|dest| dest.abandon());
    if let Err(error) = removed {
        tracing::debug!(%error, "the partial folder of a transfer is not to be removed");
    }
}
