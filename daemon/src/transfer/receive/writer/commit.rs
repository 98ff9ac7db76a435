//! Commits: what is whole gets its names, durably and once, with the journal as the witness.

use std::mem;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::update::Earlier;
use super::{Stop, Writer, Written, is_fatal};
use crate::store::{Delivery, Journal, StoreError};
use crate::transfer::dest::{
    Commit, Committed, DestError, Destination, Intent, Ledger, Old, Part, Top,
};
use crate::transfer::entry::{Entry, EntryKind, RelPath, Timestamp};
use crate::transfer::folder::{FileId, Stat};
use crate::transfer::hash::Digest;
use crate::transfer::loss::{Losses, Lost};
use crate::transfer::progress::add_arrived;
use crate::transfer::proto::{Reader, put_losses, read_losses};

/// The most entries that one commit makes durable.
pub(super) const MAX_BATCH: usize = 4_096;

/// A file or link that is whole and waits for the next commit.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) index: u64,
    pub(super) part: Part,
    pub(super) entry: Entry,
    /// Of its content or, for a link, of its target.
    pub(super) hash: Digest,
}

/// The journal of a transfer, and the last commit whose end it does not know yet.
#[derive(Debug)]
pub(in crate::transfer::receive) struct Keeper {
    pub(super) journal: Journal,
    ended: Option<(i64, (i64, u32))>,
    /// What has got its name right in the destination since it was last told.
    arrived: Vec<PathBuf>,
    /// All that the transfer could not keep.
    losses: Losses,
    /// Whether some of it is not noted yet, or not told.
    has_unnoted: bool,
    has_untold: bool,
}

/// Keeps what one commit of these is about to do.
struct BatchLedger<'a> {
    keeper: &'a mut Keeper,
    batch: &'a [Whole],
    /// Its number in the journal, once it has one.
    number: Option<i64>,
}

impl Keeper {
    /// Finds out what became of commits that a crash, the end of a thread, or an error cut short.
    pub(in crate::transfer::receive) fn new(
        journal: Journal,
        dest: &Destination,
    ) -> Result<Self, DestError> {
        for number in journal.unsettled().map_err(store_error)? {
            settle(&journal, dest, number)?;
        }
        let losses = match journal.losses().map_err(store_error)? {
            Some(noted) => read_losses(&mut Reader::new(&noted)).unwrap_or_default(),
            None => Losses::default(),
        };
        let (arrived, has_untold) = (Vec::new(), !losses.is_empty());
        Ok(Self { journal, ended: None, arrived, losses, has_unnoted: false, has_untold })
    }

    /// Notes the end of the last commit. Not needed for anything but speed, so it may fail.
    pub(super) fn note_end(&mut self) {
        if let Some((number, ended)) = self.ended.take()
            && let Err(error) = self.journal.end(number, ended)
        {
            tracing::debug!(%error, "the end of a commit was not noted");
        }
    }

    /// Counts what an entry lost.
    pub(super) fn lose(&mut self, path: &RelPath, lost: Lost) {
        self.losses.add(&path.to_string(), lost);
        (self.has_unnoted, self.has_untold) = (true, true);
    }

    /// All losses, if they have not been noted.
    fn unnoted(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.has_unnoted).then(|| {
            let mut noted = Vec::new();
            put_losses(&mut noted, &self.losses);
            noted
        })
    }

    /// Notes what was lost after the last thing that is noted in any case.
    fn note_losses(&mut self) {
        if let Some(losses) = self.unnoted()
            && let Err(error) = self.journal.note_losses(losses, now_secs())
        {
            tracing::warn!(%error, "what could not be kept was not noted");
        }
    }

    /// All losses, if there are some that were not told.
    pub(super) fn untold(&mut self) -> Option<Losses> {
        std::mem::take(&mut self.has_untold).then(|| self.losses.clone())
    }

    pub(super) fn commit_copy(
        &mut self,
        dest: &Destination,
        whole: &Whole,
        target: &RelPath,
    ) -> Result<(), DestError> {
        let commit = Commit { part: whole.part, entry: &whole.entry };
        let batch = std::slice::from_ref(whole);
        let mut ledger = BatchLedger { keeper: self, batch, number: None };
        let copied = dest.commit_copy(&commit, target, &mut ledger);
        let number = ledger.number;
        self.note(number, copied.is_ok());
        copied
    }

    /// A commit has come to its end, later than all that it did; what a clock that is set says is no
    /// matter of safety. One with a failure has not: it is settled by what has its name.
    fn note(&mut self, number: Option<i64>, is_whole: bool) {
        if let Some(number) = number.filter(|_| is_whole) {
            self.ended = Some((number, now()));
        }
    }

    /// Commits; whatever has something in the same place of `olds` replaces that if it can. Tells of each
    /// whether it did.
    pub(super) fn commit(
        &mut self,
        dest: &Destination,
        batch: &[Whole],
        olds: &[Option<Old>],
    ) -> Vec<Result<bool, DestError>> {
        let commits: Vec<_> =
            batch.iter().map(|whole| Commit { part: whole.part, entry: &whole.entry }).collect();
        let mut ledger = BatchLedger { keeper: self, batch, number: None };
        let results = dest.commit_over(&commits, olds, &mut ledger);
        let number = ledger.number;
        let errors = || results.iter().filter_map(|result| result.as_ref().err());
        self.note(number, errors().next().is_none());
        if let Some(number) = number.filter(|_| errors().next().is_some())
            && !errors().any(is_fatal)
            && let Err(error) = settle(&self.journal, dest, number)
        {
            tracing::debug!(%error, "it is settled by the next run");
        }
        let mut arrived = |committed: Committed| {
            add_arrived(&mut self.arrived, [committed.top_path]);
            committed.replaced
        };
        results.into_iter().map(|result| result.map(&mut arrived)).collect()
    }
}

