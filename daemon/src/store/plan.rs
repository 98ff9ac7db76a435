//! What a transfer needs, besides what is shown of it, to go on after a restart.

use std::path::PathBuf;

use filefleet_ctl::proto::{SendOptions, WirePath};
use serde::{Deserialize, Serialize};

/// What is to be done, by direction. Fields that an older version did not know have the value that
/// fits what that version did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Plan {
    Outgoing(Outgoing),
    Incoming(Incoming),
}

/// Something to send.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Outgoing {
    /// What was asked for earlier has a lower number.
    pub(crate) number: u64,
    pub(crate) sources: Vec<WirePath>,
    pub(crate) options: SendOptions,
    /// Whether the one source is the spool's, which goes with the transfer.
    pub(crate) spooled: bool,
    /// The text that the one source is.
    pub(crate) text: Option<String>,
    /// Whether it waits in the outbox while the receiver cannot be reached for the first time.
    pub(crate) queue: bool,
    /// Whether the receiver has the request and a person there has not answered yet.
    pub(crate) asked: bool,
    /// Whether the receiver has accepted.
    pub(crate) accepted: bool,
    /// Whether it ended here and the receiver, who knows of it, may not have heard.
    pub(crate) untold: bool,
    /// Why it ended, if not well: what a receiver hears that accepts later.
    pub(crate) ended: Option<Ended>,
}

/// Something that was accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Incoming {
    /// Whether the destination is made if it does not exist.
    pub(crate) make_dir: bool,
    /// The most bytes of content that are taken.
    pub(crate) max_bytes: Option<u64>,
    /// What the person was shown who accepted it, if it was said to be all.
    pub(crate) agreed: Option<Agreed>,
    /// Whether the sender wishes to replace what was sent before. Whether that is allowed is asked
    /// whenever it is received.
    pub(crate) update: bool,
    /// Why it ended, if not well: what a sender hears that comes back and does not know.
    pub(crate) ended: Option<Ended>,
}

/// How much a person has agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agreed {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Files and bytes beyond half as much again as was shown that are taken: files grow while they are
/// sent, and what has changed meanwhile is sent again.
const TOLERATED: Agreed = Agreed { files: 1_000, bytes: 64 << 20 };

impl Agreed {
    /// The most that is taken.
    pub(crate) fn most(self) -> Self {
        let most = |shown: u64, more| shown.saturating_add(shown / 2).saturating_add(more);
        Self { files: most(self.files, TOLERATED.files), bytes: most(self.bytes, TOLERATED.bytes) }
    }
}

/// How a transfer ended, in the words of the peer protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// The number of a reason.
    pub(crate) reason: u8,
    pub(crate) text: String,
}

impl Plan {
    pub(crate) fn is_incoming(&self) -> bool {
        matches!(self, Self::Incoming(_))
    }

    pub(crate) fn outgoing(&self) -> Option<&Outgoing> {
        match self {
            Self::Outgoing(plan) => Some(plan),
            Self::Incoming(_) => None,
        }
    }

    pub(crate) fn incoming(&self) -> Option<&Incoming> {
        match self {
            Self::Incoming(plan) => Some(plan),
            Self::Outgoing(_) => None,
        }
    }
}

impl Plan {
    /// Why it ended, if not well and if that was noted.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        match self {
            Self::Outgoing(plan) => plan.ended.as_ref(),
            Self::Incoming(plan) => plan.ended.as_ref(),
        }
    }

    pub(crate) fn set_ended(&mut self, why: Option<Ended>) {
        match self {
            Self::Outgoing(plan) => plan.ended = why,
            Self::Incoming(plan) => plan.ended = why,
        }
    }
}

impl Outgoing {
    /// Whether the receiver has something of it: a request that waits, or content.
    pub(crate) fn is_known_to_receiver(&self) -> bool {
        self.asked || self.accepted
    }

    /// What is to be sent, as paths of this system.
    pub(crate) fn sources(&self) -> Vec<PathBuf> {
        self.sources.iter().map(|source| source.as_path().to_owned()).collect()
    }
}
