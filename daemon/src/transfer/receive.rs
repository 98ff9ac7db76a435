//! Receiving one transfer: answers the sender, passes what comes to the writing thread and what that
//! thread says back to the sender, and waits for a sender that went away for a moment.
//!
//! One task per transfer ([`run`]), one writing thread ([`writer`]); blocks and packs come from
//! their streams ([`streams`]) without passing through the task.

mod deferred;
mod stalled;
pub(crate) mod streams;
pub(crate) mod writer;
mod writing;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use self::stalled::{Stalled, Tries};
use self::writer::{Ended, Job, Terms, Written};
use self::writing::{Plan, Writing};
use super::loss::Losses;
use super::outgoing::{Outgoing, closed, flush_one};
use super::progress::{Cause, Fault, Progress, RateMeter, State};
use super::proto::{Ack, Answer, Message, Reason, Totals, TransferId};
use super::{Inbound, Stop};
use crate::peer::{CloseReason, Session, SessionGuard};
use crate::policy::Update;
use crate::store::{Agreed, Store};

/// How long a run waits for a sender that went away; longer than the sender's run looks for us. After
/// it the content that came is put down, to go on from when the sender is back.
const AWAY_LIMIT: Duration = Duration::from_secs(60);
/// How long a goodbye may take before the transfer ends without it.
const GOODBYE: Duration = Duration::from_secs(1);
/// Messages of the sender that may wait for the writing thread before we stop listening to it.
const MAX_JOBS: usize = 256;
/// How long blocks may wait for the start of their file. It comes with them or, when its link died,
/// within a few seconds over another.
const PARK_LIMIT: Duration = Duration::from_secs(15);
/// Failed files that are said again in a new session. One is enough for the sender to know that not
/// all went well; these are as many as anybody reads.
const MAX_SAID_AGAIN: usize = 1_000;
/// How often progress is told.
const PROGRESS_STEP: Duration = Duration::from_millis(100);

/// An accepted transfer.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) id: TransferId,
    pub(crate) dest_dir: PathBuf,
    /// Whether the folder is made when it does not exist: ours by default is, one that somebody named
    /// must be there.
    pub(crate) make_dir: bool,
    /// The most bytes of content that are taken, whatever the request says.
    pub(crate) max_bytes: Option<u64>,
    /// What the person was shown who accepted it, if it was said to be all.
    pub(crate) agreed: Option<Agreed>,
    /// What happens to files that were delivered before.
    pub(crate) update: Update,
    pub(crate) totals: Totals,
    /// The names at the top of what is sent, where all of them are known.
    pub(crate) tops: Option<Vec<Vec<u8>>>,
}

/// What joins a run with everybody else.
#[derive(Debug)]
pub(super) struct Ends {
    /// What the sender says.
    pub(super) mailbox: mpsc::Receiver<Inbound>,
    /// The way to the writing thread, and its end there.
    pub(super) jobs: (mpsc::Sender<Job>, mpsc::Receiver<Job>),
    /// How many bytes of content links have brought.
    pub(super) received: Arc<AtomicU64>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) stop: Stop,
}

/// Receives a transfer to its end, or until its sender is away for long, which the progress tells.
/// Gives back what the sender said when this had ended but the transfer had not: a new run has to see
/// to it.
pub(super) async fn run(
    reception: Reception,
    store: Store,
    session: Session,
    ends: Ends,
) -> Vec<Inbound> {
    let Ends { mailbox, jobs: (jobs, job_queue), received, progress, stop } = ends;
    // Full: the writing thread waits for this task, which always reads.
    let (tell, told) = mpsc::channel(64);
    let Reception { id, dest_dir, make_dir, max_bytes, agreed, update, totals, tops } = reception;
    let sender = session.identity();
    let folder_id = super::folder_id(&sender, id);
    let terms = Terms { max_bytes, agreed, update };
    let plan = Plan { dest_dir, make_dir, folder_id, terms, sender, id, tops, store };
    let instance = random_instance();
    let writing = Writing::start(&plan, instance, None, job_queue, tell.clone());
    let mut receiver = Receiver {
        plan,
        writing: Some(writing),
        tell,
        guard: Some(session.hold()),
        session: Some(session),
        mailbox,
        jobs,
        waiting_jobs: VecDeque::new(),
        told,
        received,
        progress,
        stop,
        outgoing: Outgoing::new(id),
        failed: Vec::new(),
        instance,
        is_ready: false,
        was_ready: false,
        compares: false,
        run: None,
        has_begun: false,
        stalled: None,
        tries: Tries::default(),
        lost_at: None,
        parked_since: None,
        meter: RateMeter::new(),
        stored_bytes: 0,
    };
    receiver.progress.send_modify(|progress| {
        progress.state = State::Active;
        progress.totals = totals;
    });
    let outcome = receiver.run().await;
    receiver.end(outcome).await
}

