//! Connectivity checks, sans-IO: whom to send a STUN Binding request and when, and which answers
//! count. The state is handed the time and what came in; it has no socket and no keys.
//!
//! Unlike ICE (RFC 8445) nothing is nominated and every destination that answers is kept. All
//! requests leave from one socket, so that a candidate pair is known by its remote address.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use filefleet_server::protos::stun::TransactionId;

use super::allowance::{Allowances, Reason};

/// Between any two requests (RFC 8445 section 14.2 has 50 ms, for many agents on slow links).
const PACE: Duration = Duration::from_millis(5);
/// When a destination is asked, after its first request: a single loss must not cost seconds. Nobody
/// is asked more often in vain, see [`Allowances`].
const SCHEDULE_MS: [u64; 10] = [0, 30, 70, 130, 220, 360, 570, 880, 1350, 2050];
/// Requests to one destination that are remembered.
const MAX_UNANSWERED: usize = 16;
/// Who has answered and asks again after this long is asked again, too: the peer may be looking for
/// a path because the one there was is broken.
const ANSWER_AGE: Duration = Duration::from_secs(1);
/// Destinations at most: what the peer may offer, and as many again that are only observed.
const MAX_DESTINATIONS: usize = 2 * super::candidate::MAX_CANDIDATES;

/// A destination has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Success {
    /// Which one.
    pub remote: SocketAddr,
    /// From the request to its answer.
    pub rtt: Duration,
}

/// The checks of one search for a peer. What they may ask is in its [`Allowances`], which all its
/// searches share.
#[derive(Debug, Default)]
pub struct Checks {
    /// In the order in which they are first asked.
    destinations: Vec<Destination>,
    /// No request leaves before.
    earliest: Option<Instant>,
}

#[derive(Debug)]
struct Destination {
    remote: SocketAddr,
    /// Whether it is known only because a request came from there (peer-reflexive).
    observed: bool,
    /// Why it is asked at present.
    reason: Reason,
    started: Instant,
    /// How often since `started`.
    asked: usize,
    /// The last requests, which may still be answered.
    sent: VecDeque<(TransactionId, Instant)>,
    rtt: Option<Duration>,
}

impl Checks {
    /// Forgets where the peer may be.
    pub fn clear(&mut self) {
        self.destinations.clear();
    }

    /// Adds destinations, to be asked in this order; those that are known already stay as they are.
    pub fn add(&mut self, now: Instant, remotes: impl IntoIterator<Item = SocketAddr>) {
        for remote in remotes {
            match self.find(remote) {
                Some(known) => known.observed = false,
                None => self.insert(Destination::new(remote, false, now)),
            }
        }
    }

    /// An authenticated request came from `remote`: it is asked at once, wherever it is (a
    /// triggered check, RFC 8445 section 7.3.1.4).
    pub fn on_request(&mut self, now: Instant, remote: SocketAddr, allowances: &mut Allowances) {
        allowances.heard(now, remote.ip(), Reason::Heard);
        match self.find(remote) {
            Some(known) if known.answered_lately(now) => {}
            Some(known) => {
                (known.started, known.asked, known.rtt) = (now, 0, None);
                known.reason = Reason::Heard;
            }
            None => self.insert(Destination::new(remote, true, now)),
        }
    }

    /// An authenticated response came. It counts once, if it answers a request to where it came
    /// from (RFC 8445 section 7.2.5.2.1).
    pub fn on_response(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        id: TransactionId,
        allowances: &mut Allowances,
    ) -> Option<Success> {
        let destination = self.find(remote).filter(|known| known.rtt.is_none())?;
        let (_, sent) = destination.sent.iter().find(|(sent, _)| *sent == id)?;
        let rtt = now.saturating_duration_since(*sent);
        destination.rtt = Some(rtt);
        // None of them counts again when it is asked anew.
        destination.sent.clear();
        allowances.answered(now, remote.ip());
        Some(Success { remote, rtt })
    }

    /// Asks everybody again, as when a link died or the network changed.
    pub fn restart(&mut self, now: Instant) {
        self.destinations.retain(|known| !known.observed || known.rtt.is_some());
        for known in &mut self.destinations {
            *known = Destination::new(known.remote, known.observed, now);
        }
    }

    /// The next request that is due, if any, under the given transaction id.
    pub fn poll(
        &mut self,
        now: Instant,
        id: TransactionId,
        allowances: &mut Allowances,
    ) -> Option<SocketAddr> {
        if self.earliest.is_some_and(|earliest| earliest > now) {
            return None;
        }
        let due = self.destinations.iter_mut().filter(|known| known.rtt.is_none());
        let due = due.filter_map(|known| Some((known.next_at(allowances)?, known)));
        let (_, next) = due.filter(|(at, _)| *at <= now).min_by_key(|(at, _)| *at)?;
        let (remote, reason) = (next.remote, next.reason);
        next.sent.push_back((id, now));
        if next.sent.len() > MAX_UNANSWERED {
            next.sent.pop_front();
        }
        next.asked += 1;
        self.earliest = Some(now + PACE);
        allowances.spend(now, remote.ip(), reason);
        Some(remote)
    }

    /// When [`poll`](Self::poll) has something to say next.
    pub fn timeout(&self, allowances: &Allowances) -> Option<Instant> {
        let open = self.destinations.iter().filter(|known| known.rtt.is_none());
        let next = open.filter_map(|known| known.next_at(allowances)).min()?;
        Some(self.earliest.map_or(next, |earliest| earliest.max(next)))
    }

    fn find(&mut self, remote: SocketAddr) -> Option<&mut Destination> {
        self.destinations.iter_mut().find(|known| known.remote == remote)
    }

    fn insert(&mut self, destination: Destination) {
        if self.destinations.len() < MAX_DESTINATIONS {
            self.destinations.push(destination);
        }
    }
}

impl Destination {
    fn answered_lately(&self, now: Instant) -> bool {
        self.rtt.is_some() && now.saturating_duration_since(self.started) < ANSWER_AGE
    }

    fn new(remote: SocketAddr, observed: bool, now: Instant) -> Self {
        let reason = if observed { Reason::Heard } else { Reason::Named };
        Self { remote, observed, reason, started: now, asked: 0, sent: VecDeque::new(), rtt: None }
    }

    /// When the next request is due; `None` after the last.
    fn next_at(&self, allowances: &Allowances) -> Option<Instant> {
        let due = self.started + Duration::from_millis(*SCHEDULE_MS.get(self.asked)?);
        let allowed = allowances.earliest(self.remote.ip(), self.reason);
        Some(allowed.map_or(due, |allowed| due.max(allowed)))
    }
}

#[cfg(test)]
mod tests;
