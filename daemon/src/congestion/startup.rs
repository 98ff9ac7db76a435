//! Startup and Drain (draft-ietf-ccwg-bbr, sections 5.3.1 and 5.3.2): grow until the line is full,
//! then let the queue go.
//!
//! The line is full when the delivery rate stands still for three rounds, or for one with excessive
//! loss (the draft's two tests), or when round trips grow: HyStart++'s test (RFC 9406, section 4.2),
//! which sees a queue when it begins, a round or more before the others would. A test that is
//! wrong costs little, since probing goes on growing from there.

use std::time::{Duration, Instant};

use super::{
    bbr::{Bbr, Phase},
    rate::Sample,
};

/// Growth of a round that shows that the line was not full (the draft's `FullBWThresh`).
const GROWTH: f64 = 1.25;
/// Rounds without that until it is (`FullBWCount`).
const FULL_ROUNDS: u32 = 3;
/// Packets that a round needs to be judged by its loss.
const ENOUGH_PACKETS: f64 = 20.0;
/// Samples that a growing round trip is told from (RFC 9406, `N_RTT_SAMPLE`).
const RTT_SAMPLES: u32 = 8;
/// They are gathered over two spans of this share of a round trip.
const RTT_SPANS: u32 = 16;
/// A queue of a sixteenth of the round trip within these bounds is seen. RFC 9406 takes an eighth,
/// for a window that doubles; ours grows faster.
const QUEUE_SHARE: u32 = 16;
const LEAST_QUEUE: Duration = Duration::from_millis(3);
const MOST_QUEUE: Duration = Duration::from_millis(16);

/// What shows whether the line is full.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Startup {
    /// Bytes per second at the last growth.
    rate: f64,
    rounds_without_growth: u32,
    spans: [Span; 2],
    span_began: Option<Instant>,
}

/// Round trips of a short time.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    shortest: Option<Duration>,
    samples: u32,
}

impl Startup {
    pub(super) fn on_rtt(&mut self, now: Instant, rtt: Duration) {
        if self.span_began.is_none_or(|began| now - began > rtt / RTT_SPANS) {
            self.spans = [self.spans[1], Span::default()];
            self.span_began = Some(now);
        }
        let span = &mut self.spans[1];
        span.shortest = Some(span.shortest.map_or(rtt, |shortest| shortest.min(rtt)));
        span.samples += 1;
    }

    /// Whether even the shortest of the latest round trips tells of a queue.
    fn sees_queue(&self, min_rtt: Duration) -> bool {
        let enough = self.spans[0].samples + self.spans[1].samples >= RTT_SAMPLES;
        let queue = (min_rtt / QUEUE_SHARE).clamp(LEAST_QUEUE, MOST_QUEUE);
        let shortest = self.spans.iter().filter_map(|span| span.shortest).min();
        enough && shortest.is_some_and(|shortest| shortest > min_rtt + queue)
    }

    /// Takes the rate after a round. Returns for how many it has not grown.
    fn on_round(&mut self, rate: f64) -> u32 {
        if rate >= self.rate * GROWTH {
            self.rate = rate;
            self.rounds_without_growth = 0;
        } else {
            self.rounds_without_growth += 1;
        }
        self.rounds_without_growth
    }
}

impl Bbr {
    /// A round of Startup is over.
    pub(super) fn check_startup(&mut self, sample: &Sample) {
        if sample.app_limited {
            return;
        }
        let round = *self.rounds.last();
        let (lost, total) = (self.packets(round.lost), self.packets(round.total()));
        let lossy = total >= ENOUGH_PACKETS && self.loss.is_excessive(lost, total, true);
        let still = self.startup.on_round(self.bandwidth.value());
        if still >= FULL_ROUNDS || (still >= 1 && lossy) {
            if lossy {
                self.most_in_flight = self.pipe().max(round.delivered as f64);
            }
            self.leave_startup();
        }
    }

    pub(super) fn advance_startup(&mut self, sample: &Sample) {
        if !sample.app_limited && self.startup.sees_queue(self.min_rtt.value()) {
            self.leave_startup();
        }
    }

    pub(super) fn leave_startup(&mut self) {
        self.enter(Phase::Drain);
        self.forgive();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after(rtts_ms: &[u32]) -> Startup {
        let now = Instant::now();
        let mut startup = Startup::default();
        for (i, &rtt) in (0..).zip(rtts_ms) {
            startup.on_rtt(now + MS * i, MS * rtt);
        }
        startup
    }

    #[test]
    fn queue_is_seen_in_every_of_eight_round_trips() {
        assert!(after(&[110; 9]).sees_queue(100 * MS));
        assert!(!after(&[105; 9]).sees_queue(100 * MS), "within the noise");
        assert!(!after(&[110; 7]).sees_queue(100 * MS), "too few");
        assert!(!after(&[110, 110, 110, 110, 110, 110, 100, 110, 110]).sees_queue(100 * MS));
    }

    #[test]
    fn rate_that_stands_still_is_counted() {
        let mut startup = Startup::default();
        assert_eq!(startup.on_round(100.0), 0);
        assert_eq!(startup.on_round(124.0), 1);
        assert_eq!(startup.on_round(124.0), 2);
        assert_eq!(startup.on_round(125.0), 0);
    }
}
