//! Large files, which come in blocks: in any order, from several links, and again in part when their
//! source changed.

use std::collections::BTreeMap;

use super::commit::Whole;
use super::{Block, Stop, Writer, Written, protocol};
use crate::transfer::dest::{Part, PartialFile};
use crate::transfer::entry::{Entry, EntryKind};
use crate::transfer::hash;
use crate::transfer::proto::{Ack, Reason};

/// The most large files that may be open at once; an honest sender finishes one after the other.
const MAX_OPEN: usize = 256;
/// The most blocks that may wait for the start of their file; an honest sender has announced every
/// file before its blocks, so only reordering between streams makes any wait.
const MAX_PARKED: usize = 32;
/// A large file on its way.
pub(super) struct OpenFile {
    pub(super) entry: Entry,
    part: Part,
    pub(super) size: u64,
    pub(super) revision: u8,
    pub(super) partial: PartialFile,
    pub(super) cvs: BTreeMap<u32, [u8; 32]>,
    /// The whole file's hash, once the sender has said it.
    pub(super) root: Option<[u8; 32]>,
}

impl Writer<'_> {
    pub(super) fn start(&mut self, file: u64, revision: u8, entry: Entry) -> Result<(), Stop> {
        let EntryKind::File { size } = entry.kind else {
            return Err(protocol("only files come in blocks"));
        };
        let new = self.note_entry(file)?;
        if new {
            self.count_file()?;
        }
        if let Some(open) = self.open.get(&file) {
            if revision > open.revision {
                // The old handle goes first: it is bound to the old length.
                let OpenFile { mut cvs, size: before, .. } =
                    self.open.remove(&file).expect("it was just found");
                // A block of another length has another chaining value, and so has that of a file
                // which is only one block.
                let alike = (before > hash::BLOCK) == (size > hash::BLOCK);
                let len = |size, block: u32| hash::block_len(size, block.into());
                cvs.retain(|block, _| alike && len(before, *block) == len(size, *block));
                self.open_file(file, revision, entry, size, cvs)?;
            }
        } else if new {
            if self.open.len() >= MAX_OPEN {
                return Err(protocol("too many files at once"));
            }
            self.claim(Part::of(&entry.path))?;
            self.open_file(file, revision, entry, size, BTreeMap::new())?;
        }
        let (now, later) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|block| block.header.file == file && block.header.revision <= revision);
        self.parked = later;
        now.into_iter().try_for_each(|block: Block| self.block(block))
    }

    /// Sees to it that nothing else is being written to this part.
    fn claim(&mut self, part: Part) -> Result<(), Stop> {
        if self.open.values().any(|open| open.part == part) {
            return Err(protocol("two files of one name at once"));
        }
        if self.pending.iter().any(|whole| whole.part == part) {
            self.commit()?;
        }
        Ok(())
    }

    fn open_file(
        &mut self,
        file: u64,
        revision: u8,
        entry: Entry,
        size: u64,
        mut cvs: BTreeMap<u32, [u8; 32]>,
    ) -> Result<(), Stop> {
        if size == 0 {
            // The one block of an empty file is empty, so nothing is sent of it.
            cvs.extend(hash::block_cv(0, 0, &[]).map(|cv| (0, cv)));
        }
        let part = Part::of(&entry.path);
        match self.dest.open_partial(part, size) {
            Ok(partial) => {
                let open = OpenFile { entry, part, size, revision, partial, cvs, root: None };
                self.open.insert(file, open);
                Ok(())
            }
            Err(error) => self.file_failed(file, &entry, error),
        }
    }

    /// Keeps a block until its file starts. One that comes again, as it does when the session was
    /// lost with the start in it, is kept once.
    fn park(&mut self, block: Block) -> Result<(), Stop> {
        let id = |block: &Block| (block.header.file, block.header.revision, block.header.block);
        if self.parked.iter().any(|other| id(other) == id(&block)) {
            return Ok(());
        }
        if self.parked.len() >= MAX_PARKED {
            return Err(protocol("blocks of files that were not announced"));
        }
        self.parked.push(block);
        Ok(())
    }

    pub(super) fn block(&mut self, block: Block) -> Result<(), Stop> {
        let Block { header, ref content, link, .. } = block;
        let ack = |cv| Ack::Block {
            file: header.file,
            revision: header.revision,
            block: header.block,
            cv,
        };
        let Some(open) = self.open.get_mut(&header.file).filter(|o| o.revision >= header.revision)
        else {
            let over = self.entries.contains(header.file) && !self.open.contains_key(&header.file);
            if over {
                // Of a file that is whole or given up already: a second copy.
                return self.tell(Written::Stored { ack: ack(header.cv), bytes: 0, link });
            }
            return self.park(block);
        };
        let known = open.cvs.get(&header.block) == Some(&header.cv);
        if known || open.revision > header.revision {
            return self.tell(Written::Stored { ack: ack(header.cv), bytes: 0, link });
        }
        let len = hash::block_len(open.size, header.block.into());
        if len != Some(content.as_ref().len()) {
            return Err(protocol("a block that does not fit its file"));
        }
        let cv = hash::block_cv(open.size, header.block.into(), content.as_ref())
            .ok_or_else(|| protocol("a block that does not fit its file"))?;
        let mut is_new = false;
        if cv == header.cv {
            open.partial.write_block(header.offset(), content.as_ref())?;
            is_new = open.cvs.insert(header.block, cv).is_none();
            self.count(u64::from(header.len))?;
        }
        // A chaining value that differs makes the sender send the block again.
        let bytes = if is_new { header.len.into() } else { 0 };
        self.tell(Written::Stored { ack: ack(cv), bytes, link })?;
        self.try_whole(header.file)
    }

    /// Moves a file to the next commit if all its blocks are there and its end was said.
    pub(super) fn try_whole(&mut self, file: u64) -> Result<(), Stop> {
        let Some(open) = self.open.get(&file) else { return Ok(()) };
        let Some(root) = open.root else { return Ok(()) };
        if open.cvs.len() as u64 != hash::block_count(open.size) {
            return Ok(());
        }
        let cvs: Vec<_> = open.cvs.values().copied().collect();
        let right = hash::root(open.size, &cvs) == Some(root);
        let Some(open) = self.open.remove(&file) else { return Ok(()) };
        if !right {
            let text = "its blocks do not make up its hash".to_owned();
            return self.settle_failed(file, &open.entry, Reason::Corrupt, text);
        }
        let OpenFile { mut entry, part, revision, partial, .. } = open;
        // Once, when all is there; and they take no memory while it waits for its name.
        let attributes = std::mem::take(&mut entry.attributes);
        if let Some(lost) = partial.set_attributes(&attributes) {
            self.keeper.lose(&entry.path, lost);
        }
        self.pending.push(Whole { index: file, part, entry, hash: root });
        self.tell(Written::Whole { file, revision })
    }
}
