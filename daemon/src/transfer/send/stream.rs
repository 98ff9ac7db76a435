//! The streaming phase of a transfer: chunks from the reading thread go out over the session's links
//! within the window, and what the receiver says about them comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::flight::Corrupt;
use super::reader::{Chunk, ChunkId, Question, Reply, Step};
use super::throttle::Throttle;
use super::{Content, OpenFile, Phase, Sender, cancelled, internal};

use crate::peer::{LinkId, LinkKind, Session, SessionClosed};
use crate::transfer::Inbound;
use crate::transfer::outgoing::{closed, flush_one};
use crate::transfer::progress::{Fault, State};
use crate::transfer::proto::{Ack, Answer, Message, Reason};
use crate::transfer::ranges::Inserted;
use crate::transfer::receive::writer::name_or_number;

/// How often progress is told while content flows.
const PROGRESS_STEP: Duration = Duration::from_millis(100);

/// A chunk's handing over to a link: its bytes of content, and which link took it, if any did.
type Handed = (ChunkId, u64, Result<(LinkId, LinkKind), SendError>);

/// Why a chunk was not handed over.
#[derive(Debug)]
enum SendError {
    /// The session is closed.
    Session,
    /// The link died underneath.
    Link,
}

impl Sender {
    /// Streams until the transfer is complete or the session is gone.
    pub(super) async fn stream(&mut self, session: Session) -> Result<Phase, Fault> {
        let _guard = session.hold();
        session.allow_direct();
        self.session = Some(session.clone());
        loop {
            if let Some(phase) = self.stream_run(&session).await? {
                return Ok(phase);
            }
            tracing::info!(transfer = %self.order.id, "the receiver begins anew");
        }
    }

    /// Streams for one state of the receiver; `None` when the receiver has another one.
    async fn stream_run(&mut self, session: &Session) -> Result<Option<Phase>, Fault> {
        self.resume_in_session();
        self.start_reading();
        self.progress.send_modify(|progress| {
            progress.state = State::Active;
            progress.detail = None;
        });
        let mut handing: JoinSet<Handed> = JoinSet::new();
        let mut links = session.links();
        let mut tick = tokio::time::interval(PROGRESS_STEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.hand_out(session, &mut handing);
            let room = self.content.flight.has_room() && self.content.held.is_none();
            let waiting = !self.content.outgoing.is_empty();
            tokio::select! {
                biased;
                fault = self.stop.requested() => return Err(fault),
                Some(handed) = handing.join_next() => {
                    self.handed(session, handed.map_err(|error| internal(&error))?);
                }
                inbound = self.mailbox.recv() => {
                    let inbound = inbound.ok_or_else(cancelled)?;
                    if self.is_anew(session, &inbound) {
                        return Ok(None);
                    }
                    if self.inbound(inbound)? {
                        return Ok(Some(Phase::Complete));
                    }
                }
                Ok(()) = links.changed() => {
                    let live: Vec<_> = links.borrow_and_update().iter().map(|link| link.id).collect();
                    self.content.flight.keep_links(|id| live.contains(&id));
                }
                reason = closed(Some(session)) => return Ok(Some(Phase::Lost(reason))),
                () = flush_one(&mut self.content.outgoing, Some(session)), if waiting => {}
                Some(page) = self.pages.join_next() => {
                    self.content.outgoing.push(page.map_err(|error| internal(&error))?);
                }
                Some(report) = self.reports.recv() => self.counted(&report),
                step = next_step(&mut self.content.steps), if room => {
                    if step.is_none() && self.content.finish.is_none() {
                        return Err(Fault::reason(Reason::Other, "the reading thread ended"));
                    }
                    self.step(step);
                }
                _ = tick.tick() => self.show(session),
            }
        }
    }

    /// Hands out what is ready; under a limit, one chunk after the other, for several that share a low
    /// rate would each take longer than the receiver waits.
    fn hand_out(&mut self, session: &Session, handing: &mut JoinSet<Handed>) {
        let most = if self.throttle.is_some() { 1 } else { usize::MAX };
        while handing.len() < most
            && let Some(chunk) = self.content.flight.next_ready()
        {
            handing.spawn(hand_over(session.clone(), chunk, self.throttle.clone()));
        }
    }

    /// Whether the receiver has said in this session that it has another state now.
    fn is_anew(&mut self, current: &Session, Inbound { session, message }: &Inbound) -> bool {
        let Message::Answer(Answer::Accept { instance, compares }) = message else { return false };
        let is_anew = session.is(current) && self.instance != Some(*instance);
        if is_anew {
            self.accepted(*instance, *compares);
        }
        is_anew
    }

    /// Says again, in a new session, what the receiver may not have heard in the last one.
    fn resume_in_session(&mut self) {
        let Some(instance) = self.instance else { return };
        let totals = self.progress.borrow().totals;
        let content = &mut self.content;
        content.outgoing.clear();
        content.outgoing.push(Message::Begin { instance, run: self.run });
        content.outgoing.push(Message::Totals(totals));
        for open in content.open_files.values() {
            content.outgoing.push(open.start.clone());
        }
        content.asked.iter().for_each(|(_, asked)| content.outgoing.push(asked.clone()));
        content.flight.restart();
        let ends = content.open_files.values().filter_map(|open| open.end.as_ref());
        let rest = ends.chain(&content.failed).chain(&content.finish).cloned();
        rest.for_each(|message| content.outgoing.push(message));
    }

