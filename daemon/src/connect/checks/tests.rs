#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Everybody is another machine.
fn address(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    ([10, 0, high, low], n).into()
}

fn id(n: u64) -> TransactionId {
    let mut id = [0; 12];
    id[..8].copy_from_slice(&n.to_be_bytes());
    id
}

/// Checks of a peer for whom no other search goes on.
#[derive(Default)]
struct Alone {
    checks: Checks,
    allowances: Allowances,
}

impl Alone {
    fn add(&mut self, now: Instant, remotes: impl IntoIterator<Item = SocketAddr>) {
        self.checks.add(now, remotes);
    }

    fn on_request(&mut self, now: Instant, remote: SocketAddr) {
        self.checks.on_request(now, remote, &mut self.allowances);
    }

    fn on_response(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        id: TransactionId,
    ) -> Option<Success> {
        self.checks.on_response(now, remote, id, &mut self.allowances)
    }

    fn restart(&mut self, now: Instant) {
        self.checks.restart(now);
    }

    fn poll(&mut self, now: Instant, id: TransactionId) -> Option<SocketAddr> {
        self.checks.poll(now, id, &mut self.allowances)
    }

    fn timeout(&self) -> Option<Instant> {
        self.checks.timeout(&self.allowances)
    }
}

/// Asks whenever the checks want to be asked, in whole milliseconds.
fn run(checks: &mut Alone, start: Instant, millis: Range<u64>) -> Vec<(u64, u16)> {
    let mut sent = Vec::new();
    let mut now = millis.start;
    while now < millis.end {
        while let Some(remote) = checks.poll(start + MS * u32(now), id(sent.len() as u64)) {
            sent.push((now, remote.port()));
        }
        let Some(next) = checks.timeout() else { break };
        let next = next.saturating_duration_since(start).as_millis();
        now = u64::try_from(next).unwrap().max(now + 1);
    }
    sent
}

fn u32(n: u64) -> u32 {
    n.try_into().unwrap()
}

#[test]
fn requests_are_paced_and_given_up_after_ten() {
    let now = Instant::now();
    let mut checks = Alone::default();
    checks.add(now, (1..=64).map(address));
    let sent = run(&mut checks, now, 0..10_000);
    assert!(sent.windows(2).all(|two| two[1].0 - two[0].0 >= 5));
    assert_eq!(&sent[..3], [(0, 1), (5, 2), (10, 3)]);
    let mut counts = BTreeMap::<u16, u32>::new();
    sent.iter().for_each(|(_, port)| *counts.entry(*port).or_default() += 1);
    assert!(counts.len() == 64 && counts.values().all(|count| *count == 10));
    assert_eq!(checks.timeout(), None);
}

#[test]
fn however_often_and_under_however_many_ports_a_machine_is_named_it_is_asked_ten_times() {
    let start = Instant::now();
    let mut checks = Alone::default();
    let mut sent = 0;
    for restart in 0..100 {
        let millis = restart * 1_000;
        checks.add(start + MS * u32(millis), (1..=64).map(|port| ([192, 0, 2, 1], port).into()));
        sent += run(&mut checks, start, millis..millis + 1_000).len();
        checks.restart(start + MS * u32(millis + 1_000));
    }
    assert_eq!(sent, 10);
    // Another search for the same peer does not begin at zero.
    checks.checks = Checks::default();
    checks.add(start, [([192, 0, 2, 1], 65).into()]);
    assert_eq!(run(&mut checks, start, 100_000..110_000), []);
    checks.allowances.forgive();
    assert_eq!(run(&mut checks, start, 110_000..120_000).len(), 10);
}

#[test]
fn a_server_that_is_late_is_asked_for_as_long_as_anybody_at_both_its_ports() {
    let now = Instant::now();
    let mut checks = Alone { allowances: Allowances::unlimited(), ..Alone::default() };
    checks.add(now, [1, 2].map(|port| ([192, 0, 2, 1], port).into()));
    let sent = run(&mut checks, now, 0..10_000);
    assert_eq!((sent.len(), sent.last().unwrap().0 >= 2050), (20, true));
}

#[test]
fn who_was_named_in_vain_and_is_heard_is_asked() {
    let now = Instant::now();
    let mut checks = Alone::default();
    checks.add(now, [address(1)]);
    assert_eq!(run(&mut checks, now, 0..5_000).len(), 10);
    let later = now + 5_000 * MS;
    checks.restart(later);
    assert_eq!(checks.poll(later, id(90)), None);
    checks.on_request(later, address(1));
    assert_eq!(checks.poll(later, id(91)), Some(address(1)));
    assert!(checks.on_response(later, address(1), id(91)).is_some());
    checks.restart(later + MS);
    assert_eq!(checks.poll(later + 5 * MS, id(92)), Some(address(1)));
}

#[test]
fn who_answered_long_ago_and_asks_again_is_asked_again() {
    let now = Instant::now();
    let mut checks = Alone::default();
    checks.add(now, [address(1)]);
    assert_eq!(checks.poll(now, id(1)), Some(address(1)));
    assert!(checks.on_response(now + MS, address(1), id(1)).is_some());
    checks.on_request(now + MS * 999, address(1));
    assert_eq!(checks.timeout(), None, "that was a moment ago");
    let later = now + MS * 1000;
    checks.on_request(later, address(1));
    assert_eq!(checks.poll(later, id(2)), Some(address(1)));
    assert_eq!(checks.on_response(later + MS, address(1), id(1)), None, "an old answer");
    assert!(checks.on_response(later + MS, address(1), id(2)).is_some());
}

