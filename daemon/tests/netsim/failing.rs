//! A way that breaks while it is used.

use crate::support::{Network, Pair, lacks_namespaces, write_random};

#[test]
fn when_the_direct_way_breaks_the_relay_takes_over() {
    const LEN: u64 = 64 << 20;
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    let pair = Pair::on(&network);
    network.slow_down("160mbit");
    write_random(&pair.alice.file("film.bin"), LEN);
    let mut sending = pair.alice.send("bob", "film.bin");
    sending.progress(|event| event["link"] == "direct");
    network.separate();
    let done = pair.arrives(sending, "film.bin", LEN);
    assert!(network.dropped() > 0);
    assert!(done["links"]["relayed"].as_u64() > Some(0), "{done}");
}
