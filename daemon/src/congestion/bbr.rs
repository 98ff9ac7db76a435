//! The controller itself: takes what happened to packets, keeps the model of the path, and sets the
//! window. It is handed the time and knows nothing of quinn.
//!
//! What the phases do is in [`super::startup`] and [`super::cycle`], the window in
//! [`super::window`].

use std::time::{Duration, Instant};

use super::{
    cycle::Cycle,
    filter::{Aggregation, MinRtt, TwoWindowMax},
    loss::Loss,
    rate::{LossSample, Sample, Sampler},
    rounds::Rounds,
    startup::Startup,
    window::INITIAL_PACKETS,
};

/// How far a reaction to loss lowers what may be in flight (the draft's `Beta`).
pub(super) const BETA: f64 = 0.7;
/// By how much a round without excessive loss raises it again.
const HEALING: f64 = 1.05;
/// Rounds in one window of the bandwidth filter while the line is contested: two of them are what
/// the first BBR looks at.
const CONTEST_FILTER_ROUNDS: u64 = 5;
/// How long only half the pipe is kept filled to see the shortest round trip
/// (`ProbeRTTDuration`).
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);
/// A queue stands if even the shortest round trip of a round is an eighth above the shortest, and
/// by more than timers and batches explain.
const LEAST_QUEUE: Duration = Duration::from_millis(2);

/// What the sender is about (the draft's section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Growing until the line is full.
    Startup,
    /// Letting the queue go that showed that it is.
    Drain,
    /// `ProbeBW_DOWN`: a little less than the line carries; `drained` once our queue must be gone.
    Down { drained: bool },
    /// `ProbeBW_CRUISE`: as much as the line carries.
    Cruise,
    /// `ProbeBW_REFILL`: the same for a round without the short-term bounds.
    Refill,
    /// `ProbeBW_UP`: more, to see whether it carries more by now.
    Up,
    /// Half of it, to see the shortest round trip; `until` when, once that little is in flight.
    ProbeRtt { until: Option<Instant> },
}

/// The model and the state of one path.
#[derive(Debug, Clone)]
pub(super) struct Bbr {
    /// Bytes of a full packet.
    pub(super) mtu: u64,
    pub(super) sampler: Sampler,
    pub(super) rounds: Rounds,
    pub(super) bandwidth: TwoWindowMax,
    pub(super) min_rtt: MinRtt,
    pub(super) aggregation: Aggregation,
    pub(super) smoothed_rtt: Duration,
    pub(super) loss: Loss,
    pub(super) phase: Phase,
    /// The round in which the phase began.
    pub(super) entered: u64,
    pub(super) startup: Startup,
    pub(super) cycle: Cycle,
    /// Bytes in flight that the path was seen not to hold (`inflight_longterm`).
    pub(super) most_in_flight: f64,
    /// Bounds until the next probe, from loss since the last one: bytes and bytes per second
    /// (`inflight_shortterm`, `bw_shortterm`).
    pub(super) short_in_flight: f64,
    pub(super) short_bandwidth: f64,
    /// Loss of what was sent before has been answered already.
    reacted_at: Option<Instant>,
    pub(super) now: Instant,
    pub(super) window: u64,
}

impl Bbr {
    pub(super) fn new(now: Instant, mtu: u16) -> Self {
        let mtu = u64::from(mtu);
        Self {
            mtu,
            sampler: Sampler::new(now),
            rounds: Rounds::default(),
            bandwidth: TwoWindowMax::default(),
            min_rtt: MinRtt::default(),
            aggregation: Aggregation::default(),
            smoothed_rtt: Duration::ZERO,
            loss: Loss::new(),
            phase: Phase::Startup,
            entered: 0,
            startup: Startup::default(),
            cycle: Cycle::new(now),
            most_in_flight: f64::INFINITY,
            short_in_flight: f64::INFINITY,
            short_bandwidth: f64::INFINITY,
            reacted_at: None,
            now,
            window: INITIAL_PACKETS * mtu,
        }
    }