impl Ledger for BatchLedger<'_> {
    fn top(&mut self, top: &[u8]) -> Result<Option<Top>, DestError> {
        let known = self.keeper.journal.top(top).map_err(store_error)?;
        Ok(known.map(|(name, id)| Top { name, id: id.map(file_id) }))
    }

    fn keep_top(&mut self, top: &[u8], made: Top) -> Result<(), DestError> {
        let id = made.id.map(|id| (id.device, id.inode));
        self.keeper.journal.put_top(top, (made.name, id)).map_err(store_error)
    }

    fn intend(&mut self, intents: &[Intent]) -> Result<(), DestError> {
        let deliveries = intents.iter().map(|intent| {
            let Whole { entry, hash, .. } = &self.batch[intent.position];
            let (is_link, size) = match entry.kind {
                EntryKind::File { size } => (false, size),
                EntryKind::HardLink { .. } => (false, 0),
                EntryKind::Directory | EntryKind::Symlink { .. } => (true, 0),
            };
            Delivery {
                path: entry.path.as_bytes().to_vec(),
                final_path: intent.final_path.as_bytes().to_vec(),
                is_link,
                size,
                mtime: (entry.mtime.secs(), entry.mtime.nanos()),
                hash: *hash,
                id: intent.id.map(|id| (id.device, id.inode)),
            }
        });
        let (deliveries, losses) = (deliveries.collect(), self.keeper.unnoted());
        let ended = self.keeper.ended;
        let noted = self.keeper.journal.intend(self.number, deliveries, ended, losses, now_secs());
        self.number = Some(noted.map_err(store_error)?);
        self.keeper.ended = None;
        Ok(())
    }

    fn lose(&mut self, path: &RelPath, lost: Lost) {
        self.keeper.lose(path, lost);
    }
}

impl Writer<'_> {
    /// [`commit_pending`](Self::commit_pending), and the end if that was the last.
    pub(super) fn commit(&mut self) -> Result<(), Stop> {
        self.commit_pending()?;
        self.try_complete()
    }

    /// Makes durable, under its final name, all that is whole, and acknowledges the packs it came in.
    pub(super) fn commit_pending(&mut self) -> Result<(), Stop> {
        // Both at once: what could not be committed is never acknowledged.
        let (pending, stored) = (mem::take(&mut self.pending), mem::take(&mut self.stored));
        if !pending.is_empty() {
            let Earlier { olds, exist } = self.find_earlier(&pending)?;
            let results = self.keeper.commit(&self.dest, &pending, &olds);
            for (position, (whole, result)) in pending.iter().zip(results).enumerate() {
                match result {
                    Ok(replaced) => {
                        self.count_placed(replaced, exist.contains(&position));
                        self.settled += 1;
                        self.delivered_files += 1;
                        if let EntryKind::File { size } = whole.entry.kind {
                            self.delivered_bytes += size;
                        }
                    }
                    Err(error) => self.file_failed(whole.index, &whole.entry, error)?,
                }
            }
        }
        stored.into_iter().try_for_each(|stored| self.tell(stored))?;
        if !pending.is_empty() {
            let (files, bytes) = (self.delivered_files, self.delivered_bytes);
            self.tell(Written::Delivered { files, bytes })?;
            self.tell_placed()?;
        }
        self.tell_losses()?;
        self.tell_arrived()
    }

    pub(super) fn tell_losses(&mut self) -> Result<(), Stop> {
        self.keeper.note_losses();
        match self.keeper.untold() {
            Some(losses) => self.tell(Written::Lost(losses)),
            None => Ok(()),
        }
    }

    fn tell_arrived(&mut self) -> Result<(), Stop> {
        let arrived = std::mem::take(&mut self.keeper.arrived);
        if arrived.is_empty() { Ok(()) } else { self.tell(Written::Arrived(arrived)) }
    }

    /// Makes the links, then the folders, children before their parents.
    pub(super) fn commit_deferred(&mut self) -> Result<(), Stop> {
        for batch in self.deferred.take_batches(MAX_BATCH) {
            let batch: Vec<_> = batch
                .into_iter()
                .map(|(index, entry)| {
                    let hash = link_hash(&entry);
                    Whole { index, part: index.into(), entry, hash }
                })
                .collect();
            let results = self.keeper.commit(&self.dest, &batch, &[]);
            for (whole, result) in batch.iter().zip(results) {
                let placed = match (result, &whole.entry.kind) {
                    (Err(DestError::HardLinksUnsupported), EntryKind::HardLink { target }) => {
                        self.copy_shared(whole, target)?
                    }
                    (result, _) => result.map(drop),
                };
                if let Err(error) = placed {
                    self.file_failed(whole.index, &whole.entry, error)?;
                }
            }
        }
        // It is all delivered, whether or not anybody listens any more.
        let _ = self.tell_losses();
        let _ = self.tell_arrived();
        Ok(())
    }

    /// A hard link where there are none becomes a copy, which counts like content that came.
    fn copy_shared(
        &mut self,
        whole: &Whole,
        target: &RelPath,
    ) -> Result<Result<(), DestError>, Stop> {
        let batch = std::slice::from_ref(whole);
        let mut ledger = BatchLedger { keeper: &mut self.keeper, batch, number: None };
        let len = match self.dest.shared_len(target, &mut ledger) {
            Ok(len) => len,
            Err(error) => return Ok(Err(error)),
        };
        self.count(len)?;
        tracing::info!(index = whole.index, "no hard links at the destination: the file is copied");
        Ok(self.keeper.commit_copy(&self.dest, whole, target))
    }
}

