//! How often the screen changes: at once after a quiet time, then no more than twice a second,
//! however fast transfers report.

use std::time::{Duration, Instant};

/// The least time between two changes of the screen: numbers that move faster cannot be read, and
/// each change is work for the panel.
const PACE: Duration = Duration::from_millis(500);

/// When to show what has changed.
#[derive(Debug, Default)]
pub(super) struct Pace {
    shown_at: Option<Instant>,
    waits: bool,
}

impl Pace {
    /// Something has changed.
    pub(super) fn changed(&mut self) {
        self.waits = true;
    }

    /// When to show it; `None` while there is nothing to show.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.waits.then(|| self.shown_at.map_or(now, |at| (at + PACE).max(now)))
    }

    /// It is shown.
    pub(super) fn shown(&mut self, now: Instant) {
        *self = Self { shown_at: Some(now), waits: false };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_shown_at_once_and_then_twice_a_second() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.due(start), None);
        pace.changed();
        assert_eq!(pace.due(start), Some(start));
        pace.shown(start);
        assert_eq!(pace.due(start), None);
        pace.changed();
        assert_eq!(pace.due(start), Some(start + PACE));
        let later = start + PACE * 3;
        assert_eq!(pace.due(later), Some(later));
    }
}
