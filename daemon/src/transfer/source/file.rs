//! One file that is read to be sent, and whether it stayed the same meanwhile.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::SourceError;
use crate::transfer::entry::Timestamp;
use crate::transfer::folder::attributes::{self, Found};
use crate::transfer::folder::{self, Folder, Stat};
use crate::transfer::hash::BLOCK;

/// A file open for reading, from any thread and in any order.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    parent: Arc<Folder>,
    name: Box<[u8]>,
    /// What the file was when it was opened.
    start: Stat,
    /// Whether its attributes are sent.
    xattrs: bool,
}

/// What happened to a file since it was opened; the gravest of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Change {
    /// It was removed or moved away.
    #[error("was removed while it was sent")]
    Removed,
    /// Another file has taken its place.
    #[error("was replaced while it was sent")]
    Replaced,
    /// It became longer or shorter.
    #[error("changed its size while it was sent")]
    Resized,
    /// It was written to.
    #[error("was modified while it was sent")]
    Modified,
    /// Its permissions, links or attributes changed, or its time was set back after a change.
    #[error("was changed while it was sent")]
    Touched,
}

impl SourceFile {
    pub(super) fn open(parent: Arc<Folder>, name: &[u8], xattrs: bool) -> io::Result<Self> {
        let (file, start) = parent.open_file(name, false)?;
        if start.size > BLOCK {
            folder::expect_sequential_reads(&file);
        }
        Ok(Self { file, parent, name: name.into(), start, xattrs })
    }

    /// The file's length when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.start.size
    }

    /// The file's modification time when it was opened.
    #[must_use]
    pub fn mtime(&self) -> Timestamp {
        self.start.mtime
    }

    /// The file's permission bits when it was opened.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.start.mode
    }

    /// Whether the file has holes.
    #[must_use]
    pub fn has_holes(&self) -> bool {
        // Most files need not be asked twice.
        self.is_sparse() && folder::has_hole(&self.file, self.start.size)
    }

    fn is_sparse(&self) -> bool {
        self.start.allocated.is_some_and(|allocated| allocated < self.start.size)
    }

    /// The extended attributes that are sent, and the names of those that are not.
    pub(in crate::transfer) fn attributes(&self) -> Found {
        attributes::read(&self.file, self.xattrs)
    }

    /// Reads what lies at `offset`, to fill `bytes` or to the end that the file had when it was
    /// opened; the number of bytes read. [`SourceError::Shrunk`] if it ends before that now.
    pub fn read_block(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, SourceError> {
        let rest = self.start.size.saturating_sub(offset);
        let wanted = usize::try_from(rest).map_or(bytes.len(), |rest| rest.min(bytes.len()));
        if self.is_hole(offset, wanted) {
            bytes[..wanted].fill(0);
            return Ok(wanted);
        }
        match folder::read_full_at(&self.file, &mut bytes[..wanted], offset) {
            Ok(count) if count == wanted => Ok(count),
            Ok(_) => Err(SourceError::Shrunk),
            Err(error) => Err(SourceError::of(folder::to_path(&self.name).into(), error)),
        }
    }

    /// Whether nothing lies there, so that reading it would only fill the system's cache with zeros.
    /// A file that becomes shorter meanwhile shows in [`change`](Self::change).
    fn is_hole(&self, offset: u64, len: usize) -> bool {
        self.is_sparse()
            && match folder::next_data(&self.file, offset) {
                Ok(Some(data)) => data.checked_sub(offset).is_some_and(|free| free >= len as u64),
                Ok(None) => true,
                Err(_) => false,
            }
    }

    /// What changed since the file was opened, if anything did: asked when all has been read.
    pub fn change(&self) -> Option<Change> {
        let (Ok(now), Ok(named)) = (folder::stat_file(&self.file), self.parent.stat(&self.name))
        else {
            return Some(Change::Removed);
        };
        if named.id != self.start.id || named.kind != self.start.kind {
            Some(Change::Replaced)
        } else if now.size != self.start.size {
            Some(Change::Resized)
        } else if now.mtime != self.start.mtime {
            Some(Change::Modified)
        } else if now.ctime != self.start.ctime {
            Some(Change::Touched)
        } else {
            None
        }
    }
}
