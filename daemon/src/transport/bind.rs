//! The client's half of a relay bind, sans-IO: when to ask, what to answer, when to give up.
//!
//! The state is handed the time and frames, and says what to send and when to be asked again.

use std::time::{Duration, Instant};

use filefleet_server::protos::relay::{BindFrame, Cookie, NO_COOKIE, SessionId, SessionKey, Side};

/// After this long without a packet from the peer the bind is renewed, so that a flushed NAT
/// mapping heals; while the silence lasts it is renewed ever less often.
const SILENCE: Duration = Duration::from_secs(1);
const MAX_SILENCE: Duration = Duration::from_secs(5);
/// Unanswered requests are sent again after this, then after twice this, and so on.
const RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_secs(2);

/// What the relay knows of this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Unbound,
    /// This side's address; packets flow once the other side is bound too.
    Bound,
    /// There is no such session, or no longer.
    Gone,
}

/// One side's bind of one relay session.
#[derive(Debug)]
pub struct Bind {
    session: SessionId,
    key: SessionKey,
    side: Side,
    sequence: u64,
    state: State,
    /// When to say Hello, again, or to renew; the first time a Bind without a cookie.
    hello_at: Option<Instant>,
    retry: Duration,
    silence: Duration,
}

impl Bind {
    /// Begins at once.
    pub fn new(session: SessionId, key: SessionKey, side: Side, now: Instant) -> Self {
        Self {
            session,
            key,
            side,
            sequence: 0,
            state: State::Unbound,
            hello_at: Some(now),
            retry: RETRY,
            silence: SILENCE,
        }
    }

    /// How far the handshake is.
    pub fn state(&self) -> State {
        self.state
    }

    /// When [`poll`](Self::poll) has something to say next.
    pub fn timeout(&self) -> Option<Instant> {
        self.hello_at
    }

    /// What to send now, if anything.
    pub fn poll(&mut self, now: Instant) -> Option<BindFrame> {
        self.hello_at.filter(|at| *at <= now)?;
        // Until Bound comes, Hello is said again; each begins a fresh challenge.
        self.hello_at = Some(now + self.retry);
        self.retry = (self.retry * 2).min(MAX_RETRY);
        if self.sequence == 0 {
            return Some(self.bind(NO_COOKIE));
        }
        Some(BindFrame::Hello { session: self.session, side: self.side })
    }

    /// A frame from the relay came in; returns the answer, if it asks for one.
    pub fn handle(&mut self, now: Instant, frame: &BindFrame) -> Option<BindFrame> {
        match frame {
            BindFrame::Challenge { session, cookie } if *session == self.session => {
                Some(self.bind(*cookie))
            }
            BindFrame::Bound { session, .. } if *session == self.session => {
                self.state = State::Bound;
                self.retry = RETRY;
                self.hello_at = Some(now + self.silence);
                self.silence = (self.silence * 2).min(MAX_SILENCE);
                None
            }
            BindFrame::Gone { session } if *session == self.session => {
                self.state = State::Gone;
                self.hello_at = None;
                None
            }
            _ => None,
        }
    }

    fn bind(&mut self, cookie: Cookie) -> BindFrame {
        self.sequence += 1;
        self.key.bind(self.session, self.side, self.sequence, cookie)
    }

    /// The network has changed: the relay is to learn our new address at once.
    pub fn renew(&mut self, now: Instant) {
        if self.state != State::Gone {
            self.hello_at = Some(now);
            self.retry = RETRY;
            self.silence = SILENCE;
        }
    }

    /// The last packet of the peer came at `last`: as long as they come, nothing is renewed.
    pub fn heard(&mut self, last: Instant) {
        if self.state == State::Bound {
            self.silence = SILENCE;
            self.retry = RETRY;
            self.hello_at = self.hello_at.max(Some(last + SILENCE));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SESSION: SessionId = [3; 16];
    const MS: Duration = Duration::from_millis(1);

    fn bind(now: Instant) -> Bind {
        Bind::new(SESSION, SessionKey::from_bytes([7; 32]), Side::Caller, now)
    }

    fn bound() -> BindFrame {
        BindFrame::Bound { session: SESSION, observed: "192.0.2.1:9".parse().unwrap() }
    }

    fn sequence_of(frame: Option<BindFrame>) -> u64 {
        match frame {
            Some(BindFrame::Bind { sequence, .. }) => sequence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn binds_at_once_answers_the_challenge_and_is_bound() {
        let now = Instant::now();
        let mut bind = bind(now);
        assert!(matches!(bind.poll(now), Some(BindFrame::Bind { cookie: NO_COOKIE, .. })));
        let challenge = BindFrame::Challenge { session: SESSION, cookie: [1; 24] };
        assert_eq!(sequence_of(bind.handle(now, &challenge)), 2);
        assert_eq!(bind.handle(now, &bound()), None);
        assert_eq!(bind.state(), State::Bound);
    }

    #[test]
    fn a_lost_packet_is_made_good_with_growing_pauses_and_sequence() {
        let now = Instant::now();
        let mut bind = bind(now);
        let challenge = BindFrame::Challenge { session: SESSION, cookie: [1; 24] };
        let mut sent = Vec::new();
        let mut last = 0;
        for ms in 0..2_000 {
            if bind.poll(now + MS * ms).is_some() {
                sent.push(ms);
                let sequence = sequence_of(bind.handle(now + MS * ms, &challenge));
                assert!(sequence > last);
                last = sequence;
            }
        }
        assert_eq!(sent, [0, 100, 300, 700, 1500]);
    }

    #[test]
    fn silence_renews_and_traffic_does_not() {
        let now = Instant::now();
        let mut bind = bind(now);
        bind.poll(now);
        bind.handle(now, &bound());
        let mut hellos = Vec::new();
        for ms in 0..12_000 {
            let at = now + MS * ms;
            if ms < 3_000 {
                bind.heard(at);
            }
            if bind.poll(at).is_some() {
                hellos.push(ms);
                bind.handle(at, &bound());
            }
        }
        assert_eq!(hellos, [3_999, 4_999, 6_999, 10_999]);
    }

    #[test]
    fn a_change_of_the_network_renews_at_once() {
        let now = Instant::now();
        let mut bind = bind(now);
        bind.poll(now);
        bind.handle(now, &bound());
        assert_eq!(bind.poll(now + MS), None);
        bind.renew(now + MS);
        assert!(matches!(bind.poll(now + MS), Some(BindFrame::Hello { .. })));
        bind.handle(now, &BindFrame::Gone { session: SESSION });
        bind.renew(now + 2 * MS);
        assert_eq!(bind.poll(now + 2 * MS), None);
    }

    #[test]
    fn gone_is_final_and_other_sessions_frames_mean_nothing() {
        let now = Instant::now();
        let mut bind = bind(now);
        bind.handle(now, &BindFrame::Gone { session: [9; 16] });
        assert_eq!(bind.state(), State::Unbound);
        bind.handle(now, &BindFrame::Gone { session: SESSION });
        assert_eq!((bind.state(), bind.timeout()), (State::Gone, None));
    }
}
