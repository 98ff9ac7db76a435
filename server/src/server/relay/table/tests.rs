#![allow(clippy::unwrap_used)]
use super::*;

const SESSION: SessionId = [1; 16];
const KEY: SessionKey = SessionKey::from_bytes([2; 32]);

/// Where the two are registered from, and another place.
const ORIGIN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

/// A table with one session, and the time its tests run on.
struct Relay {
    table: Table,
    now: Instant,
}

fn target(port: u16) -> Target {
    Target { address: SocketAddr::from(([192, 0, 2, 1], port)), local_ip: None }
}

fn party(seed: u8) -> Party {
    Party { identity: IdentityKey::from_bytes([seed; 32]), origin: ORIGIN }
}

fn allocation(session: SessionId) -> Allocation {
    let [caller, callee] = [10, 11].map(party);
    Allocation { session, key: KEY, caller, callee }
}

impl Relay {
    fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        let now = Instant::now();
        let mut table = Table::new(limits, &[3; 32], now);
        assert!(table.allocate(allocation(SESSION), now));
        Self { table, now }
    }

    fn challenge(&mut self, source: Target, session: SessionId) -> Cookie {
        let hello = BindFrame::Hello { session, side: Side::Caller };
        match self.table.bind_frame(&hello, source, ELSEWHERE, self.now) {
            Some(BindFrame::Challenge { cookie, .. }) => cookie,
            other => panic!("{other:?}"),
        }
    }

    fn bind(&mut self, port: u16, side: Side, sequence: u64) -> Option<BindFrame> {
        let cookie = self.challenge(target(port), SESSION);
        let bind = KEY.bind(SESSION, side, sequence, cookie);
        self.table.bind_frame(&bind, target(port), ELSEWHERE, self.now)
    }

    fn bind_both(&mut self) {
        for (port, side) in [(1, Side::Caller), (2, Side::Callee)] {
            let observed = target(port).address;
            let bound = BindFrame::Bound { session: SESSION, observed };
            assert_eq!(self.bind(port, side, 1), Some(bound));
        }
    }

    fn forward(&mut self, port: u16) -> Option<Target> {
        self.table.forward(target(port).address, 1000, 1, self.now)
    }

    fn after(&mut self, pause: Duration) {
        self.now += pause;
        self.table.sweep(self.now);
    }

    fn is_empty(&self) -> bool {
        let Table { sessions, routes, clients, .. } = &self.table;
        sessions.is_empty() && routes.is_empty() && clients.is_empty()
    }
}

#[test]
fn batches_pass_between_the_two_bound_addresses_only() {
    let mut relay = Relay::new();
    assert_eq!(relay.bind(1, Side::Caller, 1).map(|_| ()), Some(()));
    assert_eq!(relay.forward(1), None);
    relay.bind(2, Side::Callee, 1).unwrap();
    assert_eq!(relay.forward(1), Some(target(2)));
    assert_eq!(relay.forward(2), Some(target(1)));
    assert_eq!(relay.forward(3), None);
}

#[test]
fn members_of_different_sessions_never_reach_each_other() {
    let mut relay = Relay::new();
    relay.bind_both();
    assert!(relay.table.allocate(allocation([4; 16]), relay.now));
    let cookie = relay.challenge(target(3), [4; 16]);
    let bind = KEY.bind([4; 16], Side::Caller, 1, cookie);
    relay.table.bind_frame(&bind, target(3), ELSEWHERE, relay.now).unwrap();
    assert_eq!(relay.forward(3), None);
    assert_eq!(relay.forward(1), Some(target(2)));
}

#[test]
fn the_first_bind_needs_no_challenge_from_where_the_client_is_registered() {
    let mut relay = Relay::new();
    let (caller, callee) = (target(1), target(2));
    let first = |side| KEY.bind(SESSION, side, 1, NO_COOKIE);
    let forged = SessionKey::from_bytes([9; 32]).bind(SESSION, Side::Caller, 1, NO_COOKIE);
    assert_eq!(relay.table.bind_frame(&forged, caller, ORIGIN, relay.now), None);
    let bound = BindFrame::Bound { session: SESSION, observed: caller.address };
    let answer = relay.table.bind_frame(&first(Side::Caller), caller, ORIGIN, relay.now);
    assert_eq!(answer, Some(bound));
    let challenged = |answer| matches!(answer, Some(BindFrame::Challenge { .. }));
    let answer = relay.table.bind_frame(&first(Side::Callee), callee, ELSEWHERE, relay.now);
    assert!(challenged(answer), "it is registered from another address");
    let answer = relay.table.bind_frame(&first(Side::Callee), caller, ORIGIN, relay.now);
    assert!(challenged(answer), "the address is somebody's");
    let moved = KEY.bind(SESSION, Side::Caller, 2, NO_COOKIE);
    let answer = relay.table.bind_frame(&moved, target(9), ORIGIN, relay.now);
    assert!(challenged(answer), "only the first");
    assert_eq!(relay.forward(1), None, "nobody else is bound");
}

#[test]
fn a_replayed_bind_is_refused() {
    let mut relay = Relay::new();
    let cookie = relay.challenge(target(1), SESSION);
    let bind = KEY.bind(SESSION, Side::Caller, 5, cookie);
    assert!(relay.table.bind_frame(&bind, target(1), ELSEWHERE, relay.now).is_some());
    assert_eq!(relay.table.bind_frame(&bind, target(1), ELSEWHERE, relay.now), None);
    let older = KEY.bind(SESSION, Side::Caller, 4, cookie);
    assert_eq!(relay.table.bind_frame(&older, target(1), ELSEWHERE, relay.now), None);
    // From another address the cookie does not hold, and a cookie for it needs another MAC.
    assert_eq!(relay.table.bind_frame(&bind, target(9), ELSEWHERE, relay.now), None);
    let BindFrame::Bind { session, side, mac, .. } = bind else { unreachable!() };
    let cookie = relay.challenge(target(9), SESSION);
    let moved = BindFrame::Bind { session, side, sequence: 6, cookie, mac };
    assert_eq!(relay.table.bind_frame(&moved, target(9), ELSEWHERE, relay.now), None);
}

