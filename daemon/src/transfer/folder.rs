//! Handles of open folders, the only way in which transfers touch files.
//!
//! Every operation takes one plain name below an open folder and never follows a symbolic link
//! that stands there, so nothing that anybody plants or swaps leads out of the folder. The names
//! come from a [`RelPath`](super::entry::RelPath) or are our own; one that is not plain after all is
//! refused here again.

pub(super) mod attributes;
#[cfg(not(unix))]
mod portable;
#[cfg(unix)]
mod unix;

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::entry::Timestamp;
#[cfg(not(unix))]
pub(super) use portable::{
    Folder, Listing, allocate, expect_sequential_reads, has_hole, keeps_mode, name_bytes,
    next_data, punch_hole, read_at, set_metadata, stat_file, to_path, write_all_at,
};
#[cfg(unix)]
pub(super) use unix::{
    Folder, Listing, allocate, expect_sequential_reads, has_hole, keeps_mode, name_bytes,
    next_data, punch_hole, read_at, set_metadata, stat_file, to_path, write_all_at,
};

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink,
    /// A socket, pipe or device.
    Special,
}

/// What tells two files of one machine apart, where the system says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// What the system knows about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) kind: Kind,
    /// `None` where the system has no such thing.
    pub(super) id: Option<FileId>,
    pub(super) size: u64,
    /// Permission bits only.
    pub(super) mode: u32,
    /// Whether it has set-id or sticky bits besides.
    pub(super) has_special_bits: bool,
    pub(super) mtime: Timestamp,
    /// When anything about the file last changed; its `mtime` where that is not known.
    pub(super) ctime: Timestamp,
    pub(super) links: u64,
    /// Bytes of the disk that the file occupies, where the system says so.
    pub(super) allocated: Option<u64>,
}

/// The open folders from a root down to where the last file was, so that a neighbour costs nothing.
#[derive(Debug, Default)]
pub(super) struct Trail {
    steps: Vec<(Box<[u8]>, Arc<Folder>)>,
}

impl Trail {
    /// The folder that `names` lead to from `root`. What is not open yet is opened with
    /// `enter(depth, parent, name)`; what lies on another way is closed.
    pub(super) fn descend<'a, E>(
        &mut self,
        root: &Arc<Folder>,
        names: impl Iterator<Item = &'a [u8]>,
        mut enter: impl FnMut(usize, &Arc<Folder>, &[u8]) -> Result<Folder, E>,
    ) -> Result<Arc<Folder>, E> {
        let mut depth = 0;
        for name in names {
            if self.steps.get(depth).is_none_or(|(open, _)| **open != *name) {
                self.steps.truncate(depth);
                let parent = self.steps.last().map_or(root, |(_, folder)| folder);
                let folder = enter(depth, parent, name)?;
                self.steps.push((name.into(), Arc::new(folder)));
            }
            depth += 1;
        }
        let deepest = depth.checked_sub(1).and_then(|last| self.steps.get(last));
        Ok(Arc::clone(deepest.map_or(root, |(_, folder)| folder)))
    }

    /// Forgets everything, for something on the way is no longer what it was.
    pub(super) fn clear(&mut self) {
        self.steps.clear();
    }
}

/// A name that cannot lead out of the folder it is applied to, whatever its caller overlooked.
#[cfg(unix)]
fn plain(name: &[u8]) -> io::Result<&[u8]> {
    let leads_elsewhere = matches!(name, b"" | b"." | b"..") || name.contains(&b'/');
    if leads_elsewhere { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(name) }
}

/// Reads at `offset` until `bytes` is full or the file ends; the number of bytes read.
pub(super) fn read_full_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    let mut position = offset;
    while filled < bytes.len() {
        match read_at(file, &mut bytes[filled..], position) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                position += u64::try_from(count).map_err(io::Error::other)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
