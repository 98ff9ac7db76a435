//! One direction of the emulated link, without I/O or clock: a line of a given rate with a drop-tail
//! queue before it, and a pipe of a given length behind it, at whose end packets get lost.
//!
//! A packet goes on the line when those before it are through, and takes its length over the rate.
//! Then it is in the pipe for the delay. It counts as its IP length.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{Conditions, Counters};

/// A packet, or how many bytes one would have.
pub(super) type Packet = Box<[u8]>;

pub(super) struct Link {
    conditions: Conditions,
    up: bool,
    random: Rng,
    /// Before the line or on it, with the times at which they came.
    waiting: VecDeque<(Instant, Packet)>,
    waiting_bytes: usize,
    /// When the last packet that was on the line had left it.
    line_free: Instant,
    /// In the pipe, with the times at which they arrive.
    flying: VecDeque<(Instant, Packet)>,
    counters: Counters,
}

impl Link {
    pub(super) fn new(conditions: Conditions, seed: u64, now: Instant) -> Self {
        Self {
            conditions,
            up: true,
            random: Rng::with_seed(seed),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            line_free: now,
            flying: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// What is on the line or in the pipe already goes on under the new conditions from here on; in
    /// the pipe nothing overtakes.
    pub(super) fn set(&mut self, conditions: Conditions, now: Instant) {
        self.advance(now);
        self.conditions = conditions;
    }

    /// Down, what comes and what is under way is lost.
    pub(super) fn set_up(&mut self, up: bool, now: Instant) {
        self.advance(now);
        self.up = up;
        if !up {
            let lost = self.waiting.len() + self.flying.len();
            self.counters.cut += u64::try_from(lost).unwrap_or(u64::MAX);
            self.waiting.clear();
            self.flying.clear();
            self.waiting_bytes = 0;
        }
    }

    pub(super) fn counters(&self) -> Counters {
        Counters { queue: self.waiting_bytes, ..self.counters }
    }

    pub(super) fn reset_counters(&mut self) {
        self.counters = Counters { queue_peak: self.waiting_bytes, ..Counters::default() };
    }

    /// A packet comes to the link.
    pub(super) fn push(&mut self, packet: Packet, now: Instant) {
        self.advance(now);
        self.counters.packets += 1;
        self.counters.bytes += u64::try_from(packet.len()).unwrap_or(u64::MAX);
        let length = self.waiting_bytes + packet.len();
        if !self.up {
            self.counters.cut += 1;
        } else if self.conditions.queue_limit().is_some_and(|limit| length > limit) {
            self.counters.queue_drops += 1;
        } else {
            self.waiting_bytes = length;
            self.counters.queue_peak = self.counters.queue_peak.max(length);
            self.waiting.push_back((now, packet));
        }
    }

    /// A packet that has arrived at the other end by now.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Packet> {
        self.advance(now);
        let (_, packet) = self.flying.pop_front_if(|(due, _)| *due <= now)?;
        self.counters.delivered += 1;
        self.counters.delivered_bytes += u64::try_from(packet.len()).unwrap_or(u64::MAX);
        Some(packet)
    }

    /// When to look for a packet again, if none comes before. It may turn out to be lost then.
    pub(super) fn next(&self) -> Option<Instant> {
        let leaves = || self.leaves().map(|time| time + self.conditions.delay);
        self.flying.front().map(|(due, _)| *due).or_else(leaves)
    }

    /// When the packet on the line leaves it.
    fn leaves(&self) -> Option<Instant> {
        let (came, packet) = self.waiting.front()?;
        Some((*came).max(self.line_free) + self.conditions.on_line(packet.len()))
    }

    /// Lets everything leave the line that has left it by now.
    fn advance(&mut self, now: Instant) {
        while let Some(left) = self.leaves().filter(|left| *left <= now) {
            let Some((came, packet)) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= packet.len();
            self.line_free = left;
            let alone = self.conditions.on_line(packet.len());
            self.counters.queued += left.duration_since(came).saturating_sub(alone);
            if self.random.f64() < self.conditions.loss {
                self.counters.losses += 1;
                continue;
            }
            let last = self.flying.back().map_or(left, |(due, _)| *due);
            self.flying.push_back(((left + self.conditions.delay).max(last), packet));
        }
    }
}

impl Conditions {
    /// How long a packet is on the line.
    fn on_line(&self, length: usize) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let bits = u64::try_from(length).unwrap_or(u64::MAX).saturating_mul(8);
        Duration::from_nanos(bits.saturating_mul(1_000_000_000) / rate.max(1))
    }

