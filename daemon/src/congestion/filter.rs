//! The windowed filters of the model: the highest delivery rate, the shortest round trip, and how
//! far acknowledgements come in bunches.

use std::time::{Duration, Instant};

/// The maximum over the current window and the one before it; the owner says when a window ends.
/// For bandwidth a window is a probing cycle (draft-ietf-ccwg-bbr, section 5.5.6).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TwoWindowMax([f64; 2]);

impl TwoWindowMax {
    pub(super) fn value(&self) -> f64 {
        self.0[0].max(self.0[1])
    }

    pub(super) fn update(&mut self, value: f64) {
        self.0[1] = self.0[1].max(value);
    }

    pub(super) fn advance(&mut self) {
        self.0 = [self.0[1], 0.0];
    }
}

/// How long a shortest round trip is believed (the draft's `MinRTTFilterLen`).
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
/// How long without a shorter one until the queue is emptied to look for one (`ProbeRTTInterval`).
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);

/// The shortest round trip (the draft's section 5.3.4.3): a value for the model, and a fresher one
/// that says when to probe.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MinRtt {
    value: Option<(Duration, Instant)>,
    recent: Option<(Duration, Instant)>,
}

impl MinRtt {
    /// The shortest round trip of the last [`MIN_RTT_FILTER`]; zero before the first.
    pub(super) fn value(&self) -> Duration {
        self.value.map_or(Duration::ZERO, |(rtt, _)| rtt)
    }

    /// Takes a round trip. Returns whether it is time to probe.
    pub(super) fn update(&mut self, now: Instant, rtt: Duration) -> bool {
        let due = self.recent.is_some_and(|(_, at)| now - at > PROBE_RTT_INTERVAL);
        let shorter = self.recent.is_none_or(|(recent, _)| rtt <= recent);
        if due || shorter {
            self.recent = Some((rtt, now));
        }
        let expired = self.value.is_none_or(|(_, at)| now - at > MIN_RTT_FILTER);
        if let Some((recent, _)) = self.recent
            && (expired || recent <= self.value())
        {
            self.value = self.recent;
        }
        due && !shorter
    }

    /// A probe has ended: the next one is due an interval from now.
    pub(super) fn probed(&mut self, now: Instant) {
        if let Some((_, at)) = &mut self.recent {
            *at = now;
        }
    }
}

/// Rounds in one window of [`Aggregation`]; two are looked at (the draft's `ExtraAckedFilterLen`).
const AGGREGATION_ROUNDS: u64 = 5;

/// How much more is acknowledged at times than the bandwidth explains (the draft's section 5.5.9):
/// so much more has to be in flight if the line is not to run dry between the bunches.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Aggregation {
    max: TwoWindowMax,
    window_began: u64,
    began: Option<Instant>,
    acked: f64,
}

impl Aggregation {
    /// Bytes.
    pub(super) fn value(&self) -> f64 {
        self.max.value()
    }

    /// `acked` bytes came in round `round`, at a bandwidth of `rate` bytes per second.
    pub(super) fn update(&mut self, now: Instant, round: u64, acked: u64, rate: f64) {
        let expected = self.began.map_or(0.0, |began| rate * (now - began).as_secs_f64());
        if self.acked <= expected {
            self.began = Some(now);
            self.acked = 0.0;
        }
        let began = *self.began.get_or_insert(now);
        self.acked += acked as f64;
        if round >= self.window_began + AGGREGATION_ROUNDS {
            self.window_began = round;
            self.max.advance();
        }
        let expected = rate * (now - began).as_secs_f64();
        self.max.update((self.acked - expected).max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn maximum_lasts_two_windows() {
        let mut max = TwoWindowMax::default();
        max.update(5.0);
        max.advance();
        max.update(3.0);
        assert_eq!(max.value(), 5.0);
        max.advance();
        assert_eq!(max.value(), 3.0);
    }

    #[test]
    fn shortest_round_trip_is_forgotten_after_its_time() {
        let start = Instant::now();
        let mut min = MinRtt::default();
        min.update(start, 10 * MS);
        assert!(!min.update(start + 4000 * MS, 20 * MS));
        assert_eq!(min.value(), 10 * MS);
        assert!(min.update(start + 5001 * MS, 20 * MS), "five seconds without a shorter one");
        assert_eq!(min.value(), 10 * MS);
        min.update(start + 10_002 * MS, 20 * MS);
        assert_eq!(min.value(), 20 * MS);
    }

    #[test]
    fn shorter_round_trip_counts_at_once_and_puts_the_probe_off() {
        let start = Instant::now();
        let mut min = MinRtt::default();
        min.update(start, 10 * MS);
        min.update(start + 4000 * MS, 5 * MS);
        assert_eq!(min.value(), 5 * MS);
        assert!(!min.update(start + 8000 * MS, 6 * MS));
    }

    #[test]
    fn bunches_count_beyond_what_the_rate_explains() {
        let start = Instant::now();
        let mut aggregation = Aggregation::default();
        // 1 MB/s, but 10 kB every 10 ms: nine tenths of each bunch come early.
        for i in 0..20 {
            aggregation.update(start + 10 * i * MS, 0, 10_000, 1e6);
        }
        assert!((aggregation.value() - 10_000.0).abs() < 1.0, "{}", aggregation.value());
        for i in 20..40 {
            aggregation.update(start + 10 * i * MS, u64::from(i), 100, 1e6);
        }
        assert!(aggregation.value() < 200.0, "{}", aggregation.value());
    }
}
