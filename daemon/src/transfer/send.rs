//! Sending one transfer: asks the receiver, streams chunks over the session's links within a bounded
//! window, sends again what a dead link or session lost, and ends when the receiver says that all is
//! durable.
//!
//! One task per transfer ([`run`]); reading and hashing happen on a blocking thread ([`reader`]).

mod ask;
mod flight;
pub(crate) mod reader;
mod stream;
mod survey;
mod throttle;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use self::ask::Asked;
pub(crate) use self::ask::connect_fault;
use self::flight::Flight;
pub(super) use self::flight::WINDOW;
use self::reader::{Asking, MAX_QUESTIONS, Question, Reply, Step};
use self::survey::Report;
use self::throttle::Throttle;
use super::buffer::Ration;
use super::loss::Losses;
use super::outgoing::Outgoing;
use super::progress::{Cause, Fault, Progress, RateMeter, State};
use super::proto::{Message, Preview, Reason, TransferId};
use super::ranges::RangeSet;
use super::source::{Excludes, Source};
use crate::error::chain;
use crate::peer::{CloseReason, Peers, Session};
use crate::transfer::{Inbound, Stop};
use filefleet_server::protos::certificate::IdentityKey;
use filefleet_server::protos::name::Name;

/// The most pages of the manifest that are looked up at once.
const MAX_PAGES: usize = 2;
/// Messages that may wait for the session before no more pages are looked up: a receiver that asks
/// and does not read gets none.
const MAX_BACKLOG: usize = 64;
/// How long a goodbye may take before the transfer ends without it.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long a receiver that may have everything is listened to after a cancel: its last commit may be
/// under way.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What is to be sent, and to whom.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: TransferId,
    pub(crate) to: Name,
    /// The identity that the name is pinned to.
    pub(crate) expected: Option<IdentityKey>,
    pub(crate) sources: Vec<PathBuf>,
    /// Globs of what is left out below them.
    pub(crate) exclude: Vec<String>,
    /// The most bytes of content per second.
    pub(crate) limit: Option<u64>,
    /// Whether what was sent before is compared by its content.
    pub(crate) checksum: bool,
    /// Whether what differs from it is to replace it.
    pub(crate) update: bool,
    /// Whether extended attributes are sent.
    pub(crate) xattrs: bool,
    /// The text that the one source is, to be shown to the receiver.
    pub(crate) text: Option<String>,
    /// The receiver already has the request (before this program was started again): wait for its
    /// answer instead of asking.
    pub(crate) asked: bool,
    /// The receiver may have accepted an earlier run and may have all of it.
    pub(crate) resumed: bool,
}

/// Runs a transfer to its end, or until something is in the way that passes, which `progress` tells.
/// `mailbox` brings what the peer says about it; `wake` says that the peer may be there (again);
/// content is read into `buffers`.
pub(crate) async fn run(
    order: Order,
    peers: Peers,
    mailbox: mpsc::Receiver<Inbound>,
    progress: watch::Sender<Progress>,
    stop: Stop,
    wake: Arc<Notify>,
    buffers: Ration,
) {
    let started = Sender::start(order, peers, mailbox, progress.clone(), stop, wake, buffers);
    let outcome = match started {
        Ok(mut sender) => match sender.run().await {
            Err(fault) => sender.goodbye(fault).await,
            done => done,
        },
        Err(fault) => Err(fault),
    };
    progress.send_modify(|progress| match outcome {
        Ok(()) if progress.failed_files == 0 => progress.state = State::Done,
        Ok(()) => {
            progress.state = State::Failed;
            let text = format!("{} of the files could not be sent", progress.failed_files);
            progress.fault = Some(Fault::new(Cause::SomeFilesFailed, text));
        }
        Err(fault) => {
            progress.state = fault.state();
            progress.fault = Some(fault);
        }
    });
}

struct Sender {
    order: Order,
    source: Arc<Source>,
    throttle: Option<Arc<Throttle>>,
    peers: Peers,
    mailbox: mpsc::Receiver<Inbound>,
    progress: watch::Sender<Progress>,
    stop: Stop,
    wake: Arc<Notify>,
    buffers: Ration,
    reports: mpsc::Receiver<Report>,
    preview: Vec<Preview>,
    pages: JoinSet<Message>,
    /// When a request that waits is asked again.
    ask_again: tokio::time::Instant,
    /// Names this run: its numbers of files and packs mean nothing in another.
    run: u64,
    /// The receiver's state of this transfer, once it has accepted.
    instance: Option<u64>,
    /// Whether the receiver has something to compare with in this state.
    compares: bool,
    session: Option<Session>,
    content: Content,
}

