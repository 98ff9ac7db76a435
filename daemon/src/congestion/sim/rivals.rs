//! The TCP flows that ours has to share a line with.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    Control,
    sender::{MTU, Rtt},
};

/// Cubic (RFC 9438) with HyStart's delay test (RFC 9406), as Linux has them: not paced.
#[derive(Debug)]
pub(super) struct Cubic {
    cwnd: f64,
    ssthresh: f64,
    w_max: f64,
    epoch: Option<Instant>,
    recovery: Option<Instant>,
    rtt: Duration,
    min_rtt: Duration,
    reno: f64,
}

impl Cubic {
    pub(super) fn new() -> Self {
        Self {
            cwnd: 10.0,
            ssthresh: f64::INFINITY,
            w_max: 0.0,
            epoch: None,
            recovery: None,
            rtt: Duration::from_millis(100),
            min_rtt: Duration::MAX,
            reno: 0.0,
        }
    }
}

impl Control for Cubic {
    fn on_ack(&mut self, now: Instant, sent: Instant, _bytes: u64) {
        self.rtt = now - sent;
        self.min_rtt = self.min_rtt.min(self.rtt);
        if self.recovery.is_some_and(|at| sent <= at) {
            return;
        }
        if self.cwnd < self.ssthresh {
            self.cwnd += 1.0;
            let eta = (self.min_rtt / 8).clamp(Duration::from_millis(4), Duration::from_millis(16));
            if self.rtt > self.min_rtt + eta && self.cwnd > 16.0 {
                self.ssthresh = self.cwnd;
            }
            return;
        }
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.reno = self.cwnd;
            self.w_max = self.w_max.max(self.cwnd);
            now
        });
        let t = (now - epoch + self.rtt).as_secs_f64();
        let k = ((self.w_max - self.reno.min(self.w_max)).max(0.0) / 0.4).cbrt();
        let k = if self.w_max * 0.7 < self.cwnd {
            (self.w_max * 0.3 / 0.4).cbrt().min(k.max(0.01))
        } else {
            k
        };
        let target = (self.w_max + 0.4 * (t - k).powi(3)).clamp(self.cwnd, 1.5 * self.cwnd);
        self.cwnd += (target - self.cwnd) / self.cwnd;
    }

    fn on_lost(&mut self, now: Instant, sent: Instant, _bytes: u64, _persistent: bool) {
        if self.recovery.is_some_and(|at| sent <= at) {
            return;
        }
        self.recovery = Some(now);
        self.w_max = if self.cwnd < self.w_max { self.cwnd * 0.85 } else { self.cwnd };
        self.cwnd = (self.cwnd * 0.7).max(2.0);
        self.ssthresh = self.cwnd;
        self.epoch = None;
    }

    fn window(&self) -> u64 {
        ((self.cwnd + 1.0) * MTU as f64) as u64
    }

    fn pacing_rate(&self) -> Option<f64> {
        Some(1e12)
    }
}

/// BBR version 1 as in Linux' `tcp_bbr.c`: ten rounds of bandwidth, eight phases, twice the
/// bandwidth-delay product in flight, deaf to loss.
#[derive(Debug)]
pub(super) struct BbrV1 {
    bw: Vec<(u64, f64)>,
    min_rtt: Duration,
    min_rtt_at: Option<Instant>,
    delivered: u64,
    round: u64,
    round_end: u64,
    sent: VecDeque<(Instant, u64, Instant)>,
    delivered_at: Option<Instant>,
    full_bw: f64,
    full_count: u32,
    state: u8,
    phase: usize,
    phase_at: Option<Instant>,
    probe_rtt_until: Option<Instant>,
    cwnd: f64,
    in_flight: u64,
    newest: Option<(Instant, u64, Instant)>,
}

const GAINS: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];

