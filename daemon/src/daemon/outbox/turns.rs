//! Whose turn it is in the outbox, and how long a transfer rests after a run in vain. It knows no
//! clock: the time comes with every question.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::transfer::TransferId;

/// The pause after the first run in vain; it doubles with each further one. Short, since most of
/// these are a restart or a moment without a network, and people are watching.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause. Whoever is a contact too is noticed at once when they come; this is for others.
const LONGEST: Duration = Duration::from_secs(300);
/// Doublings that reach the longest pause.
const MAX_DOUBLINGS: u32 = 10;

/// When a transfer that rests is due again.
#[derive(Debug)]
pub(in crate::daemon) struct Retry {
    failures: u32,
    due: Instant,
    /// Whether something happened during the present run for which it is worth another one.
    woken: bool,
}

impl Retry {
    /// Due at once.
    pub(in crate::daemon) fn new(now: Instant) -> Self {
        Self { failures: 0, due: now, woken: false }
    }

    pub(in crate::daemon) fn due(&self) -> Instant {
        self.due
    }

    /// There is hope: due at once if it rests, and soon after the present run if it does not.
    pub(in crate::daemon) fn wake(&mut self, now: Instant) {
        (self.failures, self.due, self.woken) = (0, now, true);
    }

    /// A run starts.
    pub(in crate::daemon) fn started(&mut self) {
        self.woken = false;
    }

    /// A run got through to the peer.
    pub(in crate::daemon) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A run was in vain. `jitter` is between 0 and 1.
    pub(in crate::daemon) fn failed(&mut self, now: Instant, jitter: f64) {
        if std::mem::take(&mut self.woken) {
            self.failures = 0;
        }
        let pause = LONGEST.min(FIRST * 2_u32.pow(self.failures));
        self.failures = MAX_DOUBLINGS.min(self.failures + 1);
        self.due = now + pause.mul_f64(0.5 + 0.5 * jitter);
    }
}

/// A transfer that waits for its run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queued<'a> {
    pub(super) to: &'a str,
    /// Lower for what was asked for earlier.
    pub(super) number: u64,
    pub(super) id: TransferId,
    pub(super) due: Instant,
}

/// What is to be done now, and when there may be more to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turns {
    pub(super) start: Vec<TransferId>,
    pub(super) next: Option<Instant>,
}

/// Of each receiver's the first, unless something goes there already; at most `room` in all.
pub(super) fn turns<'a>(
    queued: impl Iterator<Item = Queued<'a>>,
    busy: &[String],
    room: usize,
    now: Instant,
) -> Turns {
    let mut first: BTreeMap<&str, Queued<'_>> = BTreeMap::new();
    for one in queued {
        let known = first.entry(one.to).or_insert(one);
        if one.number < known.number {
            *known = one;
        }
    }
    first.retain(|to, _| !busy.iter().any(|busy| busy == to));
    let mut first: Vec<_> = first.into_values().collect();
    first.sort_by_key(|one| (one.due, one.number));
    let due = first.iter().take_while(|one| one.due <= now);
    let start: Vec<_> = due.take(room).map(|one| one.id).collect();
    // What is due and has no room waits for the end of another one, not for a time.
    let next = first.iter().map(|one| one.due).find(|due| *due > now);
    Turns { start, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(to: &str, number: u8, due: Instant) -> Queued<'_> {
        Queued { to, number: number.into(), id: TransferId([number; 16]), due }
    }

    fn started(turns: &Turns) -> Vec<u8> {
        turns.start.iter().map(|id| id.0[0]).collect()
    }

    #[test]
    fn of_one_receivers_only_the_first_has_its_turn_even_if_another_is_due() {
        let now = Instant::now();
        let later = now + Duration::from_secs(9);
        let all = [queued("bob", 3, now), queued("bob", 2, later), queued("eve", 4, now)];
        let found = turns(all.into_iter(), &[], 10, now);
        assert_eq!((started(&found), found.next), (vec![4], Some(later)));
        let found = turns(all.into_iter(), &[], 10, later);
        assert_eq!((started(&found), found.next), (vec![4, 2], None));
    }

    #[test]
    fn nobody_has_a_turn_where_something_goes_already_or_without_room() {
        let now = Instant::now();
        let all = [queued("bob", 1, now), queued("eve", 2, now), queued("joe", 3, now)];
        let found = turns(all.into_iter(), &["bob".to_owned()], 1, now);
        assert_eq!((started(&found), found.next), (vec![2], None));
    }

    #[test]
    fn pauses_grow_from_half_a_second_to_minutes_and_hope_ends_them() {
        let now = Instant::now();
        let mut retry = Retry::new(now);
        let mut pause = |jitter| {
            retry.started();
            retry.failed(now, jitter);
            retry.due() - now
        };
        assert_eq!((pause(0.0), pause(1.0)), (FIRST / 2, FIRST * 2));
        let pauses: Vec<_> = (0..20).map(|_| pause(0.5)).collect();
        assert!(pauses.is_sorted() && pauses.iter().all(|pause| *pause <= LONGEST));
        assert_eq!(pauses.last(), Some(&LONGEST.mul_f64(0.75)));
        retry.wake(now);
        assert_eq!(retry.due(), now);
    }

    #[test]
    fn what_happens_during_a_run_is_not_lost() {
        let now = Instant::now();
        let mut retry = Retry::new(now);
        (0..9).for_each(|_| retry.failed(now, 1.0));
        retry.started();
        retry.wake(now);
        retry.failed(now, 1.0);
        assert_eq!(retry.due() - now, FIRST);
    }
}
