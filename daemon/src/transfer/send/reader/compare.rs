//! Finding out, before anything is sent, what the receiver has already: entries are offered in batches,
//! and of files that it has in part it says which blocks. Questions run ahead of their answers, so that
//! no entry and no block costs a round trip.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::{Reader, Step, Stopped};
use crate::transfer::entry::{Entry, EntryKind};
use crate::transfer::hash::{self, BLOCK, Digest};
use crate::transfer::proto::{
    MAX_BLOCKS, MAX_OFFER_BYTES, MAX_OFFERED, Message, NO_BLOCK, NO_HASH, Verdict,
};
use crate::transfer::source::Source;

/// How many offers may wait for their answers; their entries wait in memory.
const MAX_OFFERS: usize = 4;
/// How many questions for blocks may wait for their answers.
const MAX_QUERIES: usize = 2;
/// Questions that may wait for their answers at once, of both kinds.
pub(crate) const MAX_QUESTIONS: usize = MAX_OFFERS + MAX_QUERIES;
/// What an entry takes in an offer besides its path and target, at most.
const ENTRY_LEN: usize = 32;

/// Something that the receiver is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Offer(u64),
    Blocks { file: u64, first: u32 },
}

/// What it answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Verdicts(Vec<Verdict>),
    Blocks(Vec<[u8; 32]>),
}

/// How the receiver is asked.
#[derive(Debug)]
pub(crate) struct Asking {
    /// Bring the answers.
    pub(crate) replies: mpsc::Receiver<(Question, Reply)>,
    /// Whether files are hashed before they are offered, to be compared by their content.
    pub(crate) checksum: bool,
}

/// What is offered, and the answers to come.
#[derive(Debug)]
pub(super) struct Offers {
    replies: mpsc::Receiver<(Question, Reply)>,
    checksum: bool,
    /// Answers that came before they were looked for.
    early: Vec<(Question, Reply)>,
    next: u64,
    batch: Vec<Entry>,
    /// Of the batch; none unless files are compared by their content.
    hashes: Vec<Digest>,
    bytes: usize,
    asked: VecDeque<(u64, Vec<Entry>)>,
}

/// The receiver's blocks of one file, asked for a little ahead.
#[derive(Debug, Default)]
pub(super) struct Theirs {
    asked: VecDeque<u32>,
    next: u32,
}

impl Offers {
    pub(super) fn new(Asking { replies, checksum }: Asking) -> Self {
        let (batch, hashes, early) = (Vec::new(), Vec::new(), Vec::new());
        Self { replies, checksum, early, next: 0, batch, hashes, bytes: 0, asked: VecDeque::new() }
    }

    fn reply(&mut self, question: Question) -> Result<Reply, Stopped> {
        if let Some(at) = self.early.iter().position(|(of, _)| *of == question) {
            return Ok(self.early.swap_remove(at).1);
        }
        loop {
            let (of, reply) = self.replies.blocking_recv().ok_or(Stopped)?;
            if of == question {
                return Ok(reply);
            }
            self.early.push((of, reply));
        }
    }
}

/// The hash of an entry's content; `None` for what is no file, cannot be read, or changes meanwhile, and
/// when nobody wants it any more.
fn hash_of(source: &Source, entry: &Entry, is_wanted: impl Fn() -> bool) -> Option<Digest> {
    let EntryKind::File { .. } = entry.kind else { return None };
    let file = source.open(&entry.path).ok()?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; usize::try_from(BLOCK).expect("a block fits memory")];
    let mut offset = 0;
    while offset < file.size() {
        if !is_wanted() {
            return None;
        }
        match file.read_block(offset, &mut buffer).ok()? {
            0 => return None,
            read => {
                hasher.update(&buffer[..read]);
                offset += read as u64;
            }
        }
    }
    file.change().is_none().then(|| *hasher.finalize().as_bytes())
}

impl Reader {
    /// Offers an entry; what was offered before is sent as its answer comes.
    pub(super) fn offer(&mut self, entry: Entry) -> Result<(), Stopped> {
        let Some(offers) = &mut self.offers else { return self.entry(entry, false) };
        let target = match &entry.kind {
            EntryKind::Symlink { target } => target.len(),
            EntryKind::HardLink { target } => target.as_bytes().len(),
            EntryKind::File { .. } | EntryKind::Directory => 0,
        };
        offers.bytes += ENTRY_LEN + entry.path.as_bytes().len() + target;
        if offers.checksum {
            let is_wanted = || !self.steps.is_closed();
            let hash = hash_of(&self.source, &entry, is_wanted);
            if !is_wanted() {
                return Err(Stopped);
            }
            offers.hashes.push(hash.unwrap_or(NO_HASH));
        }
        offers.batch.push(entry);
        let full = offers.batch.len() == usize::from(MAX_OFFERED);
        if full || offers.bytes >= MAX_OFFER_BYTES {
            self.ask_offer()?;
        }
        Ok(())
    }