    fn step(&mut self, step: Option<Step>) {
        let Some(step) = step else {
            self.content.steps = None;
            return;
        };
        match step {
            Step::Chunk(chunk) => self.content.flight.add(chunk),
            Step::Ask { question, message } => {
                self.content.outgoing.push(message.clone());
                self.content.asked.push((question, message));
            }
            Step::Present { bytes, there } => self.present(bytes, there),
            Step::Kept { bytes } => self.stored(bytes, None),
            // A later revision sends only the blocks that differ: the receiver takes the others from
            // the one before. So it hears of its start when it has all of the one before, and of
            // its end when it has all that differs; likewise where it had blocks from another run.
            Step::Start { file, revision: 1.., .. } | Step::End { file, differing: true, .. }
                if self.content.flight.holds_file(file) =>
            {
                self.content.held = Some(step);
            }
            Step::Start { file, revision, entry } => {
                let path = entry.path.to_string();
                let start = Message::Start { file, revision, entry };
                self.content.outgoing.push(start.clone());
                self.content.open_files.insert(file, OpenFile { start, end: None, path });
            }
            Step::End { file, revision, root, .. } => {
                let end = Message::End { file, revision, root };
                self.content.outgoing.push(end.clone());
                if let Some(open) = self.content.open_files.get_mut(&file) {
                    open.end = Some(end);
                }
            }
            Step::Failed { file, path, reason, text } => self.file_failed(file, path, reason, text),
            Step::Finish { entries, losses } => {
                self.progress.send_modify(|progress| progress.losses = losses.clone());
                self.content.losses = losses;
                let finish = Message::Finish { entries };
                self.content.outgoing.push(finish.clone());
                self.content.finish = Some(finish);
            }
        }
    }

    /// Counts a file that the receiver has.
    fn present(&mut self, bytes: u64, there: bool) {
        if there {
            self.progress.send_if_modified(|progress| {
                progress.files_there += 1;
                progress.bytes_there += bytes;
                false
            });
        }
        self.stored(bytes, None);
    }

    /// Counts content that the receiver has, and the kind of link that brought it if one did.
    fn stored(&mut self, bytes: u64, kind: Option<LinkKind>) {
        self.content.stored_bytes += bytes;
        let total = self.content.stored_bytes;
        self.progress.send_if_modified(|progress| {
            progress.bytes_done = total;
            if let Some(kind) = kind {
                progress.links.add(kind, bytes);
            }
            false
        });
    }

    /// Hands an answer to the reading thread; one that was not asked for, or came before, to nobody.
    fn replied(&mut self, question: Question, reply: Reply) {
        let Some(at) = self.content.asked.iter().position(|(asked, _)| *asked == question) else {
            return;
        };
        self.content.asked.remove(at);
        if let Some(replies) = &self.content.replies {
            // A thread that has ended needs no answer.
            let _ = replies.try_send((question, reply));
        }
    }

    fn file_failed(&mut self, file: Option<u64>, path: String, reason: Reason, text: String) {
        if let Some(file) = file {
            self.content.open_files.remove(&file);
            self.content.flight.forget_file(file);
            let (text, name) = (reason.text_for_peer(&text), path.clone());
            let failed = Message::FileFailed { file, reason, text, name };
            self.content.outgoing.push(failed.clone());
            self.content.failed.push(failed);
        }
        self.report_failed(file, path, reason, text);
    }

    /// Reports a file that either side gave up; the receiver says so again in a new session.
    fn report_failed(&mut self, file: Option<u64>, path: String, reason: Reason, text: String) {
        if file.is_none_or(|file| self.content.given_up.insert(file) != Inserted::Present) {
            self.progress.send_modify(|progress| progress.file_failed(path, reason, text));
        }
    }

