//! How long to wait before the next attempt to register.

use std::time::{Duration, Instant};

use super::Error;

/// Before the second attempt; doubles from there.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait while the outage is young: people are watching.
const CAP_AT_FIRST: Duration = Duration::from_secs(2);
/// How long an outage is young.
const YOUNG: Duration = Duration::from_secs(60);
/// The longest wait in an old outage.
const CAP_LATER: Duration = Duration::from_secs(30);
/// After the name was registered from elsewhere: long, or two devices would take turns.
const AFTER_REPLACED: Duration = Duration::from_secs(300);
/// Doublings that reach every cap.
const MAX_DOUBLINGS: u32 = 7;

/// The waits of one outage.
#[derive(Debug)]
pub(super) struct Backoff {
    since: Instant,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, failures: 0 }
    }

    /// The wait after another failure, between half of what is due and all of it.
    pub(super) fn after(&mut self, error: &Error, now: Instant) -> Duration {
        let young = now.saturating_duration_since(self.since) < YOUNG;
        let due = match error {
            Error::Replaced => AFTER_REPLACED,
            error if error.is_lasting() => CAP_LATER,
            _ => {
                let cap = if young { CAP_AT_FIRST } else { CAP_LATER };
                cap.min(FIRST * 2_u32.pow(self.failures))
            }
        };
        self.failures = MAX_DOUBLINGS.min(self.failures + 1);
        random_between(due / 2, due)
    }
}

/// A random duration, so that the clients of one server do not act in step.
pub(super) fn random_between(low: Duration, high: Duration) -> Duration {
    // Without randomness, being in step is the lesser trouble.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    low + (high - low).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_two_seconds_in_the_first_minute_and_thirty_later() {
        let start = Instant::now();
        let mut backoff = Backoff::new(start);
        assert!(backoff.after(&Error::TimedOut, start) <= FIRST);
        for _ in 0..20 {
            assert!(backoff.after(&Error::TimedOut, start) <= CAP_AT_FIRST);
        }
        assert!(backoff.after(&Error::TimedOut, start) >= CAP_AT_FIRST / 2);
        let later = start + YOUNG;
        let wait = backoff.after(&Error::TimedOut, later);
        assert!((CAP_LATER / 2..=CAP_LATER).contains(&wait));
    }

    #[test]
    fn refusals_are_not_hammered() {
        let now = Instant::now();
        let mut backoff = Backoff::new(now);
        assert!(backoff.after(&Error::NameTaken, now) >= CAP_LATER / 2);
        assert!(backoff.after(&Error::Replaced, now) >= AFTER_REPLACED / 2);
    }
}
