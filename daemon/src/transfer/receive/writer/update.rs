//! What comes again with other content: which file of an earlier transfer it may replace.
//!
//! Only a regular file that this sender delivered, that is known to be as it was delivered, and that has
//! no other name. All else is the user's, and what comes lies beside it.

use std::collections::HashSet;

use super::commit::{Whole, is_it, look_if_possible, store_error};
use super::compare::ended;
use super::{Stop, Writer, Written};
use crate::policy::Update;
use crate::store::Known;
use crate::transfer::dest::Old;
use crate::transfer::entry::{EntryKind, RelPath, Timestamp};
use crate::transfer::folder::{Kind, Stat};

/// What lies there of earlier transfers, for a batch that is about to be committed.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// What may be replaced, by position; shorter if nothing may.
    pub(super) olds: Vec<Option<Old>>,
    /// The positions for which something lies there, whether it may be replaced or not.
    pub(super) exist: HashSet<usize>,
}

impl Writer<'_> {
    /// Finds what the files of a batch are to replace.
    pub(super) fn find_earlier(&self, batch: &[Whole]) -> Result<Earlier, Stop> {
        if self.terms.update == Update::Unwanted {
            return Ok(Earlier::default());
        }
        let paths = batch.iter().map(|whole| whole.entry.path.as_bytes().to_vec()).collect();
        let known = self.keeper.journal.look_up(paths).map_err(store_error)?;
        let mut earlier = Earlier::default();
        for (position, (whole, known)) in batch.iter().zip(known).enumerate() {
            // What this very transfer brought before is the user's.
            let known = known.filter(|known| !known.by_this);
            let stat = match &known {
                Some(known) => look_if_possible(&self.dest, &known.delivery)?,
                None => None,
            };
            earlier.exist.extend(stat.is_some().then_some(position));
            let old = known.zip(stat).filter(|(known, stat)| self.may_replace(whole, known, stat));
            earlier.olds.push(old.and_then(|(known, stat)| {
                let final_path = RelPath::decode(&known.delivery.final_path).ok()?;
                Some(Old { final_path, stat })
            }));
        }
        Ok(earlier)
    }

    fn may_replace(&self, whole: &Whole, known: &Known, stat: &Stat) -> bool {
        let delivery = &known.delivery;
        let is_file = matches!(whole.entry.kind, EntryKind::File { .. }) && !whole.entry.is_shared;
        let mtime = Timestamp::new(delivery.mtime.0, delivery.mtime.1);
        self.terms.update == Update::Allowed
            && is_file
            && !delivery.is_link
            && stat.kind == Kind::File
            && stat.links == 1
            && is_it(stat, delivery)
            && stat.size == delivery.size
            && mtime == Some(stat.mtime)
            // Without knowing when it was delivered, nobody knows whether it was changed since.
            && ended(known).is_some_and(|ended| stat.ctime <= ended)
    }

    /// Counts a file that was committed.
    pub(super) fn count_placed(&mut self, replaced: bool, exists: bool) {
        self.replaced += u64::from(replaced);
        self.beside += u64::from(exists && !replaced);
    }

    /// Tells how many files replaced something or were to, if any did.
    pub(super) fn tell_placed(&self) -> Result<(), Stop> {
        let (replaced, beside) = (self.replaced, self.beside);
        match replaced + beside {
            0 => Ok(()),
            _ => self.tell(Written::Placed { replaced, beside }),
        }
    }
}