impl BbrV1 {
    pub(super) fn new() -> Self {
        Self {
            bw: Vec::new(),
            min_rtt: Duration::MAX,
            min_rtt_at: None,
            delivered: 0,
            round: 0,
            round_end: 0,
            sent: VecDeque::new(),
            delivered_at: None,
            full_bw: 0.0,
            full_count: 0,
            state: 0,
            phase: 2,
            phase_at: None,
            probe_rtt_until: None,
            cwnd: 10.0 * MTU as f64,
            in_flight: 0,
            newest: None,
        }
    }
    fn bw(&self) -> f64 {
        self.bw.iter().map(|x| x.1).fold(0.0, f64::max)
    }
    fn bdp(&self) -> f64 {
        if self.min_rtt == Duration::MAX {
            10.0 * MTU as f64
        } else {
            self.bw() * self.min_rtt.as_secs_f64()
        }
    }
}

impl Control for BbrV1 {
    fn on_sent(&mut self, now: Instant, bytes: u64) {
        if self.in_flight == 0 {
            self.delivered_at = Some(now);
        }
        self.in_flight += bytes;
        let at = self.delivered_at.unwrap_or(now);
        self.sent.push_back((now, self.delivered, at));
    }
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64) {
        self.delivered += bytes;
        self.delivered_at = Some(now);
        while self.sent.front().is_some_and(|x| x.0 < sent) {
            self.sent.pop_front();
        }
        if let Some(x) = self.sent.front()
            && x.0 == sent
        {
            self.newest = Some(*x);
        }
        self.cwnd += bytes as f64;
    }
    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, _rtt: &Rtt) {
        self.in_flight = in_flight;
        let Some((sent, delivered, at)) = self.newest.take() else { return };
        let rtt = now - sent;
        if delivered >= self.round_end {
            self.round += 1;
            self.round_end = self.delivered;
            if self.state == 0 && !app_limited {
                if self.bw() > self.full_bw * 1.25 {
                    self.full_bw = self.bw();
                    self.full_count = 0;
                } else {
                    self.full_count += 1;
                    if self.full_count >= 3 {
                        self.state = 1;
                    }
                }
            }
        }
        let rate = (self.delivered - delivered) as f64 / (now - at).as_secs_f64().max(1e-6);
        let round = self.round;
        self.bw.retain(|x| x.0 + 10 > round && x.1 > rate);
        self.bw.push((round, rate));
        let expired = self.min_rtt_at.is_some_and(|at| now - at > Duration::from_secs(10));
        if rtt <= self.min_rtt || expired {
            self.min_rtt = rtt;
            self.min_rtt_at = Some(now);
            if expired && self.probe_rtt_until.is_none() {
                self.probe_rtt_until = Some(now + Duration::from_millis(200) + rtt);
            }
        }
        if self.probe_rtt_until.is_some_and(|until| now > until) {
            self.probe_rtt_until = None;
            self.min_rtt_at = Some(now);
        }
        if self.state == 1 && in_flight as f64 <= self.bdp() {
            self.state = 2;
            self.phase_at = Some(now);
        }
        if self.state == 2 {
            let at = self.phase_at.unwrap_or(now);
            let gain = GAINS[self.phase];
            let done = now - at > self.min_rtt;
            let advance = match gain {
                g if g > 1.0 => done && in_flight as f64 >= 1.2 * self.bdp(),
                g if g < 1.0 => done || in_flight as f64 <= self.bdp(),
                _ => done,
            };
            if advance {
                self.phase = (self.phase + 1) % 8;
                self.phase_at = Some(now);
            }
        }
        let target = 2.0f64.max(if self.state == 2 { 2.0 } else { 2.89 }) * self.bdp()
            + 3.0 * 10.0 * MTU as f64;
        if self.state > 0 || self.cwnd > target {
            self.cwnd = self.cwnd.min(target.max(4.0 * MTU as f64));
        }
    }
    fn on_lost(&mut self, _now: Instant, _sent: Instant, bytes: u64, _persistent: bool) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }
    fn window(&self) -> u64 {
        if self.probe_rtt_until.is_some() { 5 * MTU } else { self.cwnd as u64 }
    }
    fn pacing_rate(&self) -> Option<f64> {
        let gain = match self.state {
            0 => 2.89,
            1 => 0.35,
            _ => GAINS[self.phase],
        };
        if self.bw.is_empty() { Some(1e7) } else { Some(gain * self.bw()) }
    }
}