    /// How many bytes may wait; without a rate, none ever does.
    fn queue_limit(&self) -> Option<usize> {
        self.rate.map(|_| self.queue.unwrap_or_else(|| self.bdp()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn packet() -> Packet {
        vec![0; 1000].into()
    }

    /// 8 Mbit/s: a packet of 1,000 bytes is on the line for 1 ms.
    fn slow(queue: usize) -> Conditions {
        Conditions {
            delay: 10 * MS,
            rate: Some(8_000_000),
            queue: Some(queue),
            ..Conditions::default()
        }
    }

    /// When each packet that is under way arrives.
    fn arrivals(link: &mut Link, start: Instant) -> Vec<Duration> {
        let mut times = Vec::new();
        while let Some(next) = link.next() {
            while link.pop(next).is_some() {
                times.push(next - start);
            }
        }
        times
    }

    #[test]
    fn packets_take_their_time_on_the_line_and_in_the_pipe() {
        let start = Instant::now();
        let mut link = Link::new(slow(10_000), 1, start);
        for _ in 0..3 {
            link.push(packet(), start);
        }
        link.push(packet(), start + 20 * MS);
        assert_eq!(arrivals(&mut link, start), [11 * MS, 12 * MS, 13 * MS, 31 * MS]);
        let counters = link.counters();
        assert_eq!((counters.delivered, counters.queue_peak, counters.queue), (4, 3000, 0));
        assert_eq!(counters.queued, 3 * MS);
    }

    #[test]
    fn what_the_queue_cannot_hold_is_dropped_at_its_tail() {
        let start = Instant::now();
        let mut link = Link::new(slow(2500), 1, start);
        for _ in 0..5 {
            link.push(packet(), start);
        }
        // One has left the line: there is room for one.
        link.push(packet(), start + MS);
        assert_eq!(arrivals(&mut link, start), [11 * MS, 12 * MS, 13 * MS]);
        assert_eq!((link.counters().packets, link.counters().queue_drops), (6, 3));
    }

    #[test]
    fn random_loss_is_as_frequent_as_asked_and_the_same_for_the_same_seed() {
        let start = Instant::now();
        let lossy = Conditions { loss: 0.1, ..Conditions::default() };
        let lost = |seed| {
            let mut link = Link::new(lossy, seed, start);
            for _ in 0..10_000 {
                link.push(packet(), start);
            }
            arrivals(&mut link, start);
            assert_eq!(link.counters().losses + link.counters().delivered, 10_000);
            link.counters().losses
        };
        assert!((900..1100).contains(&lost(1)), "{}", lost(1));
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
    }

    #[test]
    fn a_change_of_rate_holds_for_what_is_waiting() {
        let start = Instant::now();
        let mut link = Link::new(slow(10_000), 1, start);
        for _ in 0..3 {
            link.push(packet(), start);
        }
        link.set(Conditions { rate: Some(4_000_000), ..slow(10_000) }, start + MS);
        assert_eq!(arrivals(&mut link, start), [11 * MS, 13 * MS, 15 * MS]);
    }

    #[test]
    fn nothing_overtakes_when_the_delay_shrinks() {
        let start = Instant::now();
        let mut link = Link::new(slow(10_000), 1, start);
        link.push(packet(), start);
        link.set(Conditions { delay: MS, ..slow(10_000) }, start + 2 * MS);
        link.push(packet(), start + 2 * MS);
        assert_eq!(arrivals(&mut link, start), [11 * MS, 11 * MS]);
    }

    #[test]
    fn down_everything_is_lost_and_up_again_nothing() {
        let start = Instant::now();
        let mut link = Link::new(slow(10_000), 1, start);
        link.push(packet(), start);
        link.set_up(false, start + 5 * MS);
        link.push(packet(), start + 6 * MS);
        link.set_up(true, start + 7 * MS);
        link.push(packet(), start + 8 * MS);
        assert_eq!(arrivals(&mut link, start), [19 * MS]);
        assert_eq!(link.counters().cut, 2);
    }
}
