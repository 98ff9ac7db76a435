//! The bottleneck: a drop-tail queue in front of a line of one rate, with a fixed delay, random
//! loss and, if asked, a policer.

use std::time::Duration;

/// A small generator of random numbers (Steele, Lea, Flood: SplitMix64), so that a run can be
/// repeated.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly from 0 up to 1.
    pub(super) fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A path as its owner would describe it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    /// Bytes per second on the wire.
    pub(super) rate: f64,
    pub(super) base_rtt: Duration,
    /// Bytes that may wait.
    pub(super) queue: f64,
    /// Share of the packets that vanish at random.
    pub(super) loss: f64,
    /// A token bucket that drops what comes faster: bytes per second and bytes of depth.
    pub(super) policer: Option<(f64, f64)>,
}

impl Path {
    /// Without loss or policer, and with a queue of so many bandwidth-delay products.
    pub(super) fn new(mbit: f64, rtt_ms: u64, queue_bdp: f64) -> Self {
        let rate = mbit * 125_000.0;
        let base_rtt = Duration::from_millis(rtt_ms);
        Self {
            rate,
            base_rtt,
            queue: rate * base_rtt.as_secs_f64() * queue_bdp,
            loss: 0.0,
            policer: None,
        }
    }

    pub(super) fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    /// It leaves the line after so many seconds, without the delay.
    Leaves(f64),
    Lost,
    Dropped,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) path: Path,
    dice: Dice,
    level: f64,
    tokens: f64,
    last: f64,
}

impl Link {
    pub(super) fn new(path: Path, seed: u64) -> Self {
        Self {
            path,
            dice: Dice::new(seed),
            level: 0.0,
            tokens: path.policer.map_or(0.0, |(_, depth)| depth),
            last: 0.0,
        }
    }

    /// A packet of `size` bytes comes at `now`, in seconds.
    pub(super) fn offer(&mut self, now: f64, size: f64) -> Fate {
        let elapsed = now - self.last;
        self.last = now;
        self.level = (self.level - elapsed * self.path.rate).max(0.0);
        if let Some((rate, depth)) = self.path.policer {
            self.tokens = (self.tokens + elapsed * rate).min(depth);
            if self.tokens < size {
                return Fate::Dropped;
            }
            self.tokens -= size;
        }
        if self.dice.roll() < self.path.loss {
            return Fate::Lost;
        }
        if self.level + size > self.path.queue.max(2.0 * size) {
            return Fate::Dropped;
        }
        self.level += size;
        Fate::Leaves(self.level / self.path.rate)
    }
}
