//! The relay's sessions and who is bound to them, without sockets or clocks.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::meter::Meter;
use crate::{
    config::Limits,
    protos::{
        certificate::IdentityKey,
        relay::{
            BindFrame, Cookie, CookieKey, Mac, NO_COOKIE, SessionId, SessionKey, Side, Verifier,
        },
    },
    server::registry::Party,
};

/// How long a challenge can be answered.
const COOKIE_LIFETIME: Duration = Duration::from_secs(10);

/// All sessions of a relay.
#[derive(Debug)]
pub(super) struct Table {
    limits: Limits,
    cookies: CookieKey,
    start: Instant,
    sessions: HashMap<SessionId, RelaySession>,
    routes: HashMap<SocketAddr, (SessionId, Side)>,
    clients: HashMap<IdentityKey, Usage>,
}

/// What the server allocates for a call.
#[derive(Debug)]
pub(in crate::server) struct Allocation {
    pub(in crate::server) session: SessionId,
    pub(in crate::server) key: SessionKey,
    pub(in crate::server) caller: Party,
    pub(in crate::server) callee: Party,
}

/// Where a batch goes, and from which of the relay's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) local_ip: Option<IpAddr>,
}

#[derive(Debug)]
struct RelaySession {
    verifier: Verifier,
    meter: Meter,
    caller: End,
    callee: End,
    created: Instant,
    last_use: Instant,
}

#[derive(Debug)]
struct End {
    client: IdentityKey,
    /// What comes from there needs no challenge to begin with.
    origin: IpAddr,
    target: Option<Target>,
    /// The largest sequence of a valid bind; a copy of that bind is not larger.
    last_sequence: Option<u64>,
}

/// What one client has of the relay.
#[derive(Debug)]
struct Usage {
    sessions: u32,
    meter: Meter,
}

impl Table {
    pub(super) fn new(limits: Limits, cookie_secret: &[u8; 32], now: Instant) -> Self {
        Self {
            limits,
            cookies: CookieKey::new(cookie_secret),
            start: now,
            sessions: HashMap::new(),
            routes: HashMap::new(),
            clients: HashMap::new(),
        }
    }

    /// Makes a session; `false` if the relay or the caller has as many as allowed. (Not the
    /// callee: else anybody could use up anybody's share.)
    pub(super) fn allocate(&mut self, allocation: Allocation, now: Instant) -> bool {
        let Allocation { session, key, caller, callee } = allocation;
        let made = self.clients.get(&caller.identity).map_or(0, |usage| usage.sessions);
        if self.sessions.len() >= self.limits.relay_sessions
            || made >= self.limits.relay_sessions_per_client
        {
            return false;
        }
        for client in [caller.identity, callee.identity] {
            let meter = Meter::new(self.limits.relay_client, now);
            self.clients.entry(client).or_insert(Usage { sessions: 0, meter }).sessions += 1;
        }
        let end = |Party { identity: client, origin }| End {
            client,
            origin,
            target: None,
            last_sequence: None,
        };
        let relay_session = RelaySession {
            verifier: key.verifier(),
            meter: Meter::new(self.limits.relay_session, now),
            caller: end(caller),
            callee: end(callee),
            created: now,
            last_use: now,
        };
        self.sessions.insert(session, relay_session);
        true
    }

    /// Ends a session.
    pub(super) fn release(&mut self, session: &SessionId) {
        let Some(released) = self.sessions.remove(session) else { return };
        for end in [&released.caller, &released.callee] {
            if let Some(target) = end.target {
                self.routes.remove(&target.address);
            }
            if let Some(usage) = self.clients.get_mut(&end.client) {
                usage.sessions -= 1;
                if usage.sessions == 0 {
                    self.clients.remove(&end.client);
                }
            }
        }
    }

