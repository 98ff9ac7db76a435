//! A sender as quinn-proto 0.11 is one: when it sends, what it counts as lost and in which order it
//! calls its controller (`connection/mod.rs`, `connection/pacing.rs`, `connection/paths.rs`).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::Control;

pub(super) const MTU: u64 = 1452;
/// Datagrams that one turn of quinn's driver sends.
const TURN: usize = 20;
const BURST: f64 = 0.002;

/// quinn's pacer, in floating point.
#[derive(Debug)]
pub(super) struct Pacer {
    tokens: f64,
    prev: Instant,
}

impl Pacer {
    fn new(now: Instant) -> Self {
        Self { tokens: 10.0 * MTU as f64, prev: now }
    }

    /// Until when the next datagram has to wait: at `rate`, or as quinn does from the window.
    fn delay(
        &mut self,
        rate: Option<f64>,
        window: u64,
        rtt: Duration,
        now: Instant,
    ) -> Option<Instant> {
        let size = MTU as f64;
        let rtt = rtt.as_secs_f64().max(1e-9);
        let nominal = rate.map_or(window as f64 / rtt, |rate| rate / 1.25);
        let capacity = (nominal * BURST).clamp(10.0 * size, 256.0 * size);
        self.tokens = self.tokens.min(capacity);
        if self.tokens >= size {
            return None;
        }
        let elapsed = now.saturating_duration_since(self.prev).as_secs_f64();
        self.tokens = (self.tokens + nominal * 1.25 * elapsed).min(capacity);
        self.prev = now;
        if self.tokens >= size {
            return None;
        }
        let wait = (capacity - self.tokens) / nominal * 0.8;
        Some(now + Duration::from_secs_f64(wait))
    }
}

/// quinn's round-trip estimate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rtt {
    pub(super) latest: Duration,
    pub(super) smoothed: Duration,
    var: Duration,
    pub(super) min: Duration,
    seen: bool,
}

impl Rtt {
    fn new(initial: Duration) -> Self {
        Self { latest: initial, smoothed: initial, var: initial / 2, min: initial, seen: false }
    }

    fn update(&mut self, ack_delay: Duration, rtt: Duration) {
        self.latest = rtt;
        if !self.seen {
            *self = Self { latest: rtt, smoothed: rtt, var: rtt / 2, min: rtt, seen: true };
            return;
        }
        self.min = self.min.min(rtt);
        let adjusted = if self.min + ack_delay <= rtt { rtt - ack_delay } else { rtt };
        self.var = (3 * self.var + self.smoothed.abs_diff(adjusted)) / 4;
        self.smoothed = (7 * self.smoothed + adjusted) / 8;
    }

    fn pto(&self) -> Duration {
        self.smoothed + (4 * self.var).max(Duration::from_millis(1)) + Duration::from_millis(25)
    }
}

/// Why a sender stopped for now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Blocked {
    /// There is more to do at once.
    Turn,
    Pacing(Instant),
    Window,
    Application,
}

pub(super) struct Sender {
    pub(super) control: Box<dyn Control>,
    pub(super) rtt: Rtt,
    pacer: Pacer,
    sent: BTreeMap<u64, Instant>,
    next: u64,
    largest_acked: Option<u64>,
    in_flight: u64,
    app_limited: bool,
    first_after_rtt: Option<u64>,
    last_sent: Option<Instant>,
    pto_count: u32,
    probes: u32,
    /// Bytes that the application still has; `None` for no end.
    pub(super) backlog: Option<u64>,
    /// Packets sent and packets taken for lost.
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) loss_time: Option<Instant>,
}

impl Sender {
    pub(super) fn new(control: Box<dyn Control>, now: Instant, backlog: Option<u64>) -> Self {
        Self {
            control,
            rtt: Rtt::new(Duration::from_millis(30)),
            pacer: Pacer::new(now),
            sent: BTreeMap::new(),
            next: 0,
            largest_acked: None,
            in_flight: 0,
            app_limited: false,
            first_after_rtt: None,
            last_sent: None,
            pto_count: 0,
            probes: 0,
            backlog,
            packets: 0,
            lost: 0,
            loss_time: None,
        }
    }

    /// One turn of the driver: calls `out` with the number of every packet that leaves.
    pub(super) fn turn(&mut self, now: Instant, mut out: impl FnMut(u64)) -> Blocked {
        let mut sent = 0;
        while sent < TURN {
            let (batch, blocked) = self.batch(now, (TURN - sent).min(10), &mut out);
            sent += batch;
            if let Some(blocked) = blocked {
                if batch > 0 {
                    continue;
                }
                self.app_limited = blocked == Blocked::Application;
                return blocked;
            }
        }
        self.app_limited = false;
        Blocked::Turn
    }