/// What stands for the content of a link, symbolic or hard.
pub(super) fn link_hash(entry: &Entry) -> Digest {
    match &entry.kind {
        EntryKind::Symlink { target } => *blake3::hash(target).as_bytes(),
        EntryKind::HardLink { target } => {
            blake3::derive_key("filefleet 1 hard link", target.as_bytes())
        }
        EntryKind::File { .. } | EntryKind::Directory => [0; 32],
    }
}

/// Ends a commit that not all went well with: what has not got its name is not delivered.
fn settle(journal: &Journal, dest: &Destination, number: i64) -> Result<(), DestError> {
    let mut undelivered = Vec::new();
    for delivery in journal.files_of(number).map_err(store_error)? {
        if !is_delivered(dest, &delivery)? {
            undelivered.push(delivery.path);
        }
    }
    journal.settle(number, now(), undelivered).map_err(store_error)
}

/// Whether what was about to get its name has it.
fn is_delivered(dest: &Destination, delivery: &Delivery) -> Result<bool, DestError> {
    Ok(look(dest, delivery)?.is_some_and(|stat| is_it(&stat, delivery)))
}

/// What lies where something was delivered to, if anything does.
fn look(dest: &Destination, delivery: &Delivery) -> Result<Option<Stat>, DestError> {
    let final_path = RelPath::decode(&delivery.final_path)?;
    match dest.look(&final_path) {
        Ok(stat) => Ok(Some(stat)),
        Err(DestError::Vanished | DestError::NotAFolder) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same, where it is not known what lies in a folder that cannot be read: then it is as if nothing
/// did, and what comes has to find its own place.
pub(super) fn look_if_possible(
    dest: &Destination,
    delivery: &Delivery,
) -> Result<Option<Stat>, DestError> {
    match look(dest, delivery) {
        Err(error) if !is_fatal(&error) => Ok(None),
        looked => looked,
    }
}

/// Whether this is the very file that was delivered, where the system tells files apart; else, whether
/// it looks like it.
pub(super) fn is_it(stat: &Stat, delivery: &Delivery) -> bool {
    match (stat.id, delivery.id) {
        (Some(found), Some(delivered)) => found == file_id(delivered),
        _ => {
            Timestamp::new(delivery.mtime.0, delivery.mtime.1) == Some(stat.mtime)
                && (delivery.is_link || stat.size == delivery.size)
        }
    }
}

fn file_id((device, inode): (u64, u64)) -> FileId {
    FileId { device, inode }
}

/// The time, in seconds since 1970.
fn now_secs() -> u64 {
    u64::try_from(now().0).unwrap_or(0)
}

/// The time, in seconds and nanoseconds since 1970.
fn now() -> (i64, u32) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}

/// The journal's failure as one of the destination: nothing gets a name that is not noted.
pub(in crate::transfer::receive) fn store_error(error: StoreError) -> DestError {
    let full = matches!(&error, StoreError::Sqlite(rusqlite::Error::SqliteFailure(code, _))
        if code.code == rusqlite::ErrorCode::DiskFull);
    if full { DestError::NoSpace } else { DestError::Io(std::io::Error::other(error)) }
}
