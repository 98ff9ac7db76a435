//! The server is killed while a transfer runs, and comes back.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Arrivals, Network, Pair, lacks_namespaces, longest_pause};

/// How long it is away.
const OUTAGE: Duration = Duration::from_secs(5);
/// From its return to the next content that arrives over the relay.
const GOES_ON: Duration = Duration::from_secs(3);
/// More than is on its way at any time: what arrives beyond it was sent after the return.
const ON_ITS_WAY: u64 = 4 << 20;
/// Between any two packets of content that is not relayed.
const PAUSE: Duration = Duration::from_millis(200);
/// Seconds over Alice's uplink.
const LEN: u64 = 96 << 20;

#[test]
#[allow(clippy::print_stderr, reason = "these are the figures")]
fn a_direct_transfer_flows_on_while_the_server_is_down() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    let mut pair = Pair::on(&network);
    let mut sending = pair.send_film_of(LEN);
    sending.progress(|event| event["link"] == "direct");
    let arriving = Arrivals::at(&network.bob);
    pair.server.kill();
    let done = sending.done();
    // At once: the links live on, and so do their probes.
    let pause = longest_pause(&arriving.end());
    pair.film_is_there(&done);
    eprintln!("the server is killed during a direct transfer: longest pause {pause:?}");
    assert!(pause < PAUSE, "{pause:?}");
    assert_eq!(done["link"], "direct", "{done}");
}

#[test]
#[allow(clippy::print_stderr, reason = "these are the figures")]
fn a_relayed_transfer_goes_on_when_the_server_is_back() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    network.separate();
    let mut pair = Pair::on(&network);
    let mut sending = pair.send_film_of(LEN);
    sending.halfway();
    pair.server.kill();
    // This is how long the outage lasts; nothing is waited for.
    thread::sleep(OUTAGE);
    pair.server.restart();
    let start = Instant::now();
    let mut watching = pair.alice.watch();
    let bytes = |transfer: &serde_json::Value| transfer["bytes_done"].as_u64().unwrap();
    let before = bytes(&watching.until("transfer", |_| true));
    watching.until("transfer", |transfer| bytes(transfer) > before + ON_ITS_WAY);
    let passed = start.elapsed();
    eprintln!("the server is back: the relayed transfer goes on after {passed:?}");
    assert!(passed < GOES_ON, "{passed:?}");
    let done = pair.film_arrives(sending);
    assert_eq!(done["link"], "relayed", "{done}");
}
