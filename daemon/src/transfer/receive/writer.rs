//! The receiver's writing side: checks content against its hashes, writes it to the partial folder
//! and commits what is whole, on one thread per transfer that owns the destination.
//!
//! Nothing is committed file by file: whatever became whole while the last batch was made durable
//! goes into the next one, and a batch is also made when there is nothing else to do.

mod blocks;
mod commit;
mod compare;
mod job;
mod update;

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::mpsc;

use self::blocks::OpenFile;
pub(super) use self::commit::{Keeper, store_error};
use self::commit::{MAX_BATCH, Whole};
pub(crate) use self::job::{Block, Ended, Job, Terms, Written};
use super::deferred::Deferred;
use crate::crash;
use crate::error::chain;
use crate::peer::LinkKind;
use crate::store::Agreed;
use crate::transfer::dest::{DestError, Destination};
use crate::transfer::entry::{Attributes, Entry, EntryKind};
use crate::transfer::progress::Fault;
use crate::transfer::proto::{Ack, MAX_ENTRIES, PackEntry, PackHeader, Reason};
use crate::transfer::ranges::{Inserted, RangeSet};

/// Takes the jobs of one state until the transfer is complete or has failed, or until `jobs` is
/// closed: then what was not committed is left for another thread. What is told has room in `told` or
/// the thread waits.
pub(super) fn write(
    dest: Destination,
    keeper: Keeper,
    instance: u64,
    terms: Terms,
    mut jobs: mpsc::Receiver<Job>,
    told: &mpsc::Sender<Written>,
) -> (Ended, mpsc::Receiver<Job>) {
    let mut writer = Writer::new(dest, keeper, instance, terms, told);
    let ended = writer.take_all(&mut jobs);
    (writer.end(ended), jobs)
}

/// Why the thread ends.
enum Stop {
    Complete,
    Left,
    Abandoned,
    /// Nobody is there to be told.
    Unheard,
    Stalled(Fault),
    Fault(Fault),
}

impl From<DestError> for Stop {
    fn from(error: DestError) -> Self {
        match may_pass(&error) {
            true => Self::Stalled(fault_of(&error)),
            false => Self::Fault(fault_of(&error)),
        }
    }
}

/// How a thread ends that has not begun, for this reason.
pub(super) fn ended_by(error: &DestError) -> Ended {
    let fault = fault_of(error);
    if may_pass(error) { Ended::Stalled(fault) } else { Ended::Failed(fault) }
}

/// Whether it may be that somebody makes room, or lets us write again, while the transfer waits.
fn may_pass(error: &DestError) -> bool {
    matches!(error, DestError::NoSpace | DestError::QuotaExceeded | DestError::ReadOnly)
}

fn protocol(text: &str) -> Stop {
    Stop::Fault(Fault::reason(Reason::Protocol, text))
}

fn too_large(text: String) -> Stop {
    Stop::Fault(Fault::reason(Reason::TooLarge, text))
}

/// A destination's error as the end of a transfer.
pub(crate) fn fault_of(error: &DestError) -> Fault {
    Fault::reason(reason_of(error), chain(error))
}

/// What a destination's error is called on the wire.
fn reason_of(error: &DestError) -> Reason {
    match error {
        DestError::NoSpace | DestError::QuotaExceeded => Reason::NoSpace,
        DestError::ReadOnly | DestError::PermissionDenied => Reason::PermissionDenied,
        DestError::Vanished | DestError::NotAFolder => Reason::DestinationGone,
        DestError::Unsafe(_) | DestError::NameRefused | DestError::NamesExhausted(_) => {
            Reason::BadName
        }
        DestError::TooManyFolders | DestError::WrongLength => Reason::Protocol,
        _ => Reason::Io,
    }
}

/// Whether an error says that nothing more can be stored, rather than this one entry.
fn is_fatal(error: &DestError) -> bool {
    use DestError as E;
    matches!(
        error,
        E::NoSpace
            | E::QuotaExceeded
            | E::ReadOnly
            | E::Vanished
            | E::NotAFolder
            | E::Tampered
            | E::InUse
            | E::TooManyFolders
            | E::Io(_)
    )
}

