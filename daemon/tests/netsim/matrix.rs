//! Every kind of NAT against every other: how soon the first byte flows, and how soon it flows
//! directly.

use std::env;
use std::time::{Duration, Instant};

use crate::support::{Behaviour, Nat, Network, Pair, is_direct, lacks_namespaces};

/// From the send to the first byte of the file, whichever way it takes.
const FIRST_BYTE: Duration = Duration::from_secs(1);
/// From the send to the first byte over a direct link.
const DIRECT: Duration = Duration::from_secs(5);
/// The same where ports have to be guessed, which may take two rounds.
const GUESSED: Duration = Duration::from_secs(15);

#[test]
fn each_nat_behaves_as_its_kind_does() {
    if lacks_namespaces() {
        return;
    }
    let behaves = |one_mapping, takes_unasked| Behaviour { one_mapping, takes_unasked };
    for (nat, expected) in [
        (Nat::None, behaves(true, true)),
        (Nat::Open, behaves(true, true)),
        (Nat::Moderate, behaves(true, false)),
        (Nat::Strict, behaves(false, false)),
    ] {
        let network = Network::between(nat, nat);
        for computer in [&network.alice, &network.bob] {
            let found = Behaviour::of(computer, &network.server, network.server_ip);
            assert_eq!(found, expected, "{nat:?}");
        }
    }
}

#[test]
fn without_a_nat_everybody_is_reached_directly() {
    reaches_all(Nat::None);
}

#[test]
fn behind_an_open_nat_everybody_is_reached_directly() {
    reaches_all(Nat::Open);
}

#[test]
fn behind_a_moderate_nat_everybody_is_reached_directly() {
    reaches_all(Nat::Moderate);
}

#[test]
fn behind_a_strict_nat_everybody_but_those_behind_another_is_reached_directly() {
    reaches_all(Nat::Strict);
}

/// Sends from behind one kind of NAT to behind every kind.
#[allow(clippy::print_stderr, reason = "these are the figures")]
fn reaches_all(alices: Nat) {
    if lacks_namespaces() {
        return;
    }
    for _ in 0..rounds() {
        for bobs in Nat::ALL {
            let limit = limit(alices, bobs);
            let found = send(alices, bobs);
            eprintln!("{alices:?} to {bobs:?}: {found:?}");
            assert!(found.first_byte < FIRST_BYTE, "{alices:?} to {bobs:?}: {found:?}");
            assert!(found.direct <= limit, "{alices:?} to {bobs:?}: {found:?}");
        }
    }
}

/// One, or as many as `packaging/dev/test.sh --long` wants.
fn rounds() -> u32 {
    let rounds = env::var("FILEFLEET_TEST_ROUNDS");
    rounds.map_or(1, |rounds| rounds.parse().expect("FILEFLEET_TEST_ROUNDS is a number"))
}

/// How long a direct way may take; `None` where there is none.
fn limit(alices: Nat, bobs: Nat) -> Option<Duration> {
    match (alices, bobs) {
        (Nat::Strict, Nat::Strict) => None,
        (Nat::Strict, Nat::Moderate) | (Nat::Moderate, Nat::Strict) => Some(GUESSED),
        _ => Some(DIRECT),
    }
}

/// How long after the send.
#[derive(Debug)]
struct Found {
    first_byte: Duration,
    direct: Option<Duration>,
}

fn send(alices: Nat, bobs: Nat) -> Found {
    let network = Network::between(alices, bobs);
    let pair = Pair::on(&network);
    let film = pair.long_film();
    let mut watching = pair.alice.watch();
    let start = Instant::now();
    let sending = pair.alice.send("bob", film);
    watching.until("transfer", |transfer| transfer["bytes_done"].as_u64() > Some(0));
    let first_byte = start.elapsed();
    let direct = limit(alices, bobs).map(|_| {
        watching.until("transfer", is_direct);
        start.elapsed()
    });
    sending.interrupt();
    sending.end();
    Found { first_byte, direct }
}
