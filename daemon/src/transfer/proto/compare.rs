//! What the two sides say to find out what need not be sent: entries that are offered, and the answer
//! to each.

use super::entry::{put_entry, read_entry};
use super::wire::{Reader, WireError};
use crate::transfer::entry::Entry;
use crate::transfer::hash::Digest;

/// The most entries in one offer.
pub(crate) const MAX_OFFERED: u16 = 512;
/// The most bytes of an offer's entries but the last; with a hash for each, a message is at most 60 KiB.
pub(crate) const MAX_OFFER_BYTES: usize = 24 * 1024;
/// The most blocks that are asked for at once.
pub(crate) const MAX_BLOCKS: u16 = 256;

/// What stands for the chaining value of a block that the receiver does not have.
pub(crate) const NO_BLOCK: [u8; 32] = [0; 32];
/// What stands for the hash of an entry that is no file or could not be read.
pub(crate) const NO_HASH: Digest = [0; 32];

/// What becomes of an entry that was offered. The number is its byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 0: it is to be sent.
    Send,
    /// 1: this transfer has delivered it already.
    Delivered,
    /// 2: an earlier transfer has, and it lies there unaltered.
    There,
    /// 3: a file of which some blocks are here; which, the sender asks for.
    Compare,
}

impl Verdict {
    fn number(self) -> u8 {
        match self {
            Self::Send => 0,
            Self::Delivered => 1,
            Self::There => 2,
            Self::Compare => 3,
        }
    }

    fn from_number(number: u8) -> Result<Self, WireError> {
        [Self::Send, Self::Delivered, Self::There, Self::Compare]
            .into_iter()
            .find(|verdict| verdict.number() == number)
            .ok_or(WireError::Invalid("verdict"))
    }
}

pub(super) fn put_offered(out: &mut Vec<u8>, entries: &[Entry]) {
    put_count(out, entries.len());
    entries.iter().for_each(|entry| put_entry(out, entry));
}

pub(super) fn read_offered(reader: &mut Reader<'_>) -> Result<Vec<Entry>, WireError> {
    let count = reader.count("offered entries", MAX_OFFERED)?;
    (0..count).map(|_| read_entry(reader)).collect()
}

pub(super) fn put_hashes(out: &mut Vec<u8>, hashes: &[Digest]) {
    put_count(out, hashes.len());
    hashes.iter().for_each(|hash| out.extend_from_slice(hash));
}

/// None, or as many as there are entries.
pub(super) fn read_hashes(
    reader: &mut Reader<'_>,
    entries: usize,
) -> Result<Vec<Digest>, WireError> {
    match usize::from(reader.count("hashes", MAX_OFFERED)?) {
        count if count == 0 || count == entries => (0..count).map(|_| reader.array()).collect(),
        _ => Err(WireError::Invalid("number of hashes")),
    }
}

pub(super) fn put_verdicts(out: &mut Vec<u8>, verdicts: &[Verdict]) {
    put_count(out, verdicts.len());
    out.extend(verdicts.iter().map(|verdict| verdict.number()));
}

pub(super) fn read_verdicts(reader: &mut Reader<'_>) -> Result<Vec<Verdict>, WireError> {
    let count = reader.count("verdicts", MAX_OFFERED)?;
    (0..count).map(|_| Verdict::from_number(reader.u8()?)).collect()
}

pub(super) fn put_blocks(out: &mut Vec<u8>, cvs: &[[u8; 32]]) {
    put_count(out, cvs.len());
    cvs.iter().for_each(|cv| out.extend_from_slice(cv));
}

pub(super) fn read_blocks(reader: &mut Reader<'_>) -> Result<Vec<[u8; 32]>, WireError> {
    let count = reader.count("blocks", MAX_BLOCKS)?;
    (0..count).map(|_| reader.array()).collect()
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}
