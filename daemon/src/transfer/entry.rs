//! What one line of a manifest says: an entry's path, kind, permission bits and time.
//!
//! Entries come from our own walk or from a peer; a peer's are hostile until they have passed
//! [`RelPath`] and [`Timestamp`], whose values are safe by construction. Nothing here touches
//! the file system.

mod attributes;
mod rel_path;

#[cfg(target_os = "linux")]
pub(crate) use attributes::NAMESPACE;
pub use attributes::{Attribute, AttributeError, Attributes};
pub(crate) use attributes::{MAX_ATTRIBUTES, MAX_BYTES, MAX_NAME};
pub use rel_path::{MAX_COMPONENT, MAX_DEPTH, MAX_PATH, PARTIAL_PREFIX, PathError, RelPath};

/// The permission bits that travel; set-id and sticky bits never do.
pub const MODE_BITS: u32 = 0o777;

/// A file, folder or symbolic link of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it belongs below the destination.
    pub path: RelPath,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits; only [`MODE_BITS`] of them count.
    pub mode: u32,
    /// When its content was last modified.
    pub mtime: Timestamp,
    /// Whether later entries may be hard links to this file.
    pub is_shared: bool,
    /// Whether it is a file with holes.
    pub has_holes: bool,
    /// Extended attributes of a file or folder.
    pub attributes: Attributes,
}

/// The most files of one transfer that later entries may be hard links to; more are sent again.
pub const MAX_SHARED: usize = 65_536;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its length in bytes, as the sender saw it.
        size: u64,
    },
    /// A folder.
    Directory,
    /// One more name of a file of this transfer.
    HardLink {
        /// The path of that file's entry, which came before and is marked as shared.
        target: RelPath,
    },
    /// A symbolic link; never followed by either end.
    Symlink {
        /// Where it points, as bytes, uninterpreted.
        target: Vec<u8>,
    },
}

/// A time with nanoseconds, before or after 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    secs: i64,
    nanos: u32,
}

impl Timestamp {
    /// `nanos` nanoseconds after `secs` seconds since 1970; `None` if `nanos` is a second or more.
    ///
    /// The bound matters: the kernel gives larger values (`UTIME_NOW`) meanings of their own.
    #[must_use]
    pub const fn new(secs: i64, nanos: u32) -> Option<Self> {
        if nanos < 1_000_000_000 { Some(Self { secs, nanos }) } else { None }
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.secs
    }

    /// Nanoseconds within the second.
    #[must_use]
    pub const fn nanos(self) -> u32 {
        self.nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_less_than_a_second_of_nanoseconds() {
        assert!(Timestamp::new(i64::MIN, 999_999_999).is_some());
        for nanos in [1_000_000_000, 0x3fff_fffe, 0x3fff_ffff, u32::MAX] {
            assert!(Timestamp::new(0, nanos).is_none());
        }
    }
}
