//! The events of a run in the order of their times, and what is measured of it.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use super::{
    Control, Outcome,
    link::{Dice, Fate, Link, Path},
    sender::{Blocked, MTU, Sender},
};

/// IP and UDP headers, which the line carries too.
const OVERHEAD: u64 = 28;
/// Stream data in a full datagram.
const PAYLOAD: u64 = MTU - 32;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    Timer(usize),
    Arrives(usize, u64, Duration),
    HeldAck(usize, u64),
    Ack(usize, Vec<u64>, Duration),
    Step(usize),
}

/// The receiving end: acknowledges every `threshold` packets, gaps at once, the rest after a delay.
#[derive(Debug)]
struct Receiver {
    threshold: usize,
    max_delay: Duration,
    pending: Vec<u64>,
    since: Duration,
    unacked: usize,
    largest: Option<u64>,
    generation: u64,
}

pub(super) struct Flow {
    pub(super) sender: Sender,
    receiver: Receiver,
    paced_at: Option<Duration>,
    woken: bool,
    timer_at: Option<Duration>,
    pub(super) received: u64,
    /// Packets the line lost at random.
    pub(super) unlucky: u64,
    /// When everything was acknowledged.
    pub(super) done_at: Option<Duration>,
    /// Sum of the smoothed round trip at each acknowledgement, in seconds, and how many.
    srtt: (f64, f64),
    /// What [`World::outcome`] counts from.
    mark: Mark,
}

/// The counters of a flow at one time.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    at: Duration,
    received: u64,
    packets: u64,
    lost: u64,
    unlucky: u64,
}

type Change = Box<dyn FnMut(&mut World)>;

pub(super) struct World {
    pub(super) now: Duration,
    epoch: Instant,
    pub(super) link: Link,
    ack_loss: f64,
    dice: Dice,
    pub(super) flows: Vec<Flow>,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    seq: u64,
    changes: Vec<Option<Change>>,
}

