//! The peer protocol above links: control messages and stream headers, and how they lie in bytes.
//!
//! A sender asks ([`Message::Request`]), the receiver answers, then content flows on unidirectional
//! streams: large files in blocks, everything else in packs that carry their own manifest entries.
//! The receiver acknowledges what it stored and says at the end, once, that all is durable.
//! This module knows nothing of sessions, files or tasks.

mod compare;
mod entry;
mod header;
mod losses;
mod message;
mod reason;
#[cfg(test)]
pub(crate) mod tests;
mod wire;

pub(crate) use compare::{MAX_BLOCKS, MAX_OFFER_BYTES, MAX_OFFERED, NO_BLOCK, NO_HASH, Verdict};
pub(crate) use entry::{put_entry, read_entry};
pub(crate) use header::{
    BLOCK_HEADER_LEN, BlockHeader, MAX_PACK_ENTRIES, MAX_PACK_TABLE, PREFIX_LEN, PackEntry,
    PackHeader, Prefix, StreamKind,
};
pub(crate) use losses::{put_losses, read_losses};
pub(crate) use message::TransferId;
pub(crate) use message::{
    Ack, Answer, Envelope, MAX_ACKS, MAX_ENTRIES, MAX_FILE_NAME, MAX_PREVIEW, MAX_PREVIEW_BYTES,
    Message, Preview, PreviewKind, Totals,
};
pub(crate) use reason::Reason;
pub(crate) use wire::{Reader, WireError};
