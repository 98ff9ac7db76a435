//! Replacing what was delivered before: the new content takes the place of the old in one step, and
//! only if the old is still what it was when somebody made sure that it may go.

use std::io::ErrorKind;

use super::error::DestError;
use super::tree::Tree;
use crate::transfer::entry::RelPath;
use crate::transfer::folder::{Folder, Stat};

/// A file that may be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transfer) struct Old {
    /// Where it lies, below the destination.
    pub(in crate::transfer) final_path: RelPath,
    /// What it was when it was looked at.
    pub(in crate::transfer) stat: Stat,
}

impl Old {
    /// Whether nothing at all has changed about the file since it was looked at.
    fn is_untouched(&self, stat: &Stat) -> bool {
        self.is_still(stat) && self.stat.ctime == stat.ctime
    }

    /// Whether this is still the file that was looked at, once it was moved: that changes when anything
    /// about it last changed.
    fn is_still(&self, stat: &Stat) -> bool {
        let known =
            |stat: &Stat| (stat.kind, stat.id, stat.size, stat.mtime, stat.mode, stat.links);
        known(&self.stat) == known(stat)
    }
}

impl Tree {
    /// Puts the file `part` of a folder in the place of `old`, which then lies where that was, if the
    /// system can do both in one step. False, and nothing has changed, if `old` is not what it was or
    /// the file system cannot replace so.
    pub(super) fn replace_file(
        &mut self,
        (partials, part): (&Folder, &[u8]),
        old: &Old,
    ) -> Result<bool, DestError> {
        let parent = match self.folder_of(&old.final_path) {
            Err(DestError::Vanished | DestError::NotAFolder) => return Ok(false),
            folder => folder?,
        };
        let name = old.final_path.name();
        let (before, after) = (|stat: &_| old.is_untouched(stat), |stat: &_| old.is_still(stat));
        match partials.replace(part, &parent, name, before, after) {
            Ok(true) => {
                self.note_touched(&parent)?;
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(error) if [ErrorKind::NotFound, ErrorKind::Unsupported].contains(&error.kind()) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}
