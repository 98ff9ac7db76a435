//! The sender's reading side: walks the sources, reads and hashes them, and lays content out in
//! chunks, all on one blocking thread that is held back by its bounded channel.

mod compare;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

pub(crate) use self::compare::{Asking, MAX_QUESTIONS, Question, Reply};
use self::compare::{Offers, Theirs};
use crate::error::chain;
use crate::transfer::buffer::{Buffer, Ration};
use crate::transfer::entry::{Entry, EntryKind, MAX_ATTRIBUTES, MAX_BYTES};
use crate::transfer::folder::attributes::Found;
use crate::transfer::hash::{self, BLOCK};
use crate::transfer::loss::{LossKind, Losses, Lost};
use crate::transfer::proto::{
    BLOCK_HEADER_LEN, BlockHeader, MAX_PACK_ENTRIES, MAX_PACK_TABLE, Message, PackEntry,
    PackHeader, Prefix, Reason, StreamKind, TransferId,
};
use crate::transfer::source::{SkipReason, Skipped, Source, SourceFile};
use crate::transfer::zeros::is_zero;

/// How often a file that changes while it is read is read again before it is given up.
const MAX_REVISIONS: u8 = 3;
/// Before it is read again: a write sets the time of its file when it begins, so whoever reads while
/// it goes on has a file of mixed content that does not seem to change.
const SETTLING: Duration = Duration::from_millis(50);
/// Room that one entry may need in a pack's table: two paths' worth, its fixed fields, and attributes
/// with their lengths.
const MAX_ENTRY_LEN: usize = 16 * 1024 + MAX_BYTES + 4 * MAX_ATTRIBUTES;
const BLOCK_LEN: usize = 1 << 20;
/// So much of a block is read and then hashed at once, to fit a core's cache.
const PIECE: usize = 256 << 10;

/// A chunk's name while it is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ChunkId {
    Pack(u64),
    Block { file: u64, revision: u8, block: u32 },
}

/// What one stream carries. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) id: ChunkId,
    /// Prefix and header.
    pub(crate) head: Bytes,
    /// Nothing for a block of zeros.
    pub(crate) content: Bytes,
    /// How many bytes of files this is.
    pub(crate) len: u64,
    /// The chaining value that the receiver must confirm; `None` for packs, whose entries have hashes.
    pub(crate) cv: Option<[u8; 32]>,
}

/// What the reading side has for the sending side, in this order.
#[derive(Debug)]
pub(crate) enum Step {
    /// A file that goes in blocks starts, or starts again.
    Start {
        file: u64,
        revision: u8,
        entry: Entry,
    },
    Chunk(Chunk),
    /// The receiver is asked; its answer is waited for.
    Ask {
        question: Question,
        message: Message,
    },
    /// A file that the receiver has: from an earlier transfer if it was `there` before.
    Present {
        bytes: u64,
        there: bool,
    },
    /// A block that the receiver has.
    Kept {
        bytes: u64,
    },
    /// The file is whole and its source did not change. `differing`: only what differs from what the
    /// receiver had was sent.
    End {
        file: u64,
        revision: u8,
        root: [u8; 32],
        differing: bool,
    },
    /// One file is given up; `file` is `None` where the receiver has not heard of it.
    Failed {
        file: Option<u64>,
        path: String,
        reason: Reason,
        text: String,
    },
    /// All has been read; so many entries were sent, and this was not sent of them.
    Finish {
        entries: u64,
        losses: Losses,
    },
}

/// The other side of the channel is gone: the transfer is over.
#[derive(Debug)]
struct Stopped;

/// Reads everything that `source` holds, for the receiver's state `instance`. Returns when all is read
/// or the channel is closed. With `asking`, entries are offered before they are read.
pub(crate) fn read(
    transfer: TransferId,
    instance: u64,
    source: Arc<Source>,
    buffers: Ration,
    steps: mpsc::Sender<Step>,
    asking: Option<Asking>,
) {
    let offers = asking.map(Offers::new);
    let mut reader = Reader {
        transfer,
        instance,
        source,
        buffers,
        steps,
        next_index: 0,
        next_pack: 0,
        pack: None,
        offers,
        losses: Losses::default(),
    };
    // A closed channel only says that nobody wants the rest.
    let _ = reader.run();
}

struct Reader {
    transfer: TransferId,
    instance: u64,
    source: Arc<Source>,
    buffers: Ration,
    steps: mpsc::Sender<Step>,
    next_index: u64,
    next_pack: u64,
    pack: Option<Pack>,
    /// Where the receiver has something to compare with.
    offers: Option<Offers>,
    /// What is not sent of what is.
    losses: Losses,
}

/// A pack that is being filled.
struct Pack {
    count: u16,
    table: Vec<u8>,
    content: Buffer,
    len: usize,
}