struct Writer<'a> {
    dest: Destination,
    keeper: Keeper,
    instance: u64,
    terms: Terms,
    told: &'a mpsc::Sender<Written>,
    open: HashMap<u64, OpenFile>,
    parked: Vec<Block>,
    /// Since when one waits, as the transfer's task knows it.
    parked_since: Option<Instant>,
    /// Whole and waiting for the next commit.
    pending: Vec<Whole>,
    /// Acknowledgements of packs, which follow on the commit.
    stored: Vec<Written>,
    deferred: Deferred,
    /// Entries that have come, and packs.
    entries: RangeSet,
    packs: RangeSet,
    offers: RangeSet,
    received: u64,
    /// Files that have begun to come.
    files: u64,
    delivered_files: u64,
    delivered_bytes: u64,
    /// Of these, files that replaced what was there, and such that lie beside it instead.
    replaced: u64,
    beside: u64,
    /// Entries that are delivered or given up.
    settled: u64,
    expected: Option<u64>,
}

impl<'a> Writer<'a> {
    fn new(
        dest: Destination,
        keeper: Keeper,
        instance: u64,
        terms: Terms,
        told: &'a mpsc::Sender<Written>,
    ) -> Self {
        Self {
            dest,
            keeper,
            instance,
            terms,
            told,
            open: HashMap::new(),
            parked: Vec::new(),
            parked_since: None,
            pending: Vec::new(),
            stored: Vec::new(),
            deferred: Deferred::default(),
            entries: RangeSet::default(),
            packs: RangeSet::default(),
            offers: RangeSet::default(),
            received: 0,
            files: 0,
            delivered_files: 0,
            delivered_bytes: 0,
            replaced: 0,
            beside: 0,
            settled: 0,
            expected: None,
        }
    }

    /// Takes jobs until there is a reason to end.
    fn take_all(&mut self, jobs: &mut mpsc::Receiver<Job>) -> Stop {
        let delivered = self.keeper.journal.delivered_bytes().map_err(store_error);
        let counted = delivered.map_err(Stop::from).and_then(|bytes| self.count(bytes));
        match counted.and_then(|()| self.tell_losses()) {
            Ok(()) => {}
            Err(Stop::Unheard) => return self.last_word(jobs),
            Err(stop) => return stop,
        }
        loop {
            let job = match jobs.try_recv() {
                Ok(job) => Some(job),
                Err(_) if self.pending.is_empty() && self.stored.is_empty() => jobs.blocking_recv(),
                Err(_) => match self.commit() {
                    Ok(()) => continue,
                    Err(Stop::Unheard) => return self.last_word(jobs),
                    Err(stop) => return stop,
                },
            };
            // Nobody has said that it is over: what has arrived is not for us to remove.
            let Some(job) = job else { return Stop::Left };
            match self.handle(job) {
                Ok(()) => {}
                Err(Stop::Unheard) => return self.last_word(jobs),
                Err(stop) => return stop,
            }
        }
    }

    /// Nobody listens any more: what is to become of it is the last thing that is said.
    fn last_word(&self, jobs: &mut mpsc::Receiver<Job>) -> Stop {
        if self.is_settled() {
            return Stop::Abandoned;
        }
        loop {
            match jobs.blocking_recv() {
                Some(Job::Leave) | None => return Stop::Left,
                Some(Job::Abandon) => return Stop::Abandoned,
                Some(_) => {}
            }
        }
    }

    fn tell(&self, written: Written) -> Result<(), Stop> {
        crash::point();
        self.told.blocking_send(written).map_err(|_| Stop::Unheard)
    }

    fn handle(&mut self, job: Job) -> Result<(), Stop> {
        match job {
            Job::Start { file, revision, entry } => self.start(file, revision, entry)?,
            Job::End { file, revision, root } => {
                if let Some(open) = self.open.get_mut(&file).filter(|o| o.revision == revision) {
                    open.root = Some(root);
                    self.try_whole(file)?;
                }
            }
            // Of a state before this one.
            Job::Block(Block { instance, .. }) | Job::Pack { instance, .. }
                if instance != self.instance => {}
            Job::Block(block) => self.block(block)?,
            Job::Pack { header, content, link, share, .. } => {
                self.pack(header, content.as_ref(), link)?;
                drop(share);
            }
            Job::GiveUp { file, reason, text, name } => self.give_up(file, reason, text, name)?,
            Job::Finish { entries } if entries > MAX_ENTRIES => {
                return Err(protocol("more entries than a transfer may have"));
            }
            Job::Finish { entries } => self.expected = Some(entries),
            Job::Offer { number, entries, hashes } => self.offer(number, &entries, &hashes)?,
            Job::BlocksQuery { file, revision, first, count } => {
                self.blocks_query(file, revision, first, count)?;
            }
            Job::Leave => return Err(Stop::Left),
            Job::Abandon => return Err(Stop::Abandoned),
        }
        let parked_since = self.parked.first().map(|block| block.came_at);
        if parked_since != self.parked_since {
            self.parked_since = parked_since;
            self.tell(Written::Parked { since: parked_since })?;
        }
        if self.pending.len() >= MAX_BATCH {
            self.commit()?;
        }
        self.try_complete()
    }