fn random_instance() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    u64::from_be_bytes(bytes)
}

struct Receiver {
    plan: Plan,
    writing: Option<Writing>,
    tell: mpsc::Sender<Written>,
    session: Option<Session>,
    guard: Option<SessionGuard>,
    mailbox: mpsc::Receiver<Inbound>,
    jobs: mpsc::Sender<Job>,
    waiting_jobs: VecDeque<Job>,
    told: mpsc::Receiver<Written>,
    received: Arc<AtomicU64>,
    progress: watch::Sender<Progress>,
    stop: Stop,
    outgoing: Outgoing,
    /// Files that could not be stored: said again in a new session, for the word of it may be lost.
    failed: Vec<Message>,
    /// Names what the writing thread has, and the thread itself.
    instance: u64,
    /// Whether the thread has the destination open.
    is_ready: bool,
    /// Whether one had it open before.
    was_ready: bool,
    /// Whether it has something with which entries are compared before they are sent.
    compares: bool,
    /// The run of the sender whose numbers of files and packs the thread knows.
    run: Option<u64>,
    /// Whether the sender has said in this session that it speaks of this state.
    has_begun: bool,
    /// Why nothing can be stored for the moment.
    stalled: Option<Stalled>,
    tries: Tries,
    lost_at: Option<Instant>,
    /// Since when a block waits for the start of its file.
    parked_since: Option<Instant>,
    meter: RateMeter,
    stored_bytes: u64,
}

impl Receiver {
    /// Tells the sender that it may send, once all is ready for it, or why not for the moment.
    fn accept(&mut self) {
        if let Some(Stalled { fault, .. }) = &self.stalled
            && let Cause::Reason(reason) = fault.cause
        {
            self.outgoing.push(Message::Stalled { reason, text: fault.text.clone() });
        } else if self.is_ready {
            let (instance, compares) = (self.instance, self.compares);
            self.outgoing.push(Message::Answer(Answer::Accept { instance, compares }));
        }
    }