#[test]
fn one_destination_is_asked_ever_more_slowly() {
    let now = Instant::now();
    let mut checks = Alone::default();
    checks.add(now, [address(1)]);
    let times: Vec<_> = run(&mut checks, now, 0..10_000).into_iter().map(|(ms, _)| ms).collect();
    assert_eq!(times, [0, 30, 70, 130, 220, 360, 570, 880, 1350, 2050]);
}

#[test]
fn an_answer_counts_once_and_only_from_where_it_was_asked() {
    let now = Instant::now();
    let mut checks = Alone::default();
    checks.add(now, [address(1), address(2)]);
    assert_eq!(checks.poll(now, id(7)), Some(address(1)));
    assert_eq!(checks.on_response(now, address(2), id(7)), None);
    assert_eq!(checks.on_response(now, address(1), id(8)), None);
    let success = Success { remote: address(1), rtt: 9 * MS };
    assert_eq!(checks.on_response(now + 9 * MS, address(1), id(7)), Some(success));
    assert_eq!(checks.on_response(now + 9 * MS, address(1), id(7)), None);
    let more = run(&mut checks, now, 10..5_000);
    assert!(more.iter().all(|(_, port)| *port == 2));
}

#[test]
fn an_observed_address_is_asked_at_once() {
    let now = Instant::now();
    let mut checks = Alone::default();
    checks.on_request(now, address(9));
    assert_eq!(checks.poll(now, id(1)), Some(address(9)));
    // All its requests were in vain, but it is heard again.
    run(&mut checks, now, 1..5_000);
    let later = now + 6_000 * MS;
    assert_eq!(checks.poll(later, id(2)), None);
    checks.on_request(later, address(9));
    assert_eq!(checks.poll(later, id(3)), Some(address(9)));
    assert!(checks.on_response(later + MS, address(9), id(3)).is_some());
    checks.on_request(later, address(9));
    assert_eq!(checks.timeout(), None);
}

#[test]
fn a_restart_asks_everybody_again() {
    let now = Instant::now();
    let mut checks = Alone::default();
    checks.add(now, [address(1), address(2)]);
    checks.on_request(now, address(3));
    checks.poll(now, id(1));
    checks.on_response(now, address(1), id(1)).unwrap();
    checks.restart(now + 20 * MS);
    let asked: HashSet<_> =
        run(&mut checks, now, 20..40).into_iter().map(|(_, port)| port).collect();
    assert_eq!(asked, HashSet::from([1, 2]));
}

/// One side of a simulated network: a NAT that lets in only whom its host has sent to.
#[derive(Default)]
struct Side {
    checks: Alone,
    sent_to: HashSet<SocketAddr>,
    succeeded: Vec<SocketAddr>,
    ids: u64,
}

/// Two sides behind port-restricted NATs, with loss; returns when both have succeeded.
fn punch(losses: &[bool], delay_ms: u32, skew_ms: u32) -> Option<u32> {
    let start = Instant::now();
    let here = [address(1), address(2)];
    let mut sides = [Side::default(), Side::default()];
    let mut losses = losses.iter().cycle();
    // When, to which side, from where, and whether it is an answer.
    let mut flight: Vec<(u32, usize, TransactionId, bool)> = Vec::new();
    for ms in 0..4_000 {
        let now = start + MS * ms;
        for (n, side) in sides.iter_mut().enumerate() {
            let peer = here[1 - n];
            if ms == skew_ms * u32::try_from(n).unwrap() {
                side.checks.add(now, [peer]);
            }
            while let Some(to) = side.checks.poll(now, id(side.ids)) {
                side.sent_to.insert(to);
                flight.push((ms + delay_ms, 1 - n, id(side.ids), false));
                side.ids += 1;
            }
        }
        let (arrived, rest) = flight.into_iter().partition(|(at, ..)| *at <= ms);
        flight = rest;
        for (_, n, id, answer) in Vec::<(u32, usize, TransactionId, bool)>::from_iter(arrived) {
            let peer = here[1 - n];
            let side = &mut sides[n];
            if *losses.next().unwrap() || !side.sent_to.contains(&peer) {
                continue;
            }
            if answer {
                side.succeeded.extend(side.checks.on_response(now, peer, id).map(|s| s.remote));
            } else {
                side.checks.on_request(now, peer);
                flight.push((ms + delay_ms, 1 - n, id, true));
            }
        }
        if sides.iter().all(|side| !side.succeeded.is_empty()) {
            return Some(ms);
        }
    }
    None
}

#[test]
fn two_nats_are_punched_within_a_few_round_trips() {
    assert!(punch(&[false], 20, 0).unwrap() <= 110);
    assert!(punch(&[false], 20, 40).unwrap() <= 150);
    // Every third packet lost.
    assert!(punch(&[true, false, false], 20, 40).unwrap() <= 400);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn punching_copes_with_loss_delay_and_skew(
        losses in proptest::collection::vec(proptest::bool::weighted(0.2), 101),
        delay_ms in 1..150_u32,
        skew_ms in 0..300_u32,
    ) {
        prop_assert!(punch(&losses, delay_ms, skew_ms).is_some());
    }

    #[test]
    fn whatever_comes_in_nobody_is_asked_without_bound(
        events in proptest::collection::vec((0..200_u16, any::<bool>()), 0..500),
    ) {
        let now = Instant::now();
        let mut checks = Alone::default();
        for (n, request) in events {
            match request {
                true => checks.on_request(now, address(n)),
                false => checks.add(now, [address(n)]),
            }
        }
        prop_assert!(run(&mut checks, now, 0..10_000).len() <= MAX_DESTINATIONS * 10);
    }
}
