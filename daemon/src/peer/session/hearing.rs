//! Whether anything is heard of the peer, over whichever link.

use std::time::{Duration, Instant};

/// A peer from whom nothing is heard for this long is asked to say something: only what leaves
/// opens a NAT again, and who only receives sends nothing by itself.
const SILENCE: Duration = Duration::from_millis(400);
/// Links that were all quiet do not come back in the same moment: none is given up so soon after the
/// first of them did.
const REPRIEVE: Duration = Duration::from_millis(200);

/// When the peer was heard.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    last: Option<Instant>,
    /// When it was last asked to say something.
    asked: Option<Instant>,
    /// Since when it is heard, after silence or since it had to show that it is there.
    back_since: Option<Instant>,
}

impl Hearing {
    /// A packet has come over a link.
    pub(super) fn heard(&mut self, now: Instant) {
        self.last = Some(now);
        self.back_since.get_or_insert(now);
    }

    /// It has to show that it is there.
    pub(super) fn doubt(&mut self) {
        self.back_since = None;
    }

    /// Whether it has said nothing for so long that it is to be asked, which is noted.
    pub(super) fn is_to_be_asked(&mut self, now: Instant) -> bool {
        let is_long = |at: Instant| now.saturating_duration_since(at) > SILENCE;
        if !is_long(*self.last.get_or_insert(now)) {
            return false;
        }
        self.back_since = None;
        let asks = self.asked.is_none_or(is_long);
        if asks {
            self.asked = Some(now);
        }
        asks
    }

    /// Whether it has been heard for long enough to tell which links work.
    pub(super) fn is_steady(&self, now: Instant) -> bool {
        self.back_since.is_some_and(|since| now.saturating_duration_since(since) > REPRIEVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_is_asked_again_and_again_and_judged_a_while_after_its_return() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut hearing = Hearing::default();
        hearing.heard(at(0));
        assert!(!hearing.is_steady(at(100)) && hearing.is_steady(at(250)));
        assert!(!hearing.is_to_be_asked(at(250)));
        let asked = (1..=30).map(|tick| tick * 50).filter(|tick| hearing.is_to_be_asked(at(*tick)));
        assert_eq!(asked.collect::<Vec<_>>(), [450, 900, 1350]);
        assert!(!hearing.is_steady(at(1500)));
        hearing.heard(at(1550));
        assert!(!hearing.is_to_be_asked(at(1600)) && !hearing.is_steady(at(1600)));
        assert!(hearing.is_steady(at(1800)));
        hearing.doubt();
        assert!(!hearing.is_steady(at(1800)));
    }
}