/// What has been read for one state of the receiver and is not yet delivered; it outlives sessions.
struct Content {
    steps: Option<mpsc::Receiver<Step>>,
    /// A step that must wait until the blocks of its file's earlier revision are stored.
    held: Option<Step>,
    flight: Flight,
    /// Files that are on their way in blocks: what the receiver must hear again in a new session.
    open_files: std::collections::BTreeMap<u64, OpenFile>,
    /// Files that were given up after the receiver had heard of them.
    failed: Vec<Message>,
    /// Files that either side gave up, so that each is reported once.
    given_up: RangeSet,
    finish: Option<Message>,
    /// What was not sent of what was.
    losses: Losses,
    /// What the receiver was asked and has not answered, and where the answers go.
    asked: Vec<(Question, Message)>,
    replies: Option<mpsc::Sender<(Question, Reply)>>,
    outgoing: Outgoing,
    meter: RateMeter,
    stored_bytes: u64,
}

struct OpenFile {
    start: Message,
    end: Option<Message>,
    path: String,
}

/// How a phase of a transfer went on.
enum Phase {
    Complete,
    /// The session is gone, for this reason.
    Lost(CloseReason),
}

impl Sender {
    fn start(
        order: Order,
        peers: Peers,
        mailbox: mpsc::Receiver<Inbound>,
        progress: watch::Sender<Progress>,
        stop: Stop,
        wake: Arc<Notify>,
        buffers: Ration,
    ) -> Result<Self, Fault> {
        let excludes = Excludes::new(&order.exclude)
            .map_err(|error| Fault::reason(Reason::Other, chain(&error)))?;
        let source = Source::new(&order.sources)
            .map_err(|error| Fault::reason(Reason::SourceUnreadable, error.to_string()))?;
        let source = Arc::new(source.without(excludes).with_attributes(order.xattrs));
        let throttle = order.limit.map(|rate| Arc::new(Throttle::new(rate)));
        let walk = source.walk();
        // Two: the first report and the last one.
        let (send_report, reports) = mpsc::channel(2);
        tokio::task::spawn_blocking(move || survey::count(walk, send_report));
        let content = Content::new(order.id);
        Ok(Self {
            order,
            source,
            throttle,
            peers,
            mailbox,
            progress,
            stop,
            wake,
            buffers,
            reports,
            preview: Vec::new(),
            pages: JoinSet::new(),
            ask_again: tokio::time::Instant::now(),
            run: random_run(),
            instance: None,
            compares: false,
            session: None,
            content,
        })
    }

    async fn run(&mut self) -> Result<(), Fault> {
        let report = tokio::select! {
            biased;
            // A source on a network drive may not answer.
            fault = self.stop.requested() => return Err(fault),
            report = self.reports.recv() => report,
        };
        if let Some(report) = report {
            self.preview = report.preview;
            self.progress.send_modify(|progress| progress.totals = report.totals);
        }
        let mut lost_at: Option<Instant> = None;
        loop {
            let answered = match self.order.asked {
                true => self.await_answer_anywhere().await?,
                false => match self.connect(lost_at).await? {
                    Some(session) => self.ask(session).await?,
                    None => continue,
                },
            };
            let session = match answered {
                Asked::Go(session) => session,
                Asked::Lost => continue,
                Asked::Complete => return Ok(()),
            };
            lost_at = None;
            match self.stream(session).await? {
                Phase::Complete => return Ok(()),
                Phase::Lost(reason) => {
                    tracing::info!(transfer = %self.order.id, ?reason, "session lost");
                    refuse_to_go_on(&reason)?;
                    lost_at.get_or_insert_with(Instant::now);
                    self.show_away();
                }
            }
        }
    }

    /// Looks up a page of the manifest on a blocking thread.
    fn page(&mut self, offset: u64, limit: u16) {
        // A peer that asks faster than we walk gets fewer answers.
        if self.pages.len() < MAX_PAGES && self.content.outgoing.len() < MAX_BACKLOG {
            let source = Arc::clone(&self.source);
            self.pages.spawn_blocking(move || survey::page(&source, offset, limit));
        }
    }

    fn counted(&mut self, report: &Report) {
        self.progress.send_modify(|progress| progress.totals = report.totals);
        self.content.outgoing.push(Message::Totals(report.totals));
    }

