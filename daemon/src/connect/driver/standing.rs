//! How the search for paths stands, as the driver tells the session.

use std::time::Instant;

use crate::connect::{birthday::Mapping, obstacle::Standing};

/// A [`Standing`] with the instants from which it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) asked_since: Instant,
    pub(super) offered: bool,
    pub(super) in_vain_since: Option<Instant>,
    pub(super) guessing: bool,
    pub(super) same_router: bool,
    pub(super) ours: Option<Mapping>,
    pub(super) theirs: Option<Mapping>,
}

impl Found {
    /// Of a search that begins.
    pub(super) fn nothing(now: Instant) -> Self {
        Self {
            asked_since: now,
            offered: false,
            in_vain_since: None,
            guessing: false,
            same_router: false,
            ours: None,
            theirs: None,
        }
    }

    pub(super) fn at(self, now: Instant) -> Standing {
        let Self { asked_since, offered, in_vain_since, guessing, same_router, ours, theirs } =
            self;
        let asked = now.saturating_duration_since(asked_since);
        let in_vain = in_vain_since.map(|since| now.saturating_duration_since(since));
        Standing { asked, offered, in_vain, guessing, same_router, ours, theirs }
    }
}
