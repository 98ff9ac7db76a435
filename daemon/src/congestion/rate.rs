//! Delivery-rate samples after draft-cardwell-iccrg-delivery-rate-estimation, from what quinn tells
//! its controller: when packets were sent, and which of those times an acknowledgement is for.
//!
//! quinn gives no packet numbers, so what the draft keeps for each packet is kept here for each
//! *flight*: what left within one moment. An acknowledged packet is found by its time of sending.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Flights remembered at most; what is older yields no samples.
const MAX_FLIGHTS: usize = 512;
/// What leaves within this share of a round trip is one flight.
const FLIGHTS_PER_ROUND: u32 = 128;

/// What the sender knew when it sent a flight (the draft's section 3.1.2).
#[derive(Debug, Clone, Copy)]
struct Flight {
    sent: Instant,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    lost: u64,
    in_flight: u64,
    app_limited: bool,
}

/// What one batch of acknowledgements says about the path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Bytes per second, if the batch says anything about that.
    pub(super) rate: Option<f64>,
    /// Of the packet sent last among those acknowledged.
    pub(super) rtt: Duration,
    /// The application had too little to send for the rate to be the path's.
    pub(super) app_limited: bool,
    /// Bytes delivered when that packet was sent.
    pub(super) prior_delivered: u64,
    /// Bytes that this batch acknowledged.
    pub(super) acked: u64,
}

/// A loss, seen from the last of the packets lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct LossSample {
    /// Bytes in flight when that packet was sent, itself included.
    pub(super) in_flight: u64,
    /// Bytes taken for lost since it was sent.
    pub(super) lost: u64,
}

/// Keeps flights and counts what was delivered and lost.
#[derive(Debug, Clone)]
pub(super) struct Sampler {
    flights: VecDeque<Flight>,
    spacing: Duration,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    lost: u64,
    in_flight: u64,
    /// Delivered bytes up to which packets were sent by an application with too little to send.
    app_limited_until: Option<u64>,
    newest: Option<Flight>,
    acked: u64,
}

impl Sampler {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            flights: VecDeque::new(),
            spacing: Duration::ZERO,
            delivered: 0,
            delivered_at: now,
            first_sent: now,
            lost: 0,
            in_flight: 0,
            app_limited_until: None,
            newest: None,
            acked: 0,
        }
    }

    /// Bytes delivered so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Bytes in flight, as far as is known.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Takes note of `bytes` that leave now. Returns whether nothing was in flight before.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: u64) -> bool {
        let idle = self.in_flight == 0;
        if idle {
            self.first_sent = now;
            self.delivered_at = now;
        }
        self.in_flight += bytes;
        if let Some(last) = self.flights.back_mut()
            && !idle
            && now.saturating_duration_since(last.sent) <= self.spacing
        {
            last.in_flight = self.in_flight;
            return idle;
        }
        if self.flights.len() == MAX_FLIGHTS {
            self.flights.pop_front();
        }
        self.flights.push_back(Flight {
            sent: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
            lost: self.lost,
            in_flight: self.in_flight,
            app_limited: self.app_limited_until.is_some_and(|until| self.delivered <= until),
        });
        idle
    }

    /// One packet, sent at `sent`, was acknowledged.
    pub(super) fn on_ack(&mut self, sent: Instant, bytes: u64) {
        self.delivered += bytes;
        self.acked += bytes;
        if self.newest.is_some_and(|newest| sent <= newest.sent) {
            return;
        }
        if let Some(flight) = self.find(sent) {
            self.newest = Some(Flight { sent, ..flight });
        }
    }

    /// `bytes` were lost, the last of them sent at `sent`.
    pub(super) fn on_lost(&mut self, sent: Instant, bytes: u64) -> Option<LossSample> {
        self.lost += bytes;
        self.in_flight = self.in_flight.saturating_sub(bytes);
        let flight = self.find(sent)?;
        Some(LossSample { in_flight: flight.in_flight, lost: self.lost - flight.lost })
    }

    /// A batch of acknowledgements is complete (the draft's section 3.3).
    pub(super) fn end_batch(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        min_rtt: Duration,
    ) -> Option<Sample> {
        self.in_flight = in_flight;
        let acked = std::mem::take(&mut self.acked);
        let newest = self.newest.take()?;
        let rtt = now.saturating_duration_since(newest.sent);
        let send_elapsed = newest.sent.saturating_duration_since(newest.first_sent);
        let ack_elapsed = now.saturating_duration_since(newest.delivered_at);
        let interval = send_elapsed.max(ack_elapsed);
        let delivered = self.delivered - newest.delivered;
        self.first_sent = newest.sent;
        self.delivered_at = now;
        if app_limited {
            self.app_limited_until = Some(self.delivered + in_flight);
        }
        self.spacing = rtt / FLIGHTS_PER_ROUND;
        self.forget(newest.sent, rtt);
        Some(Sample {
            rate: (interval >= min_rtt && !interval.is_zero())
                .then(|| as_rate(delivered, interval)),
            rtt,
            app_limited: newest.app_limited,
            prior_delivered: newest.delivered,
            acked,
        })
    }

    /// The flight that a packet sent at `sent` belongs to.
    fn find(&self, sent: Instant) -> Option<Flight> {
        let after = self.flights.partition_point(|flight| flight.sent <= sent);
        self.flights.get(after.checked_sub(1)?).copied()
    }

    /// Lets go of flights that are acknowledged or lost by now.
    fn forget(&mut self, acked: Instant, rtt: Duration) {
        while self.flights.len() > 1 && self.flights[1].sent + rtt * 2 < acked {
            self.flights.pop_front();
        }
    }
}

