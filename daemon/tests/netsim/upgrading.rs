//! A better way that opens while a transfer runs over the relay.

use std::time::Duration;

use crate::support::{Arrivals, Network, Pair, is_direct, lacks_namespaces, longest_pause};

/// Ten seconds over Alice's uplink: the daemons look for better ways after five.
const LEN: u64 = 200 << 20;
/// So much must have come through the relay before there is another way.
const RELAYED: u64 = 8 << 20;
/// Between any two packets of the content, whichever way they take.
const PAUSE: Duration = Duration::from_millis(200);
/// The blocks that are on their way at any time.
const ON_ITS_WAY: u64 = 32 << 20;

#[test]
#[allow(clippy::print_stderr, reason = "these are the figures")]
fn a_transfer_goes_over_from_the_relay_to_the_direct_way_without_a_pause() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    network.separate();
    let pair = Pair::on(&network);
    let mut sending = pair.send_film_of(LEN);
    sending.progress(|event| event["bytes_done"].as_u64() > Some(0));
    let arriving = Arrivals::at(&network.bob);
    let relayed = sending.progress(|event| event["bytes_done"].as_u64() > Some(RELAYED));
    assert_eq!(relayed["link"], "relayed", "{relayed}");
    network.join();
    let direct = sending.progress(|event| event["link"] == "direct");
    let done = sending.done();
    // At once: the links live on, and so do their probes.
    let arrivals = arriving.end();
    pair.film_is_there(&done);

    assert!(is_direct(&done), "{done}");
    let way = |number| arrivals.iter().filter(move |it| it.from.octets()[2] == number);
    let (server, alice) = (way(3), way(1));
    assert!(server.count() > 0 && alice.clone().count() > 0, "{done}");
    let again = done["sent_bytes"].as_u64().unwrap() - LEN;
    let pause = longest_pause(&arrivals);
    let (relayed, direct) = (&relayed["bytes_done"], &direct["bytes_done"]);
    eprintln!(
        "joined at {relayed} bytes, direct at {direct} of {LEN}: longest pause {pause:?}, \
         {again} bytes sent twice"
    );
    assert!(pause < PAUSE, "{pause:?}");
    assert!(again <= ON_ITS_WAY, "{again} bytes were sent twice");
}
