//! What could not be kept of what was sent.

use serde::{Deserialize, Serialize};

/// One kind of thing that could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossView {
    /// What was lost.
    pub kind: LossKind,
    /// Of how many files, folders and links.
    pub count: u64,
    /// The first 10 of these; in lists and events the first 3, with their texts shortened.
    pub examples: Vec<LossExample>,
}

/// Something that lost something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossExample {
    /// Where it is, relative to what was sent.
    pub path: String,
    /// More about it, such as the name that it has instead; may be empty.
    pub detail: String,
}

/// What was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Permission bits that the destination's file system does not keep.
    Permissions,
    /// A modification time that it keeps less exactly, or not at all.
    Time,
    /// A further name of a file that became a file of its own.
    HardLink,
    /// A name that was taken: it has another one.
    Name,
    /// Set-id and sticky bits, which are never sent.
    SpecialBits,
    /// Extended attributes that the destination did not take.
    Attributes,
    /// Extended attributes that were not sent because nobody asked for it.
    AttributesNotSent,
    /// Extended attributes that are never sent: of another namespace than the user's, or too many.
    AttributesNeverSent,
    /// Holes of a sparse file, which occupy the disk now.
    Holes,
    /// A socket, pipe or device, which is not sent.
    NotSent,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}