    /// Notes that an entry has come; false if it had come before.
    fn note_entry(&mut self, index: u64) -> Result<bool, Stop> {
        if index >= MAX_ENTRIES {
            return Err(protocol("more entries than a transfer may have"));
        }
        match self.entries.insert(index) {
            Inserted::New => Ok(true),
            Inserted::Present => Ok(false),
            Inserted::Scattered => Err(protocol("entries in no order at all")),
        }
    }

    /// Counts content that really came against what this sender may send.
    fn count(&mut self, bytes: u64) -> Result<(), Stop> {
        self.received = self.received.saturating_add(bytes);
        match self.terms.max_bytes {
            Some(most) if self.received > most => {
                Err(too_large(format!("at most {most} bytes are accepted")))
            }
            _ => self.check_agreed(),
        }
    }

    /// Counts a file of which nothing had come.
    fn count_file(&mut self) -> Result<(), Stop> {
        self.files += 1;
        self.check_agreed()
    }

    /// Whether it is still about what a person has agreed to.
    fn check_agreed(&self) -> Result<(), Stop> {
        let Some(agreed) = self.terms.agreed else { return Ok(()) };
        let most = agreed.most();
        if self.received <= most.bytes && self.files <= most.files {
            return Ok(());
        }
        let Agreed { files, bytes } = agreed;
        Err(too_large(format!("{files} files and {bytes} bytes were accepted, and far more came")))
    }

    fn pack(&mut self, header: PackHeader, content: &[u8], link: LinkKind) -> Result<(), Stop> {
        let ack = Ack::Pack { number: header.number };
        match self.packs.insert(header.number) {
            Inserted::New => {}
            // Acknowledged once more, after the commit that the first copy may still wait for.
            Inserted::Present => {
                self.stored.push(Written::Stored { ack, bytes: 0, link });
                return Ok(());
            }
            Inserted::Scattered => return Err(protocol("packs in no order at all")),
        }
        self.count(content.len() as u64)?;
        let mut rest = content;
        for entry in header.entries {
            let len = usize::try_from(entry.content_len()).unwrap_or(usize::MAX);
            let Some((bytes, tail)) = rest.split_at_checked(len) else {
                return Err(protocol("a pack shorter than its entries"));
            };
            rest = tail;
            self.packed(entry, bytes)?;
        }
        if !rest.is_empty() {
            return Err(protocol("a pack longer than its entries"));
        }
        self.stored.push(Written::Stored { ack, bytes: content.len() as u64, link });
        Ok(())
    }

    fn packed(
        &mut self,
        PackEntry { index, mut entry, hash }: PackEntry,
        bytes: &[u8],
    ) -> Result<(), Stop> {
        if !self.note_entry(index)? {
            return Err(protocol("an entry that came twice"));
        }
        if matches!(entry.kind, EntryKind::File { .. }) {
            self.count_file()?;
        }
        let stored = match &entry.kind {
            EntryKind::File { .. } if *blake3::hash(bytes).as_bytes() != hash => {
                let text = "its content does not match its hash".to_owned();
                return self.settle_failed(index, &entry, Reason::Corrupt, text);
            }
            EntryKind::File { .. } => self.dest.write_small(index, bytes, Some(&entry)),
            EntryKind::Directory | EntryKind::Symlink { .. } | EntryKind::HardLink { .. } => {
                return self.defer(index, &entry);
            }
        };
        match stored {
            Ok(lost) => {
                lost.into_iter().for_each(|lost| self.keeper.lose(&entry.path, lost));
                // They are the file's by now, and take no memory while it waits.
                entry.attributes = Attributes::default();
                self.pending.push(Whole { index, part: index.into(), entry, hash });
                Ok(())
            }
            Err(error) => self.file_failed(index, &entry, error),
        }
    }

