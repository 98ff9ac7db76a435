//! What a writing thread is told, what it tells, and how it ends.

use std::path::PathBuf;
use std::time::Instant;

use crate::peer::LinkKind;
use crate::policy::Update;
use crate::store::Agreed;
use crate::transfer::buffer::Buffer;
use crate::transfer::entry::Entry;
use crate::transfer::hash::Digest;
use crate::transfer::loss::Losses;
use crate::transfer::progress::Fault;
use crate::transfer::proto::{Ack, BlockHeader, PackHeader, Reason, Verdict};
use crate::transfer::receive::streams::Share;

/// What the writing thread is told.
#[derive(Debug)]
pub(crate) enum Job {
    Start {
        file: u64,
        revision: u8,
        entry: Entry,
    },
    End {
        file: u64,
        revision: u8,
        root: [u8; 32],
    },
    Block(Block),
    Pack {
        /// The state that it is for.
        instance: u64,
        header: PackHeader,
        content: Buffer,
        link: LinkKind,
        share: Share,
    },
    /// The sender gives up a file that it had started. Said again in every new session.
    GiveUp {
        file: u64,
        reason: Reason,
        text: String,
        /// Its path as a text, as the sender says.
        name: String,
    },
    /// The sender asks which of these are to be sent.
    Offer {
        number: u64,
        entries: Vec<Entry>,
        /// Of the files' content, if they are to be compared by it.
        hashes: Vec<Digest>,
    },
    /// The sender asks which blocks of a file that has started are here.
    BlocksQuery {
        file: u64,
        revision: u8,
        first: u32,
        count: u16,
    },
    /// The sender has sent so many entries, and that is all.
    Finish {
        entries: u64,
    },
    /// The thread ends; what is not whole stays for another one.
    Leave,
    /// The transfer is over; what was not committed is removed.
    Abandon,
}

/// A block of a large file, read from its stream.
#[derive(Debug)]
pub(crate) struct Block {
    /// The state that it is for.
    pub(crate) instance: u64,
    pub(crate) header: BlockHeader,
    pub(crate) content: Buffer,
    pub(crate) link: LinkKind,
    pub(crate) came_at: Instant,
    /// The block's share of the receive budget, given back when it is written.
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) share: Share,
}

/// What the writing thread tells.
#[derive(Debug)]
pub(crate) enum Written {
    /// The destination is open: jobs for this state are taken. `compares`: there is something with
    /// which entries are to be compared before they are sent.
    Ready {
        instance: u64,
        compares: bool,
    },
    /// Content is stored, and what a pack held of files is delivered: new bytes (none if it was there
    /// before) and the link that brought them.
    Stored {
        ack: Ack,
        bytes: u64,
        link: LinkKind,
    },
    /// The answer to an offer.
    Verdicts {
        number: u64,
        verdicts: Vec<Verdict>,
    },
    /// Which blocks of a file are on the disk, and how many bytes of them were not known before.
    Blocks {
        file: u64,
        first: u32,
        cvs: Vec<[u8; 32]>,
        bytes: u64,
    },
    /// A large file is whole and right.
    Whole {
        file: u64,
        revision: u8,
    },
    /// So many files have replaced what was there, and so many lie beside what they were to replace.
    Placed {
        replaced: u64,
        beside: u64,
    },
    /// So much is durable under its final name, in all.
    Delivered {
        files: u64,
        bytes: u64,
    },
    /// These have got their names right in the destination; perhaps told before.
    Arrived(Vec<PathBuf>),
    /// All that the transfer could not keep so far.
    Lost(Losses),
    FileFailed {
        file: u64,
        path: String,
        reason: Reason,
        text: String,
    },
    /// The sender has given up a file; told once.
    GivenUp {
        path: String,
        reason: Reason,
        text: String,
    },
    /// Blocks wait for their file since then, or none do.
    Parked {
        since: Option<Instant>,
    },
}

/// What the user allows a transfer to do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    /// The most bytes of content that are taken.
    pub(crate) max_bytes: Option<u64>,
    /// What the person was shown who accepted it, if it was said to be all.
    pub(crate) agreed: Option<Agreed>,
    /// What happens to files that were delivered before.
    pub(crate) update: Update,
}

/// How a writing thread ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Everything is durable.
    Complete { files: u64, bytes: u64 },
    /// What is not whole stays for another thread.
    Left,
    /// Nothing can be stored for the moment: what is not whole stays for another thread.
    Stalled(Fault),
    /// Nothing partial is left.
    Abandoned,
    /// The transfer cannot go on; nothing partial is left.
    Failed(Fault),
}
