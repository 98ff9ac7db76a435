//! What need not be sent: entries that are here already, and blocks of large files of which an
//! earlier run left a part. The disk is the witness, not what was noted of it: blocks are hashed again.

use std::io::{ErrorKind, Read};

use super::commit::{is_it, link_hash, look_if_possible, store_error};
use super::{Stop, Writer, Written};
use crate::store::Known;
use crate::transfer::dest::DestError;
use crate::transfer::entry::{Entry, EntryKind, RelPath, Timestamp};
use crate::transfer::folder::{FileId, Kind};
use crate::transfer::hash::{self, BLOCK, Digest};
use crate::transfer::proto::{MAX_BLOCKS, NO_BLOCK, Verdict};
use crate::transfer::ranges::Inserted;

impl Writer<'_> {
    /// Answers an offer. One that comes again, in another session, counts once.
    pub(super) fn offer(
        &mut self,
        number: u64,
        entries: &[Entry],
        hashes: &[Digest],
    ) -> Result<(), Stop> {
        let is_new = match self.offers.insert(number) {
            Inserted::New => true,
            Inserted::Present => false,
            Inserted::Scattered => return Err(super::protocol("offers in no order at all")),
        };
        let paths = entries.iter().map(|entry| entry.path.as_bytes().to_vec()).collect();
        let known = self.keeper.journal.look_up(paths).map_err(store_error)?;
        let mut verdicts = Vec::with_capacity(entries.len());
        let hashes = hashes.iter().map(Some).chain(std::iter::repeat(None));
        for ((entry, known), hash) in entries.iter().zip(known).zip(hashes) {
            let by_content = matches!(entry.kind, EntryKind::File { .. }).then_some(hash).flatten();
            let verdict = match by_content {
                Some(hash) => self.verdict_by_content(entry, known.as_ref(), hash)?,
                None => self.verdict(entry, known.as_ref())?,
            };
            if let (Verdict::Delivered | Verdict::There, true, Some(known)) =
                (verdict, entry.is_shared, &known)
            {
                self.adopt_shared(entry, known);
            }
            if is_new {
                self.count_present(entry, verdict);
            }
            verdicts.push(verdict);
        }
        let (files, bytes) = (self.delivered_files, self.delivered_bytes);
        self.tell(Written::Delivered { files, bytes })?;
        self.tell(Written::Verdicts { number, verdicts })
    }

    fn verdict(&self, entry: &Entry, known: Option<&Known>) -> Result<Verdict, DestError> {
        if let Some(known) = known.filter(|known| is_of_source(known, entry)) {
            // What this transfer delivered is the user's, whatever became of it since.
            if known.by_this {
                return Ok(Verdict::Delivered);
            }
            if self.is_untouched(known, entry)? {
                return Ok(Verdict::There);
            }
        }
        Ok(self.not_here(entry))
    }

    /// The verdict on a file whose content has this hash, whatever its time is.
    fn verdict_by_content(
        &self,
        entry: &Entry,
        known: Option<&Known>,
        hash: &Digest,
    ) -> Result<Verdict, Stop> {
        let is_it = |known: &&Known| {
            let delivery = &known.delivery;
            let has_size = matches!(entry.kind, EntryKind::File { size } if size == delivery.size);
            !delivery.is_link && has_size && delivery.hash == *hash
        };
        if let Some(known) = known.filter(is_it) {
            // What this transfer delivered is the user's, whatever became of it since.
            if known.by_this {
                return Ok(Verdict::Delivered);
            }
            if self.has_content(known, hash)? {
                return Ok(Verdict::There);
            }
        }
        Ok(self.not_here(entry))
    }

    /// It is to be sent, or what of it is missing.
    fn not_here(&self, entry: &Entry) -> Verdict {
        let is_large = matches!(entry.kind, EntryKind::File { size } if size > BLOCK);
        let compare = is_large && self.dest.has_partial(&entry.path);
        if compare { Verdict::Compare } else { Verdict::Send }
    }

    /// Whether what lies where this was delivered has this content: it is read.
    fn has_content(&self, known: &Known, hash: &Digest) -> Result<bool, Stop> {
        let delivery = &known.delivery;
        let found = look_if_possible(&self.dest, delivery)?;
        if delivery.is_link || found.is_none_or(|it| it.size != delivery.size) {
            return Ok(false);
        }
        let final_path = RelPath::decode(&delivery.final_path).map_err(DestError::from)?;
        // What cannot be read is sent again.
        let Ok((mut file, _)) = self.dest.open_final(&final_path) else { return Ok(false) };
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; usize::try_from(BLOCK).expect("a block fits memory")];
        loop {
            // It may take long, and nobody may want to know any more.
            if self.told.is_closed() {
                return Err(Stop::Unheard);
            }
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finalize().as_bytes() == hash),
                Ok(read) => {
                    hasher.update(&buffer[..read]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Ok(false),
            }
        }
    }

    /// Whether what an earlier transfer delivered lies there as it was delivered.
    fn is_untouched(&self, known: &Known, entry: &Entry) -> Result<bool, DestError> {
        let delivery = &known.delivery;
        let Some(stat) = look_if_possible(&self.dest, delivery)? else { return Ok(false) };
        let kind = if delivery.is_link { Kind::Symlink } else { Kind::File };
        // Each further name of a shared file changes it once more.
        let is_shared = entry.is_shared || matches!(entry.kind, EntryKind::HardLink { .. });
        let changed_later = ended(known).is_some_and(|ended| stat.ctime > ended);
        Ok(stat.kind == kind
            && is_it(&stat, delivery)
            && !matches!(entry.kind, EntryKind::File { size } if size != stat.size)
            && Timestamp::new(delivery.mtime.0, delivery.mtime.1) == Some(stat.mtime)
            && (is_shared || !changed_later))
    }

    /// Hard links may name what was delivered before.
    fn adopt_shared(&self, entry: &Entry, known: &Known) {
        if let Ok(final_path) = RelPath::decode(&known.delivery.final_path) {
            let id = known.delivery.id.map(|(device, inode)| FileId { device, inode });
            self.dest.adopt_shared(&entry.path, &final_path, id);
        }
    }

    fn count_present(&mut self, entry: &Entry, verdict: Verdict) {
        let EntryKind::File { size } = entry.kind else { return };
        if matches!(verdict, Verdict::Delivered | Verdict::There) {
            self.delivered_files += 1;
            self.delivered_bytes = self.delivered_bytes.saturating_add(size);
        }
    }

    /// Tells which blocks of a file that has started lie on the disk.
    pub(super) fn blocks_query(
        &mut self,
        file: u64,
        revision: u8,
        first: u32,
        count: u16,
    ) -> Result<(), Stop> {
        let mut cvs = Vec::new();
        let mut new_bytes = 0;
        let open = self.open.get_mut(&file).filter(|open| open.revision == revision);
        if let Some(open) = open {
            let mut buffer = vec![0; usize::try_from(BLOCK).expect("a block fits memory")];
            for block in (first..=u32::MAX).take(count.min(MAX_BLOCKS).into()) {
                let Some(len) = hash::block_len(open.size, block.into()) else { break };
                if let Some(cv) = open.cvs.get(&block) {
                    cvs.push(*cv);
                    continue;
                }
                let content = &mut buffer[..len];
                let read = open.partial.read_block(u64::from(block) * BLOCK, content);
                let whole = read.is_ok_and(|read| read == len);
                let cv = whole.then(|| hash::block_cv(open.size, block.into(), content)).flatten();
                cvs.push(cv.unwrap_or(NO_BLOCK));
                if let Some(cv) = cv {
                    open.cvs.insert(block, cv);
                    new_bytes += len as u64;
                }
            }
        }
        self.count(new_bytes)?;
        self.tell(Written::Blocks { file, first, cvs, bytes: new_bytes })
    }
}

/// When all that the commit did that delivered this was done, where that was noted.
pub(super) fn ended(known: &Known) -> Option<Timestamp> {
    known.ended.and_then(|(secs, nanos)| Timestamp::new(secs, nanos))
}

/// Whether something was delivered from this very state of the source.
fn is_of_source(known: &Known, entry: &Entry) -> bool {
    let delivery = &known.delivery;
    let same_time = Timestamp::new(delivery.mtime.0, delivery.mtime.1) == Some(entry.mtime);
    same_time
        && match entry.kind {
            EntryKind::File { size } => !delivery.is_link && delivery.size == size,
            EntryKind::Symlink { .. } => delivery.is_link && delivery.hash == link_hash(entry),
            EntryKind::HardLink { .. } => !delivery.is_link && delivery.hash == link_hash(entry),
            EntryKind::Directory => false,
        }
}