    /// Handles a message of the receiver; true when the transfer is complete.
    pub(super) fn inbound(&mut self, Inbound { session, message }: Inbound) -> Result<bool, Fault> {
        let is_current = self.session.as_ref().is_some_and(|current| current.is(&session));
        match message {
            // Late words of another session may be of another state; what counts is said again.
            Message::Acked(_)
            | Message::Delivered { .. }
            | Message::FileFailed { .. }
            | Message::Verdicts { .. }
            | Message::Blocks { .. }
            | Message::Placed { .. }
                if !is_current => {}
            Message::Verdicts { number, verdicts } => {
                self.replied(Question::Offer(number), Reply::Verdicts(verdicts));
            }
            Message::Blocks { file, first, cvs } => {
                self.replied(Question::Blocks { file, first }, Reply::Blocks(cvs));
            }
            Message::Placed { replaced, beside } => self.progress.send_modify(|progress| {
                (progress.files_replaced, progress.files_beside) = (replaced, beside);
            }),
            Message::Acked(acks) => acks.into_iter().try_for_each(|ack| self.acked(ack))?,
            Message::Delivered { files, .. } => {
                self.progress.send_if_modified(|progress| {
                    progress.files_done = progress.files_done.max(files);
                    false
                });
            }
            Message::FileFailed { file, reason, text, name } => {
                let open = self.content.open_files.remove(&file);
                let path = open.map_or_else(|| name_or_number(name, file), |open| open.path);
                self.content.flight.forget_file(file);
                self.report_failed(Some(file), path, reason, text);
                self.release_held();
            }
            Message::Stalled { reason, .. } if is_current => self.receiver_stalled(reason),
            Message::Complete { files, bytes, losses } => {
                self.show(&session);
                let losses = self.content.losses.and(&losses);
                self.progress.send_modify(|progress| {
                    progress.losses = losses;
                    progress.files_done = files;
                    progress.bytes_done = bytes;
                });
                return Ok(true);
            }
            Message::Cancel { reason, text }
            | Message::Answer(Answer::Decline { reason, text }) => {
                return Err(Fault::from_peer(reason, text));
            }
            Message::PageQuery { offset, limit } => self.page(offset, limit),
            _ => {}
        }
        Ok(false)
    }

    /// The receiver can store nothing for the moment. What it has not acknowledged is read again when
    /// it can, so nothing of it is kept.
    fn receiver_stalled(&mut self, reason: Reason) {
        self.content = Content::new(self.order.id);
        let to = &self.order.to;
        let detail = match reason {
            Reason::NoSpace => format!("no space left at {to}"),
            reason => format!("{to}: {reason}"),
        };
        self.progress.send_modify(|progress| {
            (progress.state, progress.rate) = (State::Paused, 0);
            progress.detail = Some(detail);
        });
    }

    fn acked(&mut self, ack: Ack) -> Result<(), Fault> {
        let stored = match ack {
            Ack::Pack { number } => self.content.flight.stored(ChunkId::Pack(number), None),
            Ack::Block { file, revision, block, cv } => {
                self.content.flight.stored(ChunkId::Block { file, revision, block }, Some(cv))
            }
            Ack::File { file, revision } => {
                let ended = |open: &OpenFile| matches!(open.end, Some(Message::End { revision: r, .. }) if r == revision);
                if self.content.open_files.get(&file).is_some_and(ended) {
                    self.content.open_files.remove(&file);
                }
                Ok(None)
            }
        };
        let stored = stored.map_err(|Corrupt| Fault::reason(Reason::Corrupt, ""))?;
        if let Some((bytes, kind)) = stored {
            self.stored(bytes, kind);
        }
        self.release_held();
        Ok(())
    }

    /// Goes on with a file's next revision once nothing of the earlier one is on its way.
    fn release_held(&mut self) {
        let free = |step: &Step| match step {
            Step::Start { file, .. } | Step::End { file, .. } => {
                !self.content.flight.holds_file(*file)
            }
            _ => true,
        };
        if self.content.held.as_ref().is_some_and(free) {
            let step = self.content.held.take();
            self.step(step);
        }
    }

    fn handed(&mut self, session: &Session, (id, bytes, result): Handed) {
        match result {
            Ok((link, kind)) => {
                self.progress.send_if_modified(|progress| {
                    progress.sent_bytes += bytes;
                    false
                });
                self.content.flight.leased(id, link, kind);
                // It may have died between taking the chunk and this.
                if !session.links().borrow().iter().any(|live| live.id == link) {
                    self.content.flight.again(id);
                }
            }
            Err(SendError::Link) => self.content.flight.again(id),
            // The session's end is seen by the loop.
            Err(SendError::Session) => {}
        }
    }

    /// Tells how the transfer is doing.
    fn show(&mut self, session: &Session) {
        let now = Instant::now();
        let rate = self.content.meter.sample(now, self.content.stored_bytes);
        let active = self.content.meter.elapsed(now);
        self.progress.send_modify(|progress| {
            progress.rate = rate;
            progress.active = active;
            progress.goes_over(session);
        });
    }
}

/// The next step of the reading thread; without one, never.
async fn next_step(steps: &mut Option<tokio::sync::mpsc::Receiver<Step>>) -> Option<Step> {
    match steps {
        Some(steps) => steps.recv().await,
        None => std::future::pending().await,
    }
}

/// Hands a chunk to the best link, on a stream of its own.
async fn hand_over(session: Session, chunk: Chunk, throttle: Option<Arc<Throttle>>) -> Handed {
    let (id, bytes) = (chunk.id, chunk.content.len() as u64);
    let (link, kind, mut stream, turn) = match session.open_stream().await {
        Ok(opened) => opened,
        Err(SessionClosed { .. }) => return (id, bytes, Err(SendError::Session)),
    };
    let mut parts = [chunk.head, chunk.content];
    let written = match throttle {
        None => stream.write_all_chunks(&mut parts).await,
        Some(throttle) => {
            // It does not write most of the time.
            drop(turn);
            throttle.write(&mut stream, parts).await
        }
    };
    let result = match written.is_ok() && stream.finish().is_ok() {
        true => Ok((link, kind)),
        false => Err(SendError::Link),
    };
    (id, bytes, result)
}