    /// Makes the batch an offer, when there are not too many without an answer.
    fn ask_offer(&mut self) -> Result<(), Stopped> {
        while self.offers.as_ref().is_some_and(|offers| offers.asked.len() >= MAX_OFFERS) {
            self.settle_offer()?;
        }
        let Some(offers) = &mut self.offers else { return Ok(()) };
        let (number, entries) = (offers.next, std::mem::take(&mut offers.batch));
        let hashes = std::mem::take(&mut offers.hashes);
        (offers.next, offers.bytes) = (number + 1, 0);
        offers.asked.push_back((number, entries.clone()));
        let message = Message::Offer { number, entries, hashes };
        self.step(Step::Ask { question: Question::Offer(number), message })
    }

    /// Sends what is wanted of the oldest offer.
    fn settle_offer(&mut self) -> Result<(), Stopped> {
        let Some(offers) = &mut self.offers else { return Ok(()) };
        let Some((number, entries)) = offers.asked.pop_front() else { return Ok(()) };
        let verdicts = match offers.reply(Question::Offer(number))? {
            Reply::Verdicts(verdicts) => verdicts,
            Reply::Blocks(_) => Vec::new(),
        };
        // An answer that is too short wants the rest.
        let verdicts = verdicts.into_iter().chain(std::iter::repeat(Verdict::Send));
        for (entry, verdict) in entries.into_iter().zip(verdicts) {
            match (verdict, &entry.kind) {
                (Verdict::Send, _) => self.entry(entry, false)?,
                (Verdict::Compare, _) => self.entry(entry, true)?,
                (Verdict::Delivered | Verdict::There, EntryKind::File { size }) => {
                    let there = verdict == Verdict::There;
                    self.step(Step::Present { bytes: *size, there })?;
                }
                (Verdict::Delivered | Verdict::There, _) => {}
            }
        }
        Ok(())
    }

    /// Asks for the last entries, and sends what is wanted of all that was offered.
    pub(super) fn settle_offers(&mut self) -> Result<(), Stopped> {
        if self.offers.as_ref().is_some_and(|offers| !offers.batch.is_empty()) {
            self.ask_offer()?;
        }
        while self.offers.as_ref().is_some_and(|offers| !offers.asked.is_empty()) {
            self.settle_offer()?;
        }
        Ok(())
    }

    /// Extends `cvs` by what the receiver has of a file of `size` bytes, so that block `block` is
    /// among them.
    pub(super) fn learn(
        &mut self,
        theirs: &mut Theirs,
        (file, revision, size): (u64, u8, u64),
        block: u32,
        cvs: &mut Vec<[u8; 32]>,
    ) -> Result<(), Stopped> {
        let blocks = u32::try_from(hash::block_count(size)).unwrap_or(u32::MAX);
        while cvs.len() <= block as usize {
            while theirs.asked.len() < MAX_QUERIES && theirs.next < blocks {
                let first = theirs.next;
                theirs.next = first.saturating_add(MAX_BLOCKS.into()).min(blocks);
                theirs.asked.push_back(first);
                let count = u16::try_from(theirs.next - first).unwrap_or(MAX_BLOCKS);
                let message = Message::BlocksQuery { file, revision, first, count };
                self.step(Step::Ask { question: Question::Blocks { file, first }, message })?;
            }
            let Some(first) = theirs.asked.pop_front() else {
                cvs.push(NO_BLOCK);
                continue;
            };
            let Some(offers) = &mut self.offers else { return Err(Stopped) };
            let mut found = match offers.reply(Question::Blocks { file, first })? {
                Reply::Blocks(found) => found,
                Reply::Verdicts(_) => Vec::new(),
            };
            let count = blocks.saturating_sub(first).min(MAX_BLOCKS.into()) as usize;
            found.resize(count, NO_BLOCK);
            cvs.truncate(first as usize);
            cvs.extend(found);
        }
        Ok(())
    }
}
