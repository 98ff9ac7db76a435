//! How much may pass: bytes and packets per second.

use std::time::{Duration, Instant};

use crate::config::Throughput;

/// What is let through at once after a pause: this long at the full rate.
const BURST: Duration = Duration::from_secs(1);

/// The use of one [`Throughput`].
#[derive(Debug)]
pub(super) struct Meter {
    limit: Throughput,
    bytes_due: Instant,
    packets_due: Instant,
}

impl Meter {
    pub(super) fn new(limit: Throughput, now: Instant) -> Self {
        Self { limit, bytes_due: now, packets_due: now }
    }

    /// Whether a batch is within the limits; if so, it is counted.
    pub(super) fn admits(&mut self, bytes: u64, packets: u64, now: Instant) -> bool {
        let bytes_due = due(self.bytes_due, bytes, self.limit.bytes.get(), now);
        let packets_due = due(self.packets_due, packets, self.limit.packets.get(), now);
        let admitted = bytes_due.max(packets_due) <= now + BURST;
        if admitted {
            (self.bytes_due, self.packets_due) = (bytes_due, packets_due);
        }
        admitted
    }
}

/// When everything so far would have passed at exactly the limit (the generic cell rate algorithm
/// of ITU-T I.371).
fn due(before: Instant, amount: u64, per_second: u32, now: Instant) -> Instant {
    let nanos = amount.saturating_mul(1_000_000_000) / u64::from(per_second);
    before.max(now) + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::num::NonZeroU32;

    use super::*;

    fn meter(bytes: u32, packets: u32, now: Instant) -> Meter {
        let limit = Throughput {
            bytes: NonZeroU32::new(bytes).unwrap(),
            packets: NonZeroU32::new(packets).unwrap(),
        };
        Meter::new(limit, now)
    }

    #[test]
    fn a_second_at_the_full_rate_passes_at_once_and_then_the_rate() {
        let start = Instant::now();
        let mut meter = meter(100_000, 1000, start);
        assert!(meter.admits(60_000, 1, start));
        assert!(!meter.admits(60_000, 1, start));
        assert!(meter.admits(40_000, 1, start));
        assert!(!meter.admits(1000, 1, start));
        let later = start + Duration::from_millis(10);
        assert!(meter.admits(1000, 1, later));
        assert!(!meter.admits(1000, 1, later));
    }

    #[test]
    fn packets_count_as_well() {
        let start = Instant::now();
        let mut meter = meter(100_000, 100, start);
        assert!(meter.admits(100, 100, start));
        assert!(!meter.admits(1, 1, start));
        assert!(meter.admits(1, 1, start + Duration::from_millis(10)));
    }

    #[test]
    fn a_long_pause_saves_up_no_more_than_the_burst() {
        let start = Instant::now();
        let mut meter = meter(100_000, 1000, start);
        let later = start + Duration::from_secs(3600);
        assert!(meter.admits(100_000, 1, later));
        assert!(!meter.admits(1000, 1, later));
    }
}