impl World {
    pub(super) fn new(path: Path, seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            epoch: Instant::now(),
            link: Link::new(path, seed),
            ack_loss: path.loss,
            dice: Dice::new(seed ^ 0x5eed),
            flows: Vec::new(),
            events: BinaryHeap::new(),
            seq: 0,
            changes: Vec::new(),
        }
    }

    pub(super) fn instant(&self) -> Instant {
        self.epoch + self.now
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.seq += 1;
        self.events.push(Reverse((at, self.seq, event)));
    }

    /// A flow that starts at `begin` with so many bytes to send, acknowledged every `threshold`
    /// packets.
    pub(super) fn add(
        &mut self,
        control: Box<dyn Control>,
        begin: Duration,
        bytes: Option<u64>,
        threshold: usize,
    ) -> usize {
        let sender =
            Sender::new(control, self.epoch + begin, bytes.map(|b| b.div_ceil(PAYLOAD) * MTU));
        let receiver = Receiver {
            threshold,
            max_delay: Duration::from_millis(25).min(self.link.path.base_rtt),
            pending: Vec::new(),
            since: Duration::ZERO,
            unacked: 0,
            largest: None,
            generation: 0,
        };
        self.flows.push(Flow {
            sender,
            receiver,
            paced_at: None,
            woken: false,
            timer_at: None,
            received: 0,
            unlucky: 0,
            done_at: None,
            srtt: (0.0, 0.0),
            mark: Mark { at: begin, ..Mark::default() },
        });
        let id = self.flows.len() - 1;
        self.at(begin, Event::Wake(id));
        id
    }

    /// What a flow has come to since it began, or since [`World::mark`].
    pub(super) fn outcome(&self, flow: usize) -> Outcome {
        let (flow, path) = (&self.flows[flow], self.link.path);
        let seconds = (self.now - flow.mark.at).as_secs_f64();
        let lost = flow.sender.lost - flow.mark.lost;
        let excess = lost.saturating_sub(flow.unlucky - flow.mark.unlucky);
        Outcome {
            share: (flow.received - flow.mark.received) as f64 / seconds / path.rate,
            excess_loss: excess as f64 / (flow.sender.packets - flow.mark.packets) as f64,
            inflation: flow.srtt.0 / flow.srtt.1 / path.base_rtt.as_secs_f64() - 1.0,
            seconds,
        }
    }

    /// Outcomes count from here.
    pub(super) fn mark(&mut self) {
        for flow in &mut self.flows {
            flow.srtt = (0.0, 0.0);
            flow.mark = Mark {
                at: self.now,
                received: flow.received,
                packets: flow.sender.packets,
                lost: flow.sender.lost,
                unlucky: flow.unlucky,
            };
        }
    }

    /// Calls `change` at `at`.
    pub(super) fn change(&mut self, at: Duration, change: impl FnMut(&mut Self) + 'static) {
        self.changes.push(Some(Box::new(change)));
        let id = self.changes.len() - 1;
        self.at(at, Event::Step(id));
    }

    /// Gives a flow more to send.
    pub(super) fn feed(&mut self, flow: usize, bytes: u64) {
        if let Some(backlog) = &mut self.flows[flow].sender.backlog {
            *backlog += bytes;
        }
        self.wake(flow);
    }

    fn wake(&mut self, flow: usize) {
        if !self.flows[flow].woken {
            self.flows[flow].woken = true;
            self.at(self.now, Event::Wake(flow));
        }
    }

    /// Goes on until `until`.
    pub(super) fn run(&mut self, until: Duration) {
        while self.step(until) {}
        self.now = until;
    }

    /// Goes on until flow 0 has delivered everything, or until `limit`.
    pub(super) fn finish(&mut self, limit: Duration) {
        while self.flows[0].done_at.is_none() && self.step(limit) {}
    }

    /// The next event, if it is due by `until`.
    fn step(&mut self, until: Duration) -> bool {
        if self.events.peek().is_none_or(|Reverse((at, _, _))| *at > until) {
            return false;
        }
        let Some(Reverse((at, _, event))) = self.events.pop() else { return false };
        self.now = at;
        self.handle(event);
        true
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wake(flow) => self.transmit(flow),
            Event::Timer(flow) => {
                let due = self.flows[flow].timer_at == Some(self.now);
                if due {
                    self.flows[flow].timer_at = None;
                    let now = self.instant();
                    self.flows[flow].sender.on_timer(now);
                    self.transmit(flow);
                }
            }
            Event::Arrives(flow, pn, sent) => self.arrives(flow, pn, sent),
            Event::HeldAck(flow, generation) => {
                if self.flows[flow].receiver.generation == generation {
                    self.acknowledge(flow);
                }
            }
            Event::Ack(flow, acked, delay) => {
                let now = self.instant();
                self.flows[flow].sender.on_ack(now, &acked, delay);
                let f = &mut self.flows[flow];
                f.srtt.0 += f.sender.rtt.smoothed.as_secs_f64();
                f.srtt.1 += 1.0;
                if f.sender.backlog == Some(0) && f.sender.in_flight() == 0 && f.done_at.is_none() {
                    f.done_at = Some(self.now);
                }
                self.transmit(flow);
            }
            Event::Step(id) => {
                if let Some(mut change) = self.changes[id].take() {
                    change(self);
                }
            }
        }
    }

    fn transmit(&mut self, flow: usize) {
        self.flows[flow].woken = false;
        let now = self.instant();
        let mut out = Vec::new();
        let blocked = self.flows[flow].sender.turn(now, |pn| out.push(pn));
        for pn in out {
            self.put(flow, pn);
        }
        match blocked {
            Blocked::Turn => {
                self.flows[flow].woken = true;
                let at = self.now + Duration::from_micros(10);
                self.at(at, Event::Wake(flow));
            }
            Blocked::Pacing(at) => {
                // Tokio's timers have whole milliseconds.
                let at = at - self.epoch;
                let at = if self.flows[flow].sender.control.pacing_rate().is_none() {
                    Duration::from_millis(
                        u64::try_from(at.as_micros().div_ceil(1000)).expect("a short run"),
                    )
                } else {
                    at
                };
                if self.flows[flow].paced_at.is_none_or(|old| old <= self.now || at < old) {
                    self.flows[flow].paced_at = Some(at);
                    self.at(at, Event::Wake(flow));
                }
            }
            Blocked::Window | Blocked::Application => {}
        }
        if let Some(timer) = self.flows[flow].sender.timer() {
            let at = (timer - self.epoch).max(self.now);
            if self.flows[flow].timer_at != Some(at) {
                self.flows[flow].timer_at = Some(at);
                self.at(at, Event::Timer(flow));
            }
        }
    }

    fn put(&mut self, flow: usize, pn: u64) {
        let fate = self.link.offer(self.now.as_secs_f64(), (MTU + OVERHEAD) as f64);
        match fate {
            Fate::Leaves(after) => {
                let at = self.now + Duration::from_secs_f64(after) + self.link.path.base_rtt / 2;
                self.at(at, Event::Arrives(flow, pn, self.now));
            }
            Fate::Lost => self.flows[flow].unlucky += 1,
            Fate::Dropped => {}
        }
    }

    fn arrives(&mut self, flow: usize, pn: u64, _sent: Duration) {
        let now = self.now;
        let f = &mut self.flows[flow];
        f.received += PAYLOAD;
        let receiver = &mut f.receiver;
        let gap = receiver.largest.is_some_and(|largest| pn != largest + 1);
        receiver.largest = Some(receiver.largest.map_or(pn, |largest| largest.max(pn)));
        receiver.pending.push(pn);
        receiver.since = now;
        receiver.unacked += 1;
        if receiver.unacked >= receiver.threshold || gap {
            self.acknowledge(flow);
        } else if receiver.unacked == 1 {
            let (at, generation) = (now + receiver.max_delay, receiver.generation);
            self.at(at, Event::HeldAck(flow, generation));
        }
    }

    fn acknowledge(&mut self, flow: usize) {
        let receiver = &mut self.flows[flow].receiver;
        receiver.generation += 1;
        receiver.unacked = 0;
        let delay = self.now - receiver.since;
        if receiver.pending.is_empty() || self.dice.roll() < self.ack_loss {
            return;
        }
        let acked = std::mem::take(&mut receiver.pending);
        let at = self.now + self.link.path.base_rtt / 2;
        self.at(at, Event::Ack(flow, acked, delay));
    }
}