    fn show_away(&self) {
        self.progress.send_modify(|progress| {
            progress.state = State::Paused;
            progress.rate = 0;
            progress.goes_over_none();
            progress.detail = Some(format!("looking for {} again", self.order.to));
        });
    }

    /// Notes the state in which the receiver has accepted. Where it is not the one that content was
    /// read for, all is read again from the beginning.
    fn accepted(&mut self, instance: u64, compares: bool) {
        if self.instance.replace(instance) == Some(instance) {
            return;
        }
        self.compares = compares;
        self.content = Content::new(self.order.id);
        self.progress.send_modify(|progress| {
            progress.accepted = true;
            (progress.files_done, progress.bytes_done) = (0, 0);
            (progress.files_there, progress.bytes_there) = (0, 0);
            progress.file_faults.clear();
            progress.failed_files = 0;
        });
    }

    fn start_reading(&mut self) {
        let Some(instance) = self.instance else { return };
        if self.content.steps.is_some() || self.content.finish.is_some() {
            return;
        }
        // Full: the reading thread waits. Four chunks are read ahead of the window.
        let (send_step, steps) = mpsc::channel(4);
        let (id, buffers) = (self.order.id, self.buffers.clone());
        let source = Arc::clone(&self.source);
        // As many answers as questions may be asked: it is never full.
        let replies = self.compares.then(|| {
            let (send_reply, replies) = mpsc::channel(MAX_QUESTIONS);
            self.content.replies = Some(send_reply);
            replies
        });
        let checksum = self.order.checksum;
        let asking = replies.map(|replies| Asking { replies, checksum });
        tokio::task::spawn_blocking(move || {
            reader::read(id, instance, source, buffers, send_step, asking);
        });
        self.content.steps = Some(steps);
    }

    /// Tells the receiver that the transfer is over, if it does not know. One that had everything by
    /// then answers that it is complete, and so it is.
    async fn goodbye(&mut self, fault: Fault) -> Result<(), Fault> {
        let session = self.session.clone().filter(|_| !fault.by_peer);
        let (Some(session), Cause::Reason(reason)) = (session, fault.cause) else {
            return Err(fault);
        };
        if fault.is_passing() {
            // It is not over: the end of the session says that this side is away for a while.
            return Err(fault);
        }
        self.content.outgoing.clear();
        let text = reason.text_for_peer(&fault.text);
        self.content.outgoing.push(Message::Cancel { reason, text });
        // The receiver gives up by itself if this does not reach it.
        let told = tokio::time::timeout(GOODBYE, self.content.outgoing.flush(&session)).await;
        let may_be_complete = matches!(told, Ok(Ok(()))) && self.content.finish.is_some();
        if may_be_complete && self.last_word().await { Ok(()) } else { Err(fault) }
    }

    /// Whether the receiver says, within a moment, that it had everything before the end reached it.
    async fn last_word(&mut self) -> bool {
        let listen = async {
            while let Some(inbound) = self.mailbox.recv().await {
                let is_complete = matches!(inbound.message, Message::Complete { .. });
                // What went wrong is known already.
                let _ = self.inbound(inbound);
                if is_complete {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(LAST_WORD, listen).await.unwrap_or(false)
    }
}

impl Content {
    fn new(id: TransferId) -> Self {
        Self {
            steps: None,
            held: None,
            flight: Flight::default(),
            open_files: std::collections::BTreeMap::new(),
            failed: Vec::new(),
            given_up: RangeSet::default(),
            finish: None,
            losses: Losses::default(),
            asked: Vec::new(),
            replies: None,
            outgoing: Outgoing::new(id),
            meter: RateMeter::new(),
            stored_bytes: 0,
        }
    }
}

fn random_run() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    u64::from_be_bytes(bytes)
}

fn internal(error: &tokio::task::JoinError) -> Fault {
    Fault::reason(Reason::Other, error.to_string())
}

fn cancelled() -> Fault {
    Fault::reason(Reason::Cancelled, "")
}

/// A session that was closed for a reason of its own ends this run.
fn refuse_to_go_on(reason: &CloseReason) -> Result<(), Fault> {
    match reason {
        CloseReason::GoingAway => Err(Fault::from_peer(Reason::GoingAway, "")),
        CloseReason::IdentityChanged => Err(Fault::new(Cause::IdentityChanged, "")),
        // The same would happen again, as often as we try.
        CloseReason::Protocol => Err(Fault::reason(Reason::Protocol, "")),
        _ => Ok(()),
    }
}
