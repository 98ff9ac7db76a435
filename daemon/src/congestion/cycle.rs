//! ProbeBW (draft-ietf-ccwg-bbr, section 5.3.3): a cycle of giving way, cruising and probing for
//! more.
//!
//! Two things differ from the draft. Cruising keeps as much in flight as the bandwidth fills *at
//! the round trip that remained when our own queue was gone* ([`Cycle::rtt`]): alone that is the
//! shortest one, beside others it holds their queue, and without its share of that a sender would
//! be pushed aside. And a probe that fails makes the next one wait longer, so that a loss-based
//! flow in a short queue has time to grow between them.

use std::time::{Duration, Instant};

use super::bbr::{BETA, Bbr, Phase};

/// The least time from one probe to the next; up to half as much again is added at random
/// (the draft's 2 to 3 seconds).
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Rounds after which a Reno flow with the same window would have grown by as much as we are about
/// to (the draft's section 5.5.4.2).
const RENO_ROUNDS: f64 = 62.0;
const LEAST_ROUNDS: f64 = 8.0;
/// Round trips until the first probe: Startup may have ended too early.
const FIRST_PROBE_ROUNDS: u32 = 4;
/// A probe that fails makes the next wait so much longer, and at most that.
const PATIENCE: f64 = 1.5;
const MOST_PATIENCE: f64 = 3.0;
/// What a probe puts in flight at first, by how much more after each round that brought more, and
/// at most (the draft's `probe_up_rounds`).
const FIRST_GAIN: f64 = 1.25;
const GAIN_GROWTH: f64 = 1.25;
const MOST_GAIN: f64 = 2.0;
/// Bandwidth that a round of probing must bring to go on.
const SUCCESS: f64 = 1.1;
/// Rounds without that until the probe ends: in the first it is sent, in the second answered.
const PROBE_ROUNDS: u32 = 2;

/// The current cycle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cycle {
    since: Instant,
    first_round: u64,
    wait: Duration,
    patience: f64,
    dice: u64,
    /// The round trip when our own queue was gone.
    pub(super) rtt: Duration,
    /// What the probe puts in flight, in bandwidth-delay products.
    pub(super) gain: f64,
    rate: f64,
    rounds_without_growth: u32,
}

impl Cycle {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            first_round: 0,
            wait: PROBE_INTERVAL,
            patience: 1.0,
            dice: 0,
            rtt: Duration::ZERO,
            gain: FIRST_GAIN,
            rate: 0.0,
            rounds_without_growth: 0,
        }
    }

    fn restart(&mut self, now: Instant, round: u64) {
        self.since = now;
        self.first_round = round;
        self.wait = PROBE_INTERVAL.mul_f64((1.0 + self.roll() / 2.0) * self.patience);
    }

    /// From 0 up to 1: Knuth's linear congruential generator, enough to keep flows out of step.
    fn roll(&mut self) -> f64 {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 32) as f64 / f64::from(u32::MAX)
    }

    fn is_over(&self, now: Instant, round: u64, rounds: f64) -> bool {
        now - self.since >= self.wait || (round - self.first_round) as f64 >= rounds
    }
}

impl Bbr {
    pub(super) fn advance_cycle(&mut self, round_ended: bool) {
        let in_flight = self.sampler.in_flight() as f64;
        match self.phase {
            Phase::Drain if in_flight <= self.pipe() => {
                self.cycle.rtt = self.min_rtt.value();
                self.give_way();
                self.cycle.wait = self.min_rtt.value() * FIRST_PROBE_ROUNDS;
            }
            Phase::Down { drained: false }
                if round_ended && in_flight <= self.down_target() + 2.0 * self.mtu as f64 =>
            {
                self.enter(Phase::Down { drained: true });
            }
            Phase::Down { drained: true } if self.stayed_a_round(round_ended) => {
                self.begin_cruise();
            }
            Phase::Cruise if self.is_probe_due() => {
                self.lift_short_bounds();
                self.enter(Phase::Refill);
            }
            Phase::Refill if self.stayed_a_round(round_ended) => self.begin_probe(),
            Phase::Up if self.stayed_a_round(round_ended) => self.judge_probe(),
            _ => {}
        }
    }

    /// Our queue is gone: what a round trip takes now is the path, and others.
    pub(super) fn begin_cruise(&mut self) {
        self.cycle.rtt = self.rounds.last().rtt.unwrap_or(self.min_rtt.value());
        self.enter(Phase::Cruise);
    }

    fn is_probe_due(&self) -> bool {
        let rounds = (self.pipe() / self.mtu as f64).clamp(LEAST_ROUNDS, RENO_ROUNDS);
        self.cycle.is_over(self.now, self.rounds.count(), rounds)
    }

    fn begin_probe(&mut self) {
        self.enter(Phase::Up);
        self.cycle.gain = FIRST_GAIN;
        self.cycle.rate = self.bandwidth.value();
        self.cycle.rounds_without_growth = 0;
    }

    fn judge_probe(&mut self) {
        let rate = self.bandwidth.value();
        if self.sampler.in_flight() as f64 >= 0.9 * self.most_in_flight {
            // It holds that much by now.
            self.most_in_flight *= FIRST_GAIN;
        }
        if rate > SUCCESS * self.cycle.rate {
            self.cycle.rate = rate;
            self.cycle.rounds_without_growth = 0;
            self.cycle.gain = (self.cycle.gain * GAIN_GROWTH).min(MOST_GAIN);
            return;
        }
        self.cycle.rounds_without_growth += 1;
        if self.cycle.rounds_without_growth >= PROBE_ROUNDS {
            self.cycle.patience = 1.0;
            self.give_way();
        }
    }

    /// A probe that had `in_flight` bytes in flight lost too much.
    pub(super) fn stop_probing(&mut self, in_flight: f64) {
        let target = self.full_pipe().min(self.window as f64);
        self.most_in_flight = in_flight.max(BETA * target);
        self.cycle.patience = (self.cycle.patience * PATIENCE).min(MOST_PATIENCE);
        self.give_way();
    }

    /// Ends a cycle and begins the next.
    fn give_way(&mut self) {
        self.enter(Phase::Down { drained: false });
        if !self.is_contested() {
            self.bandwidth.advance();
        }
        self.loss.new_cycle();
        self.forgive();
        let round = self.rounds.count();
        self.cycle.restart(self.now, round);
    }
}