    /// `poll_transmit`: at most `max` datagrams.
    fn batch(
        &mut self,
        now: Instant,
        max: usize,
        out: &mut impl FnMut(u64),
    ) -> (usize, Option<Blocked>) {
        let mut count = 0;
        let mut blocked = None;
        while count < max {
            let probe = self.probes > 0;
            if self.backlog == Some(0) && !probe {
                blocked = Some(Blocked::Application);
                break;
            }
            if !probe {
                if self.in_flight + MTU >= self.control.window() {
                    blocked = Some(Blocked::Window);
                    break;
                }
                let rate = self.control.pacing_rate();
                if let Some(at) =
                    self.pacer.delay(rate, self.control.window(), self.rtt.smoothed, now)
                {
                    blocked = Some(Blocked::Pacing(at));
                    break;
                }
            }
            self.probes = self.probes.saturating_sub(1);
            if let Some(backlog) = &mut self.backlog {
                *backlog = backlog.saturating_sub(MTU);
            }
            self.sent.insert(self.next, now);
            self.in_flight += MTU;
            self.packets += 1;
            self.last_sent = Some(now);
            self.pacer.tokens = (self.pacer.tokens - MTU as f64).max(0.0);
            out(self.next);
            self.next += 1;
            count += 1;
        }
        if count > 0 {
            self.control.on_sent(now, MTU * count as u64);
        }
        (count, blocked)
    }

    /// An acknowledgement of the packets `acked`, held back for `delay`.
    pub(super) fn on_ack(&mut self, now: Instant, acked: &[u64], delay: Duration) -> u64 {
        let mut bytes = 0;
        let mut largest = None;
        let old_largest = self.largest_acked;
        for &pn in acked {
            let Some(sent) = self.sent.remove(&pn) else { continue };
            if self.largest_acked.is_none_or(|largest| pn > largest) {
                self.largest_acked = Some(pn);
                largest = Some(sent);
            }
            self.in_flight -= MTU;
            bytes += MTU;
            self.control.on_ack(now, sent, MTU);
        }
        if bytes == 0 {
            return 0;
        }
        self.control.on_end_acks(now, self.in_flight, self.app_limited, &self.rtt);
        if let Some(sent) = largest
            && self.largest_acked != old_largest
        {
            self.rtt.update(delay, now - sent);
            self.first_after_rtt.get_or_insert(self.next);
        }
        self.detect_lost(now, true);
        self.pto_count = 0;
        bytes
    }

    fn detect_lost(&mut self, now: Instant, due_to_ack: bool) {
        let Some(largest) = self.largest_acked else { return };
        let loss_delay =
            self.rtt.smoothed.max(self.rtt.latest).mul_f32(1.125).max(Duration::from_millis(1));
        let period = self.rtt.pto() * 3;
        let mut persistent = false;
        let mut start: Option<Instant> = None;
        let mut prev = None;
        self.loss_time = None;
        let mut lost = Vec::new();
        for (&pn, &sent) in self.sent.range(..largest) {
            if prev.map(|prev: u64| prev + 1) != Some(pn) {
                start = None;
            }
            if now.saturating_duration_since(sent) >= loss_delay || largest >= pn + 3 {
                lost.push((pn, sent));
                if due_to_ack {
                    match start {
                        Some(start) if sent - start > period => persistent = true,
                        None if self.first_after_rtt.is_some_and(|first| first < pn) => {
                            start = Some(sent)
                        }
                        _ => {}
                    }
                }
            } else {
                let at = sent + loss_delay;
                self.loss_time = Some(self.loss_time.map_or(at, |time| time.min(at)));
                start = None;
            }
            prev = Some(pn);
        }
        let Some(&(_, sent)) = lost.last() else { return };
        for (pn, _) in &lost {
            self.sent.remove(pn);
        }
        let bytes = MTU * lost.len() as u64;
        self.in_flight -= bytes;
        self.lost += lost.len() as u64;
        if let Some(backlog) = &mut self.backlog {
            *backlog += bytes;
        }
        self.control.on_lost(now, sent, bytes, persistent);
    }

    /// When [`Sender::on_timer`] wants to be called.
    pub(super) fn timer(&self) -> Option<Instant> {
        if self.loss_time.is_some() {
            return self.loss_time;
        }
        if self.in_flight == 0 {
            return None;
        }
        Some(self.last_sent? + self.rtt.pto() * 2u32.pow(self.pto_count.min(6)))
    }

    pub(super) fn on_timer(&mut self, now: Instant) {
        if self.loss_time.is_some_and(|at| at <= now) {
            self.detect_lost(now, false);
        } else if self.timer().is_some_and(|at| at <= now) {
            self.pto_count += 1;
            self.probes += 2;
        }
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }
}