impl Reader {
    fn run(&mut self) -> Result<(), Stopped> {
        let mut walk = self.source.walk();
        for item in walk.by_ref() {
            match item {
                // A folder costs less than the question whether it is there.
                Ok(entry) if entry.kind == EntryKind::Directory => self.entry(entry, false)?,
                Ok(entry) => self.offer(entry)?,
                Err(skipped) if skipped.is_excluded() => {}
                Err(skipped) => {
                    self.lose_special(&skipped);
                    let path = skipped.file_path.to_string_lossy().into_owned();
                    let text = chain(&skipped.reason);
                    self.failed(None, path, Reason::SourceUnreadable, text)?;
                }
            }
        }
        self.settle_offers()?;
        self.flush()?;
        let losses = walk.losses().and(&self.losses);
        self.step(Step::Finish { entries: self.next_index, losses })
    }

    /// Counts what is of a kind that is never sent.
    fn lose_special(&mut self, skipped: &Skipped) {
        if matches!(skipped.reason, SkipReason::Special) {
            self.losses.add(&skipped.path.to_string(), Lost::new(LossKind::NotSent, ""));
        }
    }

    /// Sends an entry; of a large file, with `compare`, only what the receiver does not have.
    fn entry(&mut self, entry: Entry, compare: bool) -> Result<(), Stopped> {
        match entry.kind {
            EntryKind::File { size } if size > BLOCK => self.large(entry, compare),
            EntryKind::File { .. } => self.small(entry),
            EntryKind::Directory | EntryKind::Symlink { .. } | EntryKind::HardLink { .. } => {
                self.add(entry, [0; 32], 0)
            }
        }
    }

    fn step(&self, step: Step) -> Result<(), Stopped> {
        self.steps.blocking_send(step).map_err(|_| Stopped)
    }

    fn failed(
        &self,
        file: Option<u64>,
        path: String,
        reason: Reason,
        text: String,
    ) -> Result<(), Stopped> {
        self.step(Step::Failed { file, path, reason, text })
    }

    /// A file that fits a pack: read whole, between two looks at its metadata.
    fn small(&mut self, mut entry: Entry) -> Result<(), Stopped> {
        for _ in 0..=MAX_REVISIONS {
            let source = match self.source.open(&entry.path) {
                Ok(source) => source,
                Err(error) => {
                    let path = entry.path.to_string();
                    return self.failed(None, path, Reason::SourceUnreadable, chain(&error));
                }
            };
            let lost = describe(&mut entry, &source);
            let EntryKind::File { size } = entry.kind else { break };
            let Some(len) = usize::try_from(size).ok().filter(|len| *len <= BLOCK_LEN) else {
                return self.large(entry, false);
            };
            let pack = self.room(len)?;
            let content = &mut pack.content.as_mut()[pack.len..pack.len + len];
            let whole = source.read_block(0, content).is_ok_and(|read| read == len);
            if whole && source.change().is_none() {
                let hash = *blake3::hash(content).as_bytes();
                lost.into_iter().for_each(|lost| self.losses.add(&entry.path.to_string(), lost));
                return self.add(entry, hash, len);
            }
        }
        let text = "it kept changing while it was read".to_owned();
        self.failed(None, entry.path.to_string(), Reason::SourceChanged, text)
    }

    /// A pack with room for one more entry and `len` more bytes of content.
    fn room(&mut self, len: usize) -> Result<&mut Pack, Stopped> {
        let full = self.pack.as_ref().is_some_and(|pack| {
            pack.len + len > BLOCK_LEN
                || pack.count == MAX_PACK_ENTRIES
                || pack.table.len() + MAX_ENTRY_LEN > MAX_PACK_TABLE as usize
        });
        if full {
            self.flush()?;
        }
        let buffers = &self.buffers;
        Ok(self.pack.get_or_insert_with(|| Pack {
            count: 0,
            table: Vec::new(),
            content: buffers.take(BLOCK_LEN),
            len: 0,
        }))
    }

    /// Adds an entry whose `len` bytes of content, if any, already lie in the pack.
    fn add(&mut self, entry: Entry, hash: [u8; 32], len: usize) -> Result<(), Stopped> {
        let index = self.next_index;
        self.next_index += 1;
        let pack = self.room(len)?;
        PackEntry { index, entry, hash }.put(&mut pack.table);
        pack.count += 1;
        pack.len += len;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        let Some(mut pack) = self.pack.take() else { return Ok(()) };
        let number = self.next_pack;
        self.next_pack += 1;
        pack.content.truncate(pack.len);
        let header = PackHeader::encode_table(number, pack.count, &pack.table);
        let head = self.head(StreamKind::Pack, &header);
        let len = pack.len as u64;
        let content = pack.content.freeze();
        self.step(Step::Chunk(Chunk { id: ChunkId::Pack(number), head, content, len, cv: None }))
    }

    fn head(&self, kind: StreamKind, header: &[u8]) -> Bytes {
        let header_len = u32::try_from(header.len()).expect("tables are bounded");
        let (transfer, instance) = (self.transfer, self.instance);
        let prefix = Prefix { kind, transfer, instance, header_len }.encode();
        [prefix.as_slice(), header].concat().into()
    }