#[test]
fn a_bind_with_another_key_or_an_old_cookie_is_refused() {
    let mut relay = Relay::new();
    let cookie = relay.challenge(target(1), SESSION);
    let forged = SessionKey::from_bytes([9; 32]).bind(SESSION, Side::Caller, 1, cookie);
    assert_eq!(relay.table.bind_frame(&forged, target(1), ELSEWHERE, relay.now), None);

    let bind = KEY.bind(SESSION, Side::Caller, 1, cookie);
    let late = relay.now + COOKIE_LIFETIME + Duration::from_secs(1);
    assert_eq!(relay.table.bind_frame(&bind, target(1), ELSEWHERE, late), None);
    assert!(relay.table.bind_frame(&bind, target(1), ELSEWHERE, relay.now).is_some());
}

#[test]
fn a_side_that_moves_is_followed() {
    let mut relay = Relay::new();
    relay.bind_both();
    relay.bind(7, Side::Callee, 2).unwrap();
    assert_eq!(relay.forward(1), Some(target(7)));
    assert_eq!(relay.forward(7), Some(target(1)));
    assert_eq!(relay.forward(2), None);
    assert_eq!(relay.table.routes.len(), 2);
}

#[test]
fn an_address_is_one_end_of_one_session() {
    let mut relay = Relay::new();
    relay.bind_both();
    relay.bind(1, Side::Callee, 2).unwrap();
    assert_eq!(relay.forward(1), None, "the caller is bound nowhere now");
    assert_eq!(relay.table.routes.len(), 1);
}

#[test]
fn an_unknown_session_is_gone() {
    let mut relay = Relay::new();
    let session = [9; 16];
    let hello = BindFrame::Hello { session, side: Side::Caller };
    let gone = Some(BindFrame::Gone { session });
    assert_eq!(relay.table.bind_frame(&hello, target(1), ELSEWHERE, relay.now), gone);

    let cookie = relay.challenge(target(1), SESSION);
    relay.table.release(&SESSION);
    let bind = KEY.bind(SESSION, Side::Caller, 1, cookie);
    let gone = Some(BindFrame::Gone { session: SESSION });
    assert_eq!(relay.table.bind_frame(&bind, target(1), ELSEWHERE, relay.now), gone);
    assert!(relay.is_empty());
}

#[test]
fn frames_only_a_relay_sends_are_ignored() {
    let mut relay = Relay::new();
    for frame in [
        BindFrame::Challenge { session: SESSION, cookie: [0; 24] },
        BindFrame::Bound { session: SESSION, observed: target(1).address },
        BindFrame::Gone { session: SESSION },
    ] {
        assert_eq!(relay.table.bind_frame(&frame, target(1), ELSEWHERE, relay.now), None);
    }
}

#[test]
fn a_session_that_nothing_passes_expires() {
    let mut relay = Relay::new();
    relay.bind_both();
    let idle = Limits::default().relay_idle();
    relay.after(idle - Duration::from_millis(1));
    assert_eq!(relay.forward(1), Some(target(2)));
    relay.after(idle - Duration::from_millis(1));
    assert_eq!(relay.forward(2), Some(target(1)));
    relay.after(idle);
    assert_eq!(relay.forward(1), None);
    assert!(relay.is_empty());
}

#[test]
fn a_session_that_one_side_does_not_bind_expires_sooner() {
    let mut relay = Relay::new();
    relay.bind(1, Side::Caller, 1).unwrap();
    relay.after(Limits::default().relay_setup());
    assert!(relay.is_empty());
}

#[test]
fn sessions_are_limited_in_all_and_per_caller() {
    let limits = Limits { relay_sessions: 3, relay_sessions_per_client: 2, ..Limits::default() };
    let mut relay = Relay::with_limits(limits);
    let now = relay.now;
    assert!(relay.table.allocate(allocation([2; 16]), now));
    assert!(!relay.table.allocate(allocation([3; 16]), now));
    let caller = party(20);
    let from_other = |session| Allocation { caller, ..allocation(session) };
    assert!(relay.table.allocate(from_other([4; 16]), now));
    assert!(!relay.table.allocate(from_other([5; 16]), now));
    relay.table.release(&SESSION);
    assert!(relay.table.allocate(from_other([5; 16]), now));
}

#[test]
fn what_exceeds_the_session_or_the_client_is_dropped() {
    let amount = |number| std::num::NonZeroU32::new(number).unwrap();
    let narrow = crate::config::Throughput { bytes: amount(70_000), packets: amount(1000) };
    for limits in [
        Limits { relay_session: narrow, ..Limits::default() },
        Limits { relay_client: narrow, ..Limits::default() },
    ] {
        let mut relay = Relay::with_limits(limits);
        relay.bind_both();
        let source = target(1).address;
        let now = relay.now;
        assert!(relay.table.forward(source, 60_000, 40, now).is_some());
        assert!(relay.table.forward(source, 60_000, 40, now).is_none());
        let later = now + Duration::from_secs(1);
        assert!(relay.table.forward(source, 60_000, 40, later).is_some());
    }
}
