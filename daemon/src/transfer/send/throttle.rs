//! How fast a transfer may send: one bucket of tokens from which all its links draw.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{SendStream, WriteError};

/// What a bucket holds: what may go at once after a pause is what goes in this time otherwise.
const BURST: Duration = Duration::from_millis(100);
/// The most bytes that are paid for at once, so that a slow transfer does not go in gusts.
const PIECE: usize = 16 << 10;

/// Bounds the rate of one transfer.
#[derive(Debug)]
pub(super) struct Throttle(Mutex<Bucket>);

/// The generic cell rate algorithm: a bucket of tokens that keeps only the time at which it will be
/// full again.
#[derive(Debug)]
struct Bucket {
    /// Bytes per second.
    rate: u64,
    paid_until: Option<Instant>,
}

impl Throttle {
    /// Lets through `rate` bytes per second.
    pub(super) fn new(rate: u64) -> Self {
        Self(Mutex::new(Bucket { rate: rate.max(1), paid_until: None }))
    }

    /// Writes everything, no faster than the rate. The time it takes is the caller's to bound.
    pub(super) async fn write(
        &self,
        stream: &mut SendStream,
        parts: [Bytes; 2],
    ) -> Result<(), WriteError> {
        for mut part in parts {
            while !part.is_empty() {
                let piece = part.split_to(part.len().min(PIECE));
                self.pass(piece.len()).await;
                stream.write_chunk(piece).await?;
            }
        }
        Ok(())
    }

    async fn pass(&self, bytes: usize) {
        let now = Instant::now();
        let wait = self.0.lock().unwrap_or_else(PoisonError::into_inner).take(now, bytes);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

impl Bucket {
    /// Pays for `bytes` at `now`; how long to wait before they go.
    fn take(&mut self, now: Instant, bytes: usize) -> Duration {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / self.rate;
        let paid_until = self.paid_until.unwrap_or(now);
        // A pause is worth a burst and no more.
        let from = now.checked_sub(BURST).map_or(paid_until, |full| paid_until.max(full));
        self.paid_until = Some(from + Duration::from_nanos(nanos));
        from.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pieces go within `time`, if the next always comes as soon as the last has gone.
    fn sent_within(time: Duration, rate: u64, piece: usize) -> u64 {
        let mut bucket = Bucket { rate, paid_until: None };
        let start = Instant::now();
        let (mut now, mut sent) = (start, 0);
        loop {
            now += bucket.take(now, piece);
            if now.duration_since(start) > time {
                return sent;
            }
            sent += piece as u64;
        }
    }

    #[test]
    fn no_more_goes_than_the_rate_allows_and_hardly_less() {
        for (rate, piece) in [(64 << 10, PIECE), (2 << 20, PIECE), (1 << 30, PIECE), (1_000, 7)] {
            let sent = sent_within(Duration::from_secs(100), rate, piece);
            let slack = rate / 10 + 2 * piece as u64;
            let (least, most) = (rate * 100 - slack, rate * 100 + slack);
            assert!((least..=most).contains(&sent), "{sent} at {rate}");
        }
    }

    #[test]
    fn a_pause_is_worth_a_burst_and_no_more() {
        let mut bucket = Bucket { rate: 10 << 20, paid_until: None };
        let start = Instant::now();
        bucket.take(start, 1);
        let later = start + Duration::from_secs(3_600);
        let at_once = (0..).take_while(|_| bucket.take(later, PIECE).is_zero()).count();
        // A tenth of a second's worth, and the piece that overdraws it.
        assert_eq!(at_once, (1 << 20) / PIECE + 1);
    }
}
