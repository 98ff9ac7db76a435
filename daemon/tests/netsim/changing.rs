//! The network changes under a transfer that runs over a direct link: it goes on by itself.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{MovingNetwork, Pair, is_direct, lacks_namespaces};

/// From the return of the network to the next content that arrives.
const GOES_ON: Duration = Duration::from_secs(3);
/// More than is on its way at any time: what arrives beyond it was sent after the change.
const ON_ITS_WAY: u64 = 4 << 20;
/// How often it may take longer, as on a machine that has other work.
const SECOND_CHANCES: u32 = 2;

#[test]
fn a_new_address_on_the_same_network_is_taken_into_use() {
    goes_on("new address", MovingNetwork::renumber);
}

#[test]
fn another_router_is_taken_into_use() {
    goes_on("other router", MovingNetwork::replug);
}

#[test]
fn what_a_nat_forgets_is_made_anew() {
    goes_on("NAT flushed", MovingNetwork::flush);
}

#[test]
fn after_ten_seconds_without_a_network_it_goes_on() {
    goes_on("link down for 10 s", |network| {
        network.unplug();
        // This is how long the outage lasts; nothing is waited for.
        thread::sleep(Duration::from_secs(10));
        network.plug();
    });
}

#[allow(clippy::print_stderr, reason = "these are the figures")]
fn goes_on(what: &str, change: impl Fn(&MovingNetwork)) {
    if lacks_namespaces() {
        return;
    }
    let mut passed = Duration::MAX;
    for _ in 0..=SECOND_CHANCES {
        if passed >= GOES_ON {
            passed = pass(&change);
            eprintln!("{what}: goes on after {passed:?}");
        }
    }
    assert!(passed < GOES_ON, "{what}: {passed:?}");
}

/// Changes the network under a transfer; how long after it content arrives that was sent since.
fn pass(change: impl Fn(&MovingNetwork)) -> Duration {
    let lab = MovingNetwork::new();
    let pair = Pair::on(&lab.network);
    let film = pair.long_film();
    let mut watching = pair.alice.watch();
    let sending = pair.alice.send("bob", film);
    let before = done(&watching.until("transfer", is_direct));
    change(&lab);
    let start = Instant::now();
    watching.until("transfer", |transfer| done(transfer) > before + ON_ITS_WAY);
    let passed = start.elapsed();
    sending.interrupt();
    sending.end();
    passed
}

fn done(transfer: &Value) -> u64 {
    transfer["bytes_done"].as_u64().unwrap()
}
