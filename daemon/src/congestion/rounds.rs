//! Round trips counted by delivery (draft-ietf-ccwg-bbr, section 5.5.1), and what one of them was
//! like.

use std::time::Duration;

use super::rate::Sample;

/// What was seen in one round.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Round {
    /// Bytes acknowledged.
    pub(super) delivered: u64,
    /// Bytes lost.
    pub(super) lost: u64,
    /// The shortest round-trip time.
    pub(super) rtt: Option<Duration>,
    /// The highest delivery rate, bytes per second.
    pub(super) rate: f64,
}

impl Round {
    /// Bytes whose fate became known.
    pub(super) fn total(&self) -> u64 {
        self.delivered + self.lost
    }

    /// The share of them that was lost.
    pub(super) fn loss(&self) -> f64 {
        if self.lost == 0 { 0.0 } else { self.lost as f64 / self.total() as f64 }
    }
}

/// Counts rounds: one ends when a packet is acknowledged that was sent after the last one ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Rounds {
    count: u64,
    /// Bytes delivered when this round began.
    begin: u64,
    current: Round,
    last: Round,
}

impl Rounds {
    /// Rounds ended so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The last complete round.
    pub(super) fn last(&self) -> &Round {
        &self.last
    }

    /// Takes a loss into the current round.
    pub(super) fn on_lost(&mut self, bytes: u64) {
        self.current.lost += bytes;
    }

    /// Takes a sample into the current round. Returns whether that ended it.
    pub(super) fn on_sample(&mut self, sample: &Sample, delivered: u64) -> bool {
        let round = &mut self.current;
        round.delivered += sample.acked;
        round.rtt = Some(round.rtt.map_or(sample.rtt, |rtt| rtt.min(sample.rtt)));
        round.rate = round.rate.max(sample.rate.unwrap_or(0.0));
        if sample.prior_delivered < self.begin {
            return false;
        }
        self.count += 1;
        self.begin = delivered;
        self.last = std::mem::take(&mut self.current);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(prior_delivered: u64, rtt_ms: u64) -> Sample {
        Sample {
            rate: Some(1000.0),
            rtt: Duration::from_millis(rtt_ms),
            app_limited: false,
            prior_delivered,
            acked: 100,
        }
    }

    #[test]
    fn ends_with_a_packet_sent_after_the_last_end() {
        let mut rounds = Rounds::default();
        assert!(rounds.on_sample(&sample(0, 10), 100));
        assert!(!rounds.on_sample(&sample(0, 10), 200));
        assert!(!rounds.on_sample(&sample(99, 10), 300));
        assert!(rounds.on_sample(&sample(100, 10), 400));
        assert_eq!(rounds.count(), 2);
    }

    #[test]
    fn keeps_the_shortest_round_trip_and_the_loss_of_the_last() {
        let mut rounds = Rounds::default();
        rounds.on_sample(&sample(0, 10), 100);
        rounds.on_sample(&sample(0, 30), 200);
        rounds.on_lost(100);
        rounds.on_sample(&sample(100, 20), 300);
        assert_eq!(rounds.last().rtt, Some(Duration::from_millis(20)));
        assert_eq!(rounds.last().total(), 300);
        assert!((rounds.last().loss() - 1.0 / 3.0).abs() < 1e-9);
    }
}
