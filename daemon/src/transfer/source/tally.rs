//! What a walk finds, counted: what would be sent, and what would not.

use std::path::PathBuf;

use super::Walk;
use crate::error::chain;
use crate::transfer::entry::EntryKind;

/// How many of what is left out, and of what cannot be sent, are named.
const MAX_NAMED: usize = 100;

/// What would be sent, by kind, and what would not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Files.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Folders.
    pub folders: u64,
    /// Symbolic links, and further names of files.
    pub links: u64,
    /// What the user leaves out; a folder counts once.
    pub excluded: u64,
    /// The first of these.
    pub excluded_paths: Vec<PathBuf>,
    /// What cannot be sent.
    pub skipped: u64,
    /// The first of these, and why.
    pub skips: Vec<(PathBuf, String)>,
}

impl Tally {
    /// Walks to the end, unless `is_over` says before that nobody wants to know.
    pub fn of(walk: Walk, is_over: impl Fn() -> bool) -> Option<Self> {
        let mut tally = Self::default();
        for found in walk {
            if is_over() {
                return None;
            }
            match found {
                Ok(entry) => tally.count(&entry.kind),
                Err(skipped) if skipped.is_excluded() => {
                    tally.excluded += 1;
                    if tally.excluded_paths.len() < MAX_NAMED {
                        tally.excluded_paths.push(skipped.file_path);
                    }
                }
                Err(skipped) => {
                    tally.skipped += 1;
                    if tally.skips.len() < MAX_NAMED {
                        tally.skips.push((skipped.file_path, chain(&skipped.reason)));
                    }
                }
            }
        }
        Some(tally)
    }

    fn count(&mut self, kind: &EntryKind) {
        match kind {
            EntryKind::File { size } => {
                self.files += 1;
                self.bytes = self.bytes.saturating_add(*size);
            }
            EntryKind::Directory => self.folders += 1,
            EntryKind::Symlink { .. } | EntryKind::HardLink { .. } => self.links += 1,
        }
    }
}
