//! The network changes under a transfer that runs over a direct link: it goes on by itself.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{MovingNetwork, Pair, is_direct, lacks_namespaces};

/// From the return of the network to the next content that arrives.
const GOES_ON: Duration = Duration::from_secs(3);
/// More than is on its way at any time: what arrives beyond it was sent after the change.
const ON_ITS_WAY: u64 = 4 << 20;
/// How long the shorter outage lasts, and the longer one.
const OUTAGE: Duration = Duration::from_secs(10);
const LONG_OUTAGE: Duration = Duration::from_secs(20);
/// Until then a peer has given the session up.
const SLEEP: Duration = Duration::from_secs(25);

#[test]
fn a_new_address_on_the_same_network_is_taken_into_use() {
    goes_on("new address", |lab, _| {
        lab.renumber();
        Instant::now()
    });
}

#[test]
fn another_router_is_taken_into_use() {
    goes_on("other router", |lab, _| {
        lab.replug();
        Instant::now()
    });
}

#[test]
fn what_a_nat_forgets_is_made_anew() {
    goes_on("NAT flushed", |lab, _| {
        lab.flush();
        Instant::now()
    });
}

/// All at a time, each in a network of its own, for most of it is waiting.
#[test]
fn after_long_outages_it_goes_on() {
    thread::scope(|scope| {
        scope.spawn(|| goes_on("link down for 10 s", without_a_link));
        scope.spawn(|| goes_on("asleep for 25 s", asleep));
        scope.spawn(|| goes_on("both stopped for 20 s", stopped));
        scope.spawn(|| goes_on("both ended for 20 s", ended));
    });
}

fn without_a_link(lab: &MovingNetwork, _: &mut Pair<'_>) -> Instant {
    lab.unplug();
    lasts(OUTAGE);
    lab.plug();
    Instant::now()
}

/// Alice's machine sleeps; meanwhile her router forgets it.
fn asleep(lab: &MovingNetwork, pair: &mut Pair<'_>) -> Instant {
    pair.alice.freeze();
    lasts(SLEEP);
    lab.forget_alice();
    pair.alice.wake_from_sleep();
    let woken = Instant::now();
    pair.alice.says("this machine has slept");
    woken
}

fn stopped(_: &MovingNetwork, pair: &mut Pair<'_>) -> Instant {
    pair.alice.freeze();
    pair.bob.freeze();
    lasts(LONG_OUTAGE);
    pair.alice.wake();
    pair.bob.wake();
    Instant::now()
}

fn ended(_: &MovingNetwork, pair: &mut Pair<'_>) -> Instant {
    pair.alice.stop();
    pair.bob.stop();
    lasts(LONG_OUTAGE);
    pair.alice.start();
    pair.bob.start();
    Instant::now()
}

/// This is how long it lasts; nothing is waited for.
fn lasts(outage: Duration) {
    thread::sleep(outage);
}

/// Changes the network under a transfer, until it is back; soon after that, content must arrive that
/// was sent since.
#[allow(clippy::print_stderr, reason = "these are the figures")]
fn goes_on(what: &str, change: impl Fn(&MovingNetwork, &mut Pair<'_>) -> Instant) {
    if lacks_namespaces() {
        return;
    }
    let lab = MovingNetwork::new();
    let mut pair = Pair::on(&lab.network);
    let film = pair.long_film();
    let mut watching = pair.alice.watch();
    let sending = pair.alice.send("bob", film);
    watching.until("transfer", is_direct);
    let back = change(&lab, &mut pair);
    let mut watching = pair.alice.watch();
    let before = carried(&watching.until("transfer", |_| true));
    watching.until("transfer", |transfer| carried(transfer) > before + ON_ITS_WAY);
    let passed = back.elapsed();
    eprintln!("{what}: goes on after {passed:?}");
    assert!(passed < GOES_ON, "{what}: {passed:?}");
    sending.interrupt();
    sending.end();
}

/// Content that has arrived, over whichever link.
fn carried(transfer: &Value) -> u64 {
    transfer["links"].as_object().unwrap().values().filter_map(Value::as_u64).sum()
}
