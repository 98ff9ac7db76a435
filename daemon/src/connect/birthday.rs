//! Guessing ports, sans-IO: the way between a NAT that maps every destination to another random
//! port (a *dependent* mapping) and one that lets in only what it has sent something to.
//!
//! The side behind the former *scatters*: it opens many sockets, and each sends to the one address
//! of the other side, so that as many random ports wait for an answer from there. The other side
//! *guesses* ports from that address. With 256 sockets, 1,024 guesses hit with a probability of
//! 98 % (the birthday paradox; `anchors.md`). Whatever does not hit falls on a NAT that drops it.
//!
//! Both sides begin at about the same time and know nothing of each other's progress. If the first
//! round finds nothing, sockets and guesses are fresh in a second one, and then it is over.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Sockets of the side that scatters.
pub const MAX_SOCKETS: u16 = 256;
/// Guesses in one round.
pub const MAX_GUESSES: u16 = 2048;
/// Between two guesses: at most 500 per second.
const GUESS_PACE: Duration = Duration::from_millis(2);
/// Between two sockets: the tables of cheap routers are slow and small.
const SCATTER_PACE: Duration = Duration::from_millis(4);
/// How long guesses wait for the first sockets.
const LEAD: Duration = Duration::from_millis(300);
/// From the start of a round to the next: the guesses, and what the other side is late.
const ROUND: Duration = Duration::from_secs(6);
const ROUNDS: u8 = 2;
/// NATs pick from what is above the well-known ports.
const FIRST_PORT: u16 = 1024;
const PORTS: u64 = 65_536 - 1024;

/// Whether a NAT shows all destinations one address (RFC 4787 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// It does, or there is no NAT.
    Independent,
    /// Every destination sees another port.
    Dependent,
}

/// What one side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Opens sockets.
    Scatter,
    /// Guesses their ports.
    Guess,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A new round: the sockets of the last one are of no use any more.
    Clear,
    /// Open another socket and send from it.
    Open,
    /// Send to this port.
    Guess(u16),
    /// Nothing more, ever.
    Over,
}

/// One side's attempt.
#[derive(Debug)]
pub struct Birthday {
    part: Part,
    /// The round that runs; 0 before the first.
    round: u8,
    round_at: Instant,
    /// Steps done in this round.
    done: u16,
    /// Guesses `i` of all rounds are for port `first + i * stride`: no port twice.
    first: u64,
    stride: u64,
}

impl Mapping {
    /// What two ports of a server have seen, each with the address it saw. `None` while only one
    /// has, or none an IPv4 address. (The server's own may be of IPv6, with a translator between.)
    pub fn seen(seen: &[(SocketAddr, SocketAddr)]) -> Option<Self> {
        let seen = || seen.iter().filter(|(_, mapped)| mapped.is_ipv4());
        let (first, mapped) = seen().next()?;
        let mut others = seen().filter(|(server, _)| server.ip() == first.ip() && server != first);
        let (_, other) = others.next()?;
        Some(if mapped == other { Self::Independent } else { Self::Dependent })
    }
}

impl Part {
    /// What a side does, given its own NAT's mapping and the other's; `None` if there is no need
    /// to guess, or no hope.
    pub fn of(ours: Option<Mapping>, theirs: Option<Mapping>) -> Option<Self> {
        match (ours?, theirs?) {
            (Mapping::Dependent, Mapping::Independent) => Some(Self::Scatter),
            (Mapping::Independent, Mapping::Dependent) => Some(Self::Guess),
            _ => None,
        }
    }
}

impl Birthday {
    /// Begins at once; the order of the guesses follows from `random`.
    pub fn new(part: Part, now: Instant, random: u64) -> Self {
        let stride = (random >> 32) % PORTS;
        let stride = (stride..).find(|stride| is_coprime(*stride)).expect("the next prime is");
        Self { part, round: 0, round_at: now, done: 0, first: random % PORTS, stride }
    }

    /// When [`poll`](Self::poll) has something to say next.
    pub fn timeout(&self) -> Instant {
        if self.round == 0 {
            return self.round_at;
        }
        let (most, lead, pace) = match self.part {
            Part::Scatter => (MAX_SOCKETS, Duration::ZERO, SCATTER_PACE),
            Part::Guess => (MAX_GUESSES, LEAD, GUESS_PACE),
        };
        match self.done < most {
            true => self.round_at + lead + pace * u32::from(self.done),
            false => self.round_at + ROUND,
        }
    }

    /// What is to be done now, if anything is.
    pub fn poll(&mut self, now: Instant) -> Option<Step> {
        if self.timeout() > now {
            return None;
        }
        if self.round == 0 || now >= self.round_at + ROUND {
            return Some(self.next_round(now));
        }
        let step = match self.part {
            Part::Scatter => Step::Open,
            Part::Guess => Step::Guess(self.port()),
        };
        self.done += 1;
        Some(step)
    }

    fn next_round(&mut self, now: Instant) -> Step {
        if self.round == ROUNDS {
            return Step::Over;
        }
        (self.round, self.round_at, self.done) = (self.round + 1, now, 0);
        Step::Clear
    }

    fn port(&self) -> u16 {
        let before = u64::from(self.round - 1) * u64::from(MAX_GUESSES);
        let offset = (self.first + (before + u64::from(self.done)) * self.stride) % PORTS;
        FIRST_PORT + u16::try_from(offset).expect("is less than the number of ports")
    }
}

/// Whether multiples of it reach every port: 64,512 is 2¹⁰ · 3² · 7.
fn is_coprime(stride: u64) -> bool {
    [2, 3, 7].iter().all(|prime| !stride.is_multiple_of(*prime))
}

#[cfg(test)]
mod tests;