    /// Ends the sessions that nothing passes, or that one side did not bind in time.
    pub(super) fn sweep(&mut self, now: Instant) {
        let (idle, setup) = (self.limits.relay_idle(), self.limits.relay_setup());
        let over: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_over(idle, setup, now))
            .map(|(id, _)| *id)
            .collect();
        for session in over {
            self.release(&session);
        }
    }

    /// Where a batch from this source goes; `None` drops it.
    pub(super) fn forward(
        &mut self,
        source: SocketAddr,
        bytes: u64,
        packets: u64,
        now: Instant,
    ) -> Option<Target> {
        let (id, side) = self.routes.get(&source)?;
        let session = self.sessions.get_mut(id)?;
        let usage = self.clients.get_mut(&session.end(*side).client)?;
        let target = session.end(side.other()).target?;
        session.last_use = now;
        // The client's share is not charged for what the session's limit drops.
        (session.meter.admits(bytes, packets, now) && usage.meter.admits(bytes, packets, now))
            .then_some(target)
    }

    /// Handles a frame of the bind handshake; what to answer, if anything. `origin` is where the
    /// source's packets come from.
    pub(super) fn bind_frame(
        &mut self,
        frame: &BindFrame,
        source: Target,
        origin: IpAddr,
        now: Instant,
    ) -> Option<BindFrame> {
        match *frame {
            BindFrame::Hello { session, .. } => Some(self.challenge(session, source, now)),
            BindFrame::Bind { session, side, sequence, cookie, mac } => {
                // Nor does anybody take the address of another's bind without showing that it is his.
                let is_taken = self.routes.contains_key(&source.address);
                if cookie == NO_COOKIE && (is_taken || !self.expects(&session, side, origin)) {
                    return Some(self.challenge(session, source, now));
                }
                if cookie != NO_COOKIE && !self.is_fresh(&cookie, source, &session, now) {
                    return None;
                }
                let Some(relay_session) = self.sessions.get(&session) else {
                    return Some(BindFrame::Gone { session });
                };
                relay_session
                    .admits(&session, side, sequence, &cookie, &mac)
                    .then(|| self.bind(session, side, sequence, source, now))
            }
            BindFrame::Challenge { .. } | BindFrame::Bound { .. } | BindFrame::Gone { .. } => None,
        }
    }

    fn bind(
        &mut self,
        id: SessionId,
        side: Side,
        sequence: u64,
        source: Target,
        now: Instant,
    ) -> BindFrame {
        // An address is one end of one session: what it was before is over.
        if let Some((other, side)) = self.routes.insert(source.address, (id, side))
            && let Some(session) = self.sessions.get_mut(&other)
        {
            session.end_mut(side).target = None;
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.last_use = now;
            let end = session.end_mut(side);
            end.last_sequence = Some(sequence);
            if let Some(before) = end.target.replace(source)
                && before.address != source.address
            {
                self.routes.remove(&before.address);
            }
        }
        BindFrame::Bound { session: id, observed: source.address }
    }

    /// Whether the client of this side is registered from there, and has not bound yet.
    fn expects(&self, session: &SessionId, side: Side, origin: IpAddr) -> bool {
        let end = self.sessions.get(session).map(|session| session.end(side));
        end.is_some_and(|end| end.origin == origin && end.last_sequence.is_none())
    }

    fn challenge(&self, session: SessionId, source: Target, now: Instant) -> BindFrame {
        match self.sessions.contains_key(&session) {
            true => BindFrame::Challenge { session, cookie: self.cookie(source, &session, now) },
            false => BindFrame::Gone { session },
        }
    }

    fn cookie(&self, source: Target, session: &SessionId, now: Instant) -> Cookie {
        self.cookies.issue(source.address, session, self.clock(now).as_secs())
    }

    fn is_fresh(&self, cookie: &Cookie, source: Target, session: &SessionId, now: Instant) -> bool {
        let issued = self.cookies.issued_at(cookie, source.address, session);
        issued.is_some_and(|seconds| {
            self.clock(now).saturating_sub(Duration::from_secs(seconds)) <= COOKIE_LIFETIME
        })
    }

    fn clock(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}

impl RelaySession {
    fn end(&self, side: Side) -> &End {
        match side {
            Side::Caller => &self.caller,
            Side::Callee => &self.callee,
        }
    }

    fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        }
    }

    /// Whether a bind knows the key and is newer than the last one.
    fn admits(
        &self,
        id: &SessionId,
        side: Side,
        sequence: u64,
        cookie: &Cookie,
        mac: &Mac,
    ) -> bool {
        self.end(side).last_sequence.is_none_or(|last| sequence > last)
            && self.verifier.verify(id, side, sequence, cookie, mac)
    }

    fn is_over(&self, idle: Duration, setup: Duration, now: Instant) -> bool {
        let is_bound = self.caller.target.is_some() && self.callee.target.is_some();
        let (since, limit) = if is_bound { (self.last_use, idle) } else { (self.created, setup) };
        now.saturating_duration_since(since) >= limit
    }
}

#[cfg(test)]
mod tests;
