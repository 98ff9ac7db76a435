//! The headers of the unidirectional streams that carry content. A stream holds one *block* of a
//! large file (without its content, if that is all zeros) or one *pack* of small entries, at most 1 MiB of content either way, so that a lost
//! packet holds up nothing else and no stream ever has many gaps.

use super::super::entry::{Entry, EntryKind};
use super::super::hash::BLOCK;
use super::entry::{put_entry, read_entry};
use super::message::TransferId;
use super::wire::{Reader, WireError};

/// The most entries in one pack.
pub(crate) const MAX_PACK_ENTRIES: u16 = 1_024;
/// The most bytes of a pack's table of entries.
pub(crate) const MAX_PACK_TABLE: u32 = 512 * 1024;
/// The length of the part that every stream starts with.
pub(crate) const PREFIX_LEN: usize = 29;

/// The first bytes of a stream: `u8 kind ‖ 16 transfer ‖ u64 instance ‖ u32 length of the header that
/// follows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) kind: StreamKind,
    pub(crate) transfer: TransferId,
    /// The receiver's state that the content is for; another one does not take it.
    pub(crate) instance: u64,
    pub(crate) header_len: u32,
}

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// 1: a block.
    Block,
    /// 2: a pack.
    Pack,
    /// 3: a block of zeros, which do not follow its header.
    Zeros,
}

/// Header of a block: `u64 file ‖ u8 revision ‖ u32 block ‖ u32 length ‖ 32 chaining value`, then
/// `length` bytes of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) file: u64,
    pub(crate) revision: u8,
    pub(crate) block: u32,
    pub(crate) len: u32,
    pub(crate) cv: [u8; 32],
}

/// Length of an encoded [`BlockHeader`].
pub(crate) const BLOCK_HEADER_LEN: u32 = 49;

/// One entry of a pack: a folder, a symlink, or a whole file of at most 1 MiB with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackEntry {
    pub(crate) index: u64,
    pub(crate) entry: Entry,
    /// BLAKE3 of a file's content; zero for what has none.
    pub(crate) hash: [u8; 32],
}

/// Header of a pack: `u64 number ‖ u16 n ‖ n × (u64 index ‖ 32 hash ‖ entry)`, then the content of
/// its files one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackHeader {
    pub(crate) number: u64,
    pub(crate) entries: Vec<PackEntry>,
}

impl Prefix {
    pub(crate) fn encode(&self) -> [u8; PREFIX_LEN] {
        let mut out = [0; PREFIX_LEN];
        out[0] = match self.kind {
            StreamKind::Block => 1,
            StreamKind::Pack => 2,
            StreamKind::Zeros => 3,
        };
        out[1..17].copy_from_slice(&self.transfer.0);
        out[17..25].copy_from_slice(&self.instance.to_be_bytes());
        out[25..].copy_from_slice(&self.header_len.to_be_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; PREFIX_LEN]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let (kind, least, most) = match reader.u8()? {
            1 => (StreamKind::Block, BLOCK_HEADER_LEN, BLOCK_HEADER_LEN),
            2 => (StreamKind::Pack, 10, MAX_PACK_TABLE),
            3 => (StreamKind::Zeros, BLOCK_HEADER_LEN, BLOCK_HEADER_LEN),
            _ => return Err(WireError::Invalid("kind of stream")),
        };
        let transfer = TransferId(reader.array()?);
        let instance = reader.u64()?;
        let header_len = reader.u32()?;
        if !(least..=most).contains(&header_len) {
            let found = header_len.into();
            return Err(WireError::TooLong { field: "stream header", found, most: most.into() });
        }
        Ok(Self { kind, transfer, instance, header_len })
    }
}

impl BlockHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(49);
        out.extend_from_slice(&self.file.to_be_bytes());
        out.push(self.revision);
        out.extend_from_slice(&self.block.to_be_bytes());
        out.extend_from_slice(&self.len.to_be_bytes());
        out.extend_from_slice(&self.cv);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let header = Self {
            file: reader.u64()?,
            revision: reader.u8()?,
            block: reader.u32()?,
            len: reader.u32()?,
            cv: reader.array()?,
        };
        reader.end()?;
        if header.len == 0 || u64::from(header.len) > BLOCK {
            return Err(WireError::Invalid("length of a block"));
        }
        Ok(header)
    }

    /// Where the block starts in its file, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        u64::from(self.block) * BLOCK
    }
}

impl PackEntry {
    /// Bytes of content that this entry has in its pack.
    pub(crate) fn content_len(&self) -> u64 {
        match self.entry.kind {
            EntryKind::File { size } => size,
            EntryKind::Directory | EntryKind::Symlink { .. } | EntryKind::HardLink { .. } => 0,
        }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.hash);
        put_entry(out, &self.entry);
    }
}

impl PackHeader {
    /// Encodes a header whose entries [`PackEntry::put`] has already laid out one after another.
    pub(crate) fn encode_table(number: u64, count: u16, table: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(10 + table.len());
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(table);
        out
    }

    /// Decodes a header; the content of all its files together is at most one block.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let number = reader.u64()?;
        let count = reader.count("entries of a pack", MAX_PACK_ENTRIES)?;
        let entries = (0..count)
            .map(|_| {
                let index = reader.u64()?;
                let hash = reader.array()?;
                Ok(PackEntry { index, hash, entry: read_entry(&mut reader)? })
            })
            .collect::<Result<Vec<_>, WireError>>()?;
        reader.end()?;
        let header = Self { number, entries };
        if header.content_len().is_none_or(|len| len > BLOCK) {
            return Err(WireError::Invalid("content of a pack"));
        }
        Ok(header)
    }

    /// Bytes of content behind the header; `None` if the sum is beyond all measure.
    pub(crate) fn content_len(&self) -> Option<u64> {
        self.entries.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.content_len()))
    }
}