    /// Bytes that may be in flight.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// `bytes` leave.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: u64) {
        self.sampler.on_sent(now, bytes);
    }

    /// A packet of `bytes`, sent at `sent`, was acknowledged.
    pub(super) fn on_ack(&mut self, sent: Instant, bytes: u64) {
        self.sampler.on_ack(sent, bytes);
    }

    /// The acknowledgements that came together have all been told. `in_flight` are the bytes left,
    /// losses that they show not yet taken off; `app_limited` if there was nothing more to send.
    pub(super) fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        smoothed_rtt: Duration,
    ) {
        self.now = now;
        self.smoothed_rtt = smoothed_rtt;
        let min_rtt = self.min_rtt.value();
        let Some(sample) = self.sampler.end_batch(now, in_flight, app_limited, min_rtt) else {
            return;
        };
        let probe_due = self.min_rtt.update(now, sample.rtt);
        self.startup.on_rtt(now, sample.rtt);
        if let Some(rate) = sample.rate
            && (!sample.app_limited || rate > self.bandwidth.value())
        {
            self.bandwidth.update(rate);
        }
        let (round, rate) = (self.rounds.count(), self.bandwidth());
        self.aggregation.update(now, round, sample.acked, rate);
        let round_ended = self.rounds.on_sample(&sample, self.sampler.delivered());
        if round_ended {
            self.on_round(&sample);
        }
        self.advance(&sample, round_ended);
        if probe_due && !sample.app_limited && self.phase != Phase::Startup {
            self.enter(Phase::ProbeRtt { until: None });
        }
        self.set_window(&sample);
    }

    /// `bytes` were lost, the last of them sent at `sent`; with `persistent`, nothing has come
    /// through for long (RFC 9002, section 7.6).
    pub(super) fn on_lost(&mut self, sent: Instant, bytes: u64, persistent: bool) {
        let flight = self.sampler.on_lost(sent, bytes);
        if persistent {
            self.restart();
            return;
        }
        if self.reacted_at.is_some_and(|at| sent <= at) {
            return;
        }
        self.rounds.on_lost(bytes);
        if let Some(LossSample { in_flight, lost }) = flight
            && self.phase == Phase::Up
            && !self.is_contested()
            && self.loss.is_excessive(self.packets(lost), self.packets(in_flight), true)
        {
            self.stop_probing(in_flight as f64);
        }
    }

    /// A packet sent at `sent` was marked by a router that sees congestion coming (RFC 9002,
    /// section 7.1).
    pub(super) fn on_marked(&mut self, sent: Instant) {
        if self.reacted_at.is_some_and(|at| sent <= at) {
            return;
        }
        match self.phase {
            Phase::Up => self.stop_probing(self.sampler.in_flight() as f64),
            Phase::Startup => self.leave_startup(),
            _ => self.slow_down(),
        }
    }

    /// Packets may now have `mtu` bytes.
    pub(super) fn on_mtu(&mut self, mtu: u16) {
        self.mtu = u64::from(mtu);
    }

    /// Bytes as packets.
    pub(super) fn packets(&self, bytes: u64) -> f64 {
        bytes as f64 / self.mtu as f64
    }

    /// Bytes per second that the path carries, as far as is known.
    pub(super) fn bandwidth(&self) -> f64 {
        self.bandwidth.value().min(self.short_bandwidth)
    }

    /// Whether the last round had a queue before it, ours or another's.
    pub(super) fn has_queue(&self) -> bool {
        let min = self.min_rtt.value();
        self.rounds.last().rtt.is_some_and(|rtt| rtt > min + (min / 8).max(LEAST_QUEUE))
    }

    /// Whether somebody floods the line and does not care about loss.
    pub(super) fn is_contested(&self) -> bool {
        self.loss.is_contested(self.rounds.count())
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        tracing::trace!(?phase, bandwidth = self.bandwidth(), window = self.window, "congestion");
        self.phase = phase;
        self.entered = self.rounds.count();
    }

    /// Whether a whole round has passed since the phase began, if one ends now.
    pub(super) fn stayed_a_round(&self, round_ended: bool) -> bool {
        round_ended && self.rounds.count() > self.entered
    }

    /// What was sent until now needs no further answer when it turns out lost.
    pub(super) fn forgive(&mut self) {
        self.reacted_at = Some(self.now);
    }

    /// Lifts the bounds that loss has set since the last probe.
    pub(super) fn lift_short_bounds(&mut self) {
        self.short_in_flight = f64::INFINITY;
        self.short_bandwidth = f64::INFINITY;
    }

    fn on_round(&mut self, sample: &Sample) {
        let round = *self.rounds.last();
        let total = self.packets(round.total());
        if self.is_contested() && self.rounds.count().is_multiple_of(CONTEST_FILTER_ROUNDS) {
            self.bandwidth.advance();
        }
        if self.phase == (Phase::Down { drained: true }) && self.stayed_a_round(true) {
            self.loss.observe(round.loss(), total);
        }
        match self.phase {
            Phase::Startup => self.check_startup(sample),
            Phase::Drain | Phase::Down { .. } | Phase::Cruise => self.answer_loss(),
            Phase::Refill | Phase::Up | Phase::ProbeRtt { .. } => {}
        }
    }

    /// Lowers the short-term bounds after a round of excessive loss, or heals them after another
    /// (the draft's section 5.5.10.3).
    fn answer_loss(&mut self) {
        let round = *self.rounds.last();
        let (lost, total) = (self.packets(round.lost), self.packets(round.total()));
        let failed = self.loss.reaction_failed(round.loss(), total, self.rounds.count());
        if failed && self.has_queue() {
            self.loss.contest(self.rounds.count());
            self.lift_short_bounds();
            self.most_in_flight = f64::INFINITY;
        }
        if self.is_contested() {
            return;
        }
        if !self.loss.is_waiting() && self.loss.is_excessive(lost, total, self.has_queue()) {
            self.slow_down();
        } else {
            self.short_in_flight *= HEALING;
            self.short_bandwidth *= HEALING;
        }
    }

    fn slow_down(&mut self) {
        let round = *self.rounds.last();
        let in_flight = self.short_in_flight.min(self.window as f64);
        self.short_in_flight = (BETA * in_flight).max(round.delivered as f64);
        let bandwidth = self.short_bandwidth.min(self.bandwidth.value());
        self.short_bandwidth = (BETA * bandwidth).max(round.rate);
        self.loss.reacted(round.loss(), self.rounds.count());
        self.forgive();
    }

    /// Begins anew on a path of which nothing is known any more but its shortest round trip.
    fn restart(&mut self) {
        let min_rtt = self.min_rtt;
        let sampler = self.sampler.clone();
        let mtu = u16::try_from(self.mtu).unwrap_or(u16::MAX);
        *self = Self { sampler, min_rtt, ..Self::new(self.now, mtu) };
        self.forgive();
        self.window = self.least_window();
    }

    fn advance(&mut self, sample: &Sample, round_ended: bool) {
        match self.phase {
            Phase::Startup => self.advance_startup(sample),
            Phase::ProbeRtt { until } => self.advance_probe_rtt(until, round_ended),
            _ => self.advance_cycle(round_ended),
        }
    }

    fn advance_probe_rtt(&mut self, until: Option<Instant>, round_ended: bool) {
        match until {
            None if self.sampler.in_flight() as f64 <= self.probe_rtt_target() => {
                let until = Some(self.now + PROBE_RTT_DURATION);
                self.enter(Phase::ProbeRtt { until });
            }
            Some(until) if self.now >= until && self.stayed_a_round(round_ended) => {
                self.min_rtt.probed(self.now);
                self.lift_short_bounds();
                self.begin_cruise();
            }
            _ => {}
        }
    }
}