/// Bytes per second.
fn as_rate(bytes: u64, interval: Duration) -> f64 {
    bytes as f64 / interval.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends 1 kB in each of 40 ms, acknowledged after 10 ms each: the last sample.
    fn steady(app_limited: bool) -> Sample {
        let start = Instant::now();
        let mut sampler = Sampler::new(start);
        let mut last = None;
        for i in 0..40 {
            let now = start + MS * i;
            sampler.on_sent(now, 1000);
            if i >= 10 {
                sampler.on_ack(now - 10 * MS, 1000);
                last = sampler.end_batch(now, 10_000, app_limited, MS);
            }
        }
        last.expect("acknowledgements")
    }

    #[test]
    fn rate_is_what_was_delivered_in_a_round_trip() {
        let sample = steady(false);
        let rate = sample.rate.expect("a rate");
        assert!((0.8e6..=1.2e6).contains(&rate), "{rate}");
        assert_eq!(sample.rtt, 10 * MS);
        assert_eq!(sample.acked, 1000);
        assert!(!sample.app_limited);
    }

    #[test]
    fn what_leaves_while_the_application_has_too_little_is_marked() {
        let start = Instant::now();
        let mut sampler = Sampler::new(start);
        sampler.on_sent(start, 1000);
        sampler.on_ack(start, 1000);
        let first = sampler.end_batch(start + 10 * MS, 0, true, MS).expect("a sample");
        assert!(!first.app_limited, "nobody knew yet");
        sampler.on_sent(start + 20 * MS, 1000);
        sampler.on_ack(start + 20 * MS, 1000);
        let second = sampler.end_batch(start + 30 * MS, 0, false, MS).expect("a sample");
        assert!(second.app_limited);
        sampler.on_sent(start + 40 * MS, 1000);
        sampler.on_ack(start + 40 * MS, 1000);
        let third = sampler.end_batch(start + 50 * MS, 0, false, MS).expect("a sample");
        assert!(!third.app_limited);
    }

    #[test]
    fn loss_is_told_with_what_was_in_flight() {
        let start = Instant::now();
        let mut sampler = Sampler::new(start);
        for i in 0..10 {
            sampler.on_sent(start + MS * i, 1000);
        }
        let first = sampler.on_lost(start, 1000).expect("a flight");
        assert_eq!((first.in_flight, first.lost), (1000, 1000));
        let last = sampler.on_lost(start + 9 * MS, 2000).expect("a flight");
        assert_eq!((last.in_flight, last.lost), (10_000, 3000));
        assert_eq!(sampler.in_flight(), 7000);
    }

    #[test]
    fn acknowledgement_of_a_flight_long_forgotten_says_nothing() {
        let start = Instant::now();
        let mut sampler = Sampler::new(start);
        for i in 0..1000 {
            sampler.on_sent(start + MS * i, 1000);
        }
        assert_eq!(sampler.flights.len(), MAX_FLIGHTS);
        sampler.on_ack(start, 1000);
        assert!(sampler.end_batch(start + 1000 * MS, 999_000, false, MS).is_none());
        assert_eq!(sampler.delivered(), 1000);
    }

    #[test]
    fn what_leaves_at_once_is_one_flight() {
        let start = Instant::now();
        let mut sampler = Sampler::new(start);
        for _ in 0..10 {
            sampler.on_sent(start, 1000);
        }
        assert_eq!(sampler.flights.len(), 1);
        assert_eq!(sampler.on_lost(start, 1000).map(|loss| loss.in_flight), Some(10_000));
    }
}