    /// Folders and links wait for the end: links so that nothing is ever written through one, folders
    /// so that their permissions and times are what the sender's are.
    fn defer(&mut self, index: u64, entry: &Entry) -> Result<(), Stop> {
        self.settled += 1;
        if !self.deferred.push(index, entry) {
            return Err(protocol("more folders and links than a transfer may have"));
        }
        Ok(())
    }

    /// An entry that cannot be stored is given up; one that shows that nothing can be stored any more
    /// ends the transfer.
    fn file_failed(&mut self, index: u64, entry: &Entry, error: DestError) -> Result<(), Stop> {
        if is_fatal(&error) {
            return Err(error.into());
        }
        self.settle_failed(index, entry, reason_of(&error), chain(&error))
    }

    fn settle_failed(
        &mut self,
        file: u64,
        entry: &Entry,
        reason: Reason,
        text: String,
    ) -> Result<(), Stop> {
        self.settled += 1;
        self.tell(Written::FileFailed { file, path: entry.path.to_string(), reason, text })
    }

    /// A file that the sender gives up. Its start may have been lost with a session; what counts is
    /// that the entry will not come any more.
    fn give_up(
        &mut self,
        file: u64,
        reason: Reason,
        text: String,
        name: String,
    ) -> Result<(), Stop> {
        let path = match self.open.remove(&file) {
            Some(open) => open.entry.path.to_string(),
            None if self.note_entry(file)? => name_or_number(name, file),
            // Whole already, or told before.
            None => return Ok(()),
        };
        self.parked.retain(|block| block.header.file != file);
        self.settled += 1;
        self.tell(Written::GivenUp { path, reason, text })
    }

    /// Whether every entry of the transfer is delivered or given up.
    fn is_settled(&self) -> bool {
        self.expected.is_some_and(|expected| self.settled >= expected)
            && self.pending.is_empty()
            && self.open.is_empty()
    }

    fn try_complete(&mut self) -> Result<(), Stop> {
        let Some(expected) = self.expected else { return Ok(()) };
        let waiting = self.pending.len() as u64;
        if self.settled + waiting < expected || !self.open.is_empty() {
            return Ok(());
        }
        if waiting > 0 {
            return self.commit();
        }
        self.commit_deferred()?;
        Err(Stop::Complete)
    }

    fn end(mut self, stop: Stop) -> Ended {
        match stop {
            Stop::Complete => {
                self.keeper.note_end();
                if let Err(error) = self.dest.finish() {
                    tracing::warn!(%error, "the partial folder of a complete transfer stays");
                }
                Ended::Complete { files: self.delivered_files, bytes: self.delivered_bytes }
            }
            Stop::Left => {
                // What is whole need not come again; what could not be committed comes again.
                let committed = self.commit();
                self.keeper.note_end();
                match committed {
                    Err(Stop::Complete) => self.end(Stop::Complete),
                    _ => Ended::Left,
                }
            }
            Stop::Stalled(fault) => {
                // Names need little room: what is whole may get them yet. If not, it comes again.
                let _ = self.commit_pending();
                self.keeper.note_end();
                Ended::Stalled(fault)
            }
            // The last commit is the point of no return.
            Stop::Abandoned if self.is_settled() => match self.commit_deferred() {
                Ok(()) => self.end(Stop::Complete),
                Err(_) => {
                    abandon(&self.dest);
                    Ended::Abandoned
                }
            },
            Stop::Abandoned | Stop::Unheard => {
                abandon(&self.dest);
                Ended::Abandoned
            }
            Stop::Fault(fault) => {
                // Files under way are closed first, so that a full disk has room for the clean-up.
                self.open.clear();
                abandon(&self.dest);
                Ended::Failed(fault)
            }
        }
    }
}

/// What a file is called that only the other side knows by its path.
pub(in crate::transfer) fn name_or_number(name: String, file: u64) -> String {
    if name.is_empty() { format!("file {file}") } else { name }
}

fn abandon(dest: &Destination) {
    if let Err(error) = dest.abandon() {
        tracing::warn!(%error, "the partial folder of a transfer stays");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