    async fn run(&mut self) -> Result<(u64, u64), Fault> {
        let mut tick = tokio::time::interval(PROGRESS_STEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let jobs = self.jobs.clone();
        loop {
            let session = self.session.clone();
            tokio::select! {
                biased;
                fault = self.stop.requested() => return Err(fault),
                Some(written) = self.told.recv() => self.written(written),
                // After all that it told.
                ended = writing::ended(&mut self.writing) => {
                    let (ended, jobs) = ended?;
                    match ended {
                        Ended::Complete { files, bytes } => return Ok((files, bytes)),
                        Ended::Failed(fault) => return Err(fault),
                        Ended::Abandoned => return Err(Fault::reason(Reason::Cancelled, "")),
                        Ended::Left => self.begin_anew(jobs, None),
                        Ended::Stalled(fault) => self.stall(fault, jobs)?,
                    }
                }
                jobs = stalled::due(&mut self.stalled) => {
                    self.begin_anew(jobs, Some(self.tries.room()));
                }
                Ok(permit) = jobs.reserve(), if !self.waiting_jobs.is_empty() => {
                    if let Some(job) = self.waiting_jobs.pop_front() {
                        permit.send(job);
                    }
                }
                inbound = self.mailbox.recv(), if self.waiting_jobs.len() < MAX_JOBS => {
                    let gone = || Fault::reason(Reason::GoingAway, "");
                    self.inbound(inbound.ok_or_else(gone)?)?;
                }
                reason = closed(session.as_ref()) => self.lost(&reason)?,
                () = flush_one(&mut self.outgoing, session.as_ref()),
                    if !self.outgoing.is_empty() => {}
                _ = tick.tick() => self.tick()?,
            }
            if self.outgoing.is_overfull() {
                return Err(Fault::reason(Reason::Protocol, "acknowledgements are not read"));
            }
        }
    }

    fn inbound(&mut self, Inbound { session, message }: Inbound) -> Result<(), Fault> {
        let is_current = self.session.as_ref().is_some_and(|current| current.is(&session));
        match message {
            // One that was on its way when its session ended was asked again in another.
            Message::Request { .. } if session.close_reason().is_some() => {}
            Message::Request { .. } => {
                // The sender has lost the session and goes on in this one.
                self.guard = Some(session.hold());
                self.session = Some(session);
                self.lost_at = None;
                // What the same session says again changes nothing.
                self.has_begun &= is_current;
                self.show_going_on();
                self.accept();
                self.failed.iter().for_each(|failed| self.outgoing.push(failed.clone()));
            }
            Message::Totals(totals) => {
                self.progress.send_modify(|progress| progress.totals = totals);
            }
            Message::Cancel { reason, text } => return Err(Fault::from_peer(reason, text)),
            Message::Begin { instance, run } => {
                self.has_begun = false;
                if is_current && self.is_ready && instance == self.instance {
                    self.sender_begins(run);
                }
            }
            // It speaks of another state, or of another session's.
            _ if !is_current || !self.has_begun => {}
            Message::Start { file, revision, entry } => {
                self.waiting_jobs.push_back(Job::Start { file, revision, entry });
            }
            Message::End { file, revision, root } => {
                self.waiting_jobs.push_back(Job::End { file, revision, root });
            }
            Message::FileFailed { file, reason, text, name } => {
                self.waiting_jobs.push_back(Job::GiveUp { file, reason, text, name });
            }
            Message::Finish { entries } => self.waiting_jobs.push_back(Job::Finish { entries }),
            Message::Offer { number, entries, hashes } => {
                self.waiting_jobs.push_back(Job::Offer { number, entries, hashes });
            }
            Message::BlocksQuery { file, revision, first, count } => {
                self.waiting_jobs.push_back(Job::BlocksQuery { file, revision, first, count });
            }
            _ => {}
        }
        Ok(())
    }

    /// The sender speaks of this state. One that was restarted names files and packs by other
    /// numbers: the thread makes room for another one.
    fn sender_begins(&mut self, run: u64) {
        self.has_begun = *self.run.get_or_insert(run) == run;
        if !self.has_begun {
            self.is_ready = false;
            self.waiting_jobs.clear();
            self.waiting_jobs.push_back(Job::Leave);
        }
    }

    /// Starts another writing thread, which knows nothing of what the sender has said so far; with
    /// `room`, it needs that at least.
    fn begin_anew(&mut self, jobs: mpsc::Receiver<Job>, room: Option<u64>) {
        self.forget();
        let (instance, tell) = (self.instance, self.tell.clone());
        self.writing = Some(Writing::start(&self.plan, instance, room, jobs, tell));
    }

    /// Nothing can be stored for the moment: what has arrived stays, and it is tried again. Where
    /// nothing ever could, only what is full is waited for.
    fn stall(&mut self, fault: Fault, jobs: mpsc::Receiver<Job>) -> Result<(), Fault> {
        if !self.was_ready && fault.cause != Cause::Reason(Reason::NoSpace) {
            return Err(fault);
        }
        let pause = self.tries.failed();
        tracing::info!(transfer = %self.plan.id, reason = %fault.text, ?pause, "stalled");
        self.forget();
        self.stalled = Some(Stalled::new(fault, pause, jobs));
        if self.session.is_some() {
            self.show_going_on();
            self.accept();
        }
        Ok(())
    }

    /// What the sender has said belongs to a state that is gone.
    fn forget(&mut self) {
        self.instance = random_instance();
        (self.run, self.has_begun, self.is_ready) = (None, false, false);
        self.waiting_jobs.clear();
        self.outgoing.clear();
        self.failed.clear();
        self.parked_since = None;
        self.stored_bytes = 0;
        self.progress.send_modify(|progress| {
            (progress.files_done, progress.bytes_done) = (0, 0);
            progress.file_faults.clear();
            progress.failed_files = 0;
        });
    }

    /// Handles what the writing thread says.
    fn written(&mut self, written: Written) {
        match written {
            Written::Ready { instance, compares } => {
                (self.is_ready, self.compares) = (instance == self.instance, compares);
                self.was_ready |= self.is_ready;
                if self.is_ready && self.stalled.take().is_some() && self.session.is_some() {
                    self.show_going_on();
                }
                self.accept();
            }
            Written::Stored { ack, bytes, link } => {
                self.outgoing.push_ack(ack);
                self.stored_bytes += bytes;
                let total = self.stored_bytes;
                let obstacle = self.session.as_ref().and_then(Session::obstacle);
                self.progress.send_if_modified(|progress| {
                    progress.bytes_done = total;
                    progress.links.add(link, bytes);
                    (progress.link, progress.obstacle) = (Some(link), obstacle);
                    false
                });
            }
            Written::Verdicts { number, verdicts } => {
                self.outgoing.push(Message::Verdicts { number, verdicts });
            }
            Written::Blocks { file, first, cvs, bytes } => {
                self.outgoing.push(Message::Blocks { file, first, cvs });
                self.stored_bytes += bytes;
            }
            Written::Parked { since } => self.parked_since = since,
            Written::Whole { file, revision } => {
                self.outgoing.push_ack(Ack::File { file, revision });
            }
            Written::Delivered { files, bytes } => {
                self.outgoing.push_delivered(files, bytes);
                self.tries.succeeded();
                self.progress.send_if_modified(|progress| {
                    progress.files_done = files;
                    false
                });
            }
            Written::Placed { replaced, beside } => {
                self.outgoing.push_placed(replaced, beside);
                self.progress.send_modify(|progress| {
                    (progress.files_replaced, progress.files_beside) = (replaced, beside);
                });
            }
            Written::Arrived(paths) => {
                self.progress.send_if_modified(|progress| {
                    progress.arrived(paths);
                    false
                });
            }
            Written::Lost(losses) => {
                self.progress.send_modify(|progress| progress.losses = losses);
            }
            Written::FileFailed { file, path, reason, text } => {
                self.progress.send_modify(|p| p.file_failed(path.clone(), reason, text.clone()));
                let failed = Message::FileFailed { file, reason, text, name: path };
                self.outgoing.push(failed.clone());
                if self.failed.len() < MAX_SAID_AGAIN {
                    self.failed.push(failed);
                }
            }
            Written::GivenUp { path, reason, text } => {
                self.progress.send_modify(|progress| progress.file_failed(path, reason, text));
            }
        }
    }

    /// The session is gone: the sender may come back in another one.
    fn lost(&mut self, reason: &CloseReason) -> Result<(), Fault> {
        self.session = None;
        self.guard = None;
        self.has_begun = false;
        match reason {
            CloseReason::GoingAway => return Err(Fault::from_peer(Reason::GoingAway, "")),
            // It would break it again.
            CloseReason::Protocol => return Err(Fault::reason(Reason::Protocol, "")),
            _ => {}
        }
        self.lost_at = Some(Instant::now());
        self.progress.send_modify(|progress| {
            progress.state = State::Paused;
            progress.rate = 0;
            progress.goes_over_none();
            progress.detail = Some("the sender went away; waiting for it to come back".to_owned());
        });
        Ok(())
    }

    /// Shows that content flows, or why it does not although the sender is there.
    fn show_going_on(&self) {
        let reason = self.stalled.as_ref().map(|stalled| stalled.fault.text.clone());
        self.progress.send_modify(|progress| {
            progress.state = if reason.is_some() { State::Paused } else { State::Active };
            progress.detail = reason;
        });
    }

    fn tick(&mut self) -> Result<(), Fault> {
        if self.lost_at.is_some_and(|at| at.elapsed() > AWAY_LIMIT) {
            return Err(Fault::new(Cause::Offline, "the sender did not come back"));
        }
        if self.lost_at.is_none() && self.parked_since.is_some_and(|at| at.elapsed() > PARK_LIMIT) {
            return Err(Fault::reason(Reason::Protocol, "blocks of files that were not announced"));
        }
        if self.lost_at.is_none() {
            self.show();
        }
        Ok(())
    }

    fn show(&mut self) {
        let now = Instant::now();
        let rate = self.meter.sample(now, self.stored_bytes);
        let active = self.meter.elapsed(now);
        let received_bytes = self.received.load(Ordering::Relaxed);
        self.progress.send_modify(|progress| {
            (progress.rate, progress.active) = (rate, active);
            progress.received_bytes = received_bytes;
        });
    }

    /// Waits for the writing thread to clean up, tells the sender how it ended, and `progress`.
    async fn end(mut self, outcome: Result<(u64, u64), Fault>) -> Vec<Inbound> {
        // First: the thread may be waiting to tell, and then takes no jobs.
        self.told.close();
        let outcome = match outcome {
            Ok(delivered) => Ok(delivered),
            Err(fault) => self.stop_writing(fault).await,
        };
        match &outcome {
            Ok((files, bytes)) => {
                self.show();
                let (files, bytes) = (*files, *bytes);
                self.progress.send_modify(|progress| {
                    (progress.files_done, progress.bytes_done) = (files, bytes);
                });
                let losses = self.progress.borrow().losses.clone();
                self.note_received(files, bytes, &losses).await;
                self.outgoing.push(Message::Complete { files, bytes, losses });
            }
            Err(fault) => {
                self.show();
                self.outgoing.clear();
                // What passes is not over: the end of the session says that this side is away.
                let ends = !fault.is_passing() && !fault.by_peer;
                if let (true, Cause::Reason(reason)) = (ends, fault.cause) {
                    self.outgoing.push(Message::Cancel { reason, text: fault.text.clone() });
                }
            }
        }
        // Before the goodbye: whoever asks from now on is answered from the record.
        self.tell_outcome(outcome.map(drop));
        let last = self.outgoing.last().cloned();
        if let Some(session) = self.session.take() {
            let _ = tokio::time::timeout(GOODBYE, self.outgoing.flush(&session)).await;
        }
        // Who asked in another session meanwhile would wait for ever.
        self.mailbox.close();
        let mut late = Vec::new();
        while let Some(inbound) = self.mailbox.recv().await {
            match (&inbound.message, &last) {
                (Message::Request { .. }, Some(last)) => {
                    self.outgoing.clear();
                    self.outgoing.push(last.clone());
                    let flushed = self.outgoing.flush(&inbound.session);
                    let _ = tokio::time::timeout(GOODBYE, flushed).await;
                }
                (Message::Request { .. }, None) => late.push(inbound),
                _ => {}
            }
        }
        late
    }

    /// Notes that all has arrived. What could not all be stored is told by the daemon, with reasons.
    async fn note_received(&self, files: u64, bytes: u64, losses: &Losses) {
        if self.progress.borrow().failed_files > 0 {
            return;
        }
        let noted = self.plan.store.note_received(self.plan.id, files, bytes, losses.views());
        if let Err(error) = noted.await {
            tracing::error!(%error, "cannot note that a transfer is complete");
        }
    }

    /// Ends the writing thread. What is complete by then stays delivered, whatever came after.
    async fn stop_writing(&mut self, fault: Fault) -> Result<(u64, u64), Fault> {
        // With its queue, of which a thread that rests takes nothing.
        let was_stalled = self.stalled.take().is_some();
        let last = if fault.state().is_final() { Job::Abandon } else { Job::Leave };
        let ended = match self.writing.is_some() {
            true => tokio::select! {
                biased;
                // One that has ended takes no jobs, and its queue may be full.
                outcome = writing::ended(&mut self.writing) => Some(outcome?.0),
                _ = self.jobs.send(last) => Some(writing::ended(&mut self.writing).await?.0),
            },
            false => None,
        };
        match ended {
            Some(Ended::Complete { files, bytes }) => return Ok((files, bytes)),
            Some(Ended::Stalled(_)) => self.clean_up(&fault).await,
            None if was_stalled => self.clean_up(&fault).await,
            _ => {}
        }
        Err(fault)
    }

    /// Removes what no thread is there to remove.
    async fn clean_up(&self, fault: &Fault) {
        if fault.state().is_final() {
            let (dest_dir, folder_id) = (self.plan.dest_dir.clone(), self.plan.folder_id);
            let remove = move || super::remove_partial(&dest_dir, folder_id);
            // It tells itself what goes wrong.
            let _ = tokio::task::spawn_blocking(remove).await;
        }
    }

    fn tell_outcome(&self, outcome: Result<(), Fault>) {
        self.progress.send_modify(|progress| match outcome {
            Ok(()) if progress.failed_files == 0 => progress.state = State::Done,
            Ok(()) => {
                progress.state = State::Failed;
                let text = format!("{} of the files were not received", progress.failed_files);
                progress.fault = Some(Fault::new(Cause::SomeFilesFailed, text));
            }
            Err(fault) => {
                progress.state = fault.state();
                progress.fault = Some(fault);
            }
        });
    }
}