    /// A file that goes in blocks; read again, and only what changed sent again, when its source
    /// changes meanwhile. With `compare`, what the receiver has is not sent at all.
    fn large(&mut self, mut entry: Entry, compare: bool) -> Result<(), Stopped> {
        let file = self.next_index;
        self.next_index += 1;
        let mut cvs = Vec::new();
        let mut theirs = (compare && self.offers.is_some()).then(Theirs::default);
        for revision in 0..=MAX_REVISIONS {
            if revision > 0 {
                std::thread::sleep(SETTLING);
            }
            let source = match self.source.open(&entry.path) {
                Ok(source) => source,
                Err(error) => {
                    let path = entry.path.to_string();
                    let known = (revision > 0).then_some(file);
                    self.next_index -= u64::from(known.is_none());
                    return self.failed(known, path, Reason::SourceUnreadable, chain(&error));
                }
            };
            let lost = describe(&mut entry, &source);
            let EntryKind::File { size } = entry.kind else { break };
            self.step(Step::Start { file, revision, entry: entry.clone() })?;
            let id = (file, revision, size);
            if self.blocks(&source, id, &mut theirs, &mut cvs)? && source.change().is_none() {
                let root = hash::root(size, &cvs).expect("every block was read");
                let differing = revision > 0 || theirs.is_some();
                lost.into_iter().for_each(|lost| self.losses.add(&entry.path.to_string(), lost));
                return self.step(Step::End { file, revision, root, differing });
            }
        }
        let text = "it kept changing while it was sent".to_owned();
        self.failed(Some(file), entry.path.to_string(), Reason::SourceChanged, text)
    }

    /// Sends the blocks that differ from `cvs`, which are the receiver's as far as it was asked; false
    /// if the file turned out shorter than `size`.
    fn blocks(
        &mut self,
        source: &SourceFile,
        (file, revision, size): (u64, u8, u64),
        theirs: &mut Option<Theirs>,
        cvs: &mut Vec<[u8; 32]>,
    ) -> Result<bool, Stopped> {
        if size == 0 {
            // Nothing is sent of its one block, which is empty.
            *cvs = hash::block_cv(0, 0, &[]).into_iter().collect();
        }
        let mut offset = 0;
        let mut block = 0_u32;
        cvs.truncate(usize::try_from(hash::block_count(size)).unwrap_or(usize::MAX));
        while offset < size {
            let len = usize::try_from((size - offset).min(BLOCK)).expect("a block fits memory");
            let mut buffer = self.buffers.take(len);
            let hasher = hash::BlockHasher::new(size, block.into());
            let hasher = hasher.expect("the file has such a block");
            let Some(cv) = read_hashing(source, offset, buffer.as_mut(), hasher) else {
                return Ok(false);
            };
            if let Some(theirs) = theirs {
                self.learn(theirs, (file, revision, size), block, cvs)?;
            }
            if cvs.get(block as usize) == Some(&cv) {
                self.kept(revision, len)?;
            } else {
                let len = u32::try_from(len).expect("a block is at most 1 MiB");
                self.block(BlockHeader { file, revision, block, len, cv }, buffer)?;
                match cvs.get_mut(block as usize) {
                    Some(known) => *known = cv,
                    None => cvs.push(cv),
                }
            }
            offset += len as u64;
            block += 1;
        }
        Ok(true)
    }

    /// A block that need not be sent; one that was sent for an earlier revision was counted then.
    fn kept(&self, revision: u8, len: usize) -> Result<(), Stopped> {
        match revision {
            0 => self.step(Step::Kept { bytes: len as u64 }),
            _ => Ok(()),
        }
    }

    fn block(&self, header: BlockHeader, content: Buffer) -> Result<(), Stopped> {
        let (kind, content) = match is_zero(content.as_ref()) {
            true => (StreamKind::Zeros, Bytes::new()),
            false => (StreamKind::Block, content.freeze()),
        };
        let encoded = header.encode();
        debug_assert_eq!(encoded.len(), BLOCK_HEADER_LEN as usize);
        let id =
            ChunkId::Block { file: header.file, revision: header.revision, block: header.block };
        let head = self.head(kind, &encoded);
        self.step(Step::Chunk(Chunk {
            id,
            head,
            content,
            len: header.len.into(),
            cv: Some(header.cv),
        }))
    }
}

/// Reads a block, and hashes it on the way; `None` if the file has become shorter or cannot be read.
fn read_hashing(
    source: &SourceFile,
    offset: u64,
    bytes: &mut [u8],
    mut hasher: hash::BlockHasher,
) -> Option<[u8; 32]> {
    let offsets = (offset..).step_by(PIECE);
    for (offset, piece) in offsets.zip(bytes.chunks_mut(PIECE)) {
        source.read_block(offset, piece).ok().filter(|read| *read == piece.len())?;
        hasher.update(piece);
    }
    hasher.finish()
}

/// Makes of the entry what the opened file says that it is now; tells what is not sent of it.
fn describe(entry: &mut Entry, source: &SourceFile) -> Option<Lost> {
    let Found { attributes, others } = source.attributes();
    (entry.kind, entry.mtime) = (EntryKind::File { size: source.size() }, source.mtime());
    (entry.has_holes, entry.attributes) = (source.has_holes(), attributes);
    others
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
