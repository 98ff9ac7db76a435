//! A way that breaks while it is used.

use crate::support::{Network, Pair, lacks_namespaces};

#[test]
fn when_the_direct_way_breaks_the_relay_takes_over() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    let pair = Pair::on(&network);
    let mut sending = pair.send_film();
    sending.progress(|event| event["link"] == "direct");
    network.separate();
    let done = pair.film_arrives(sending);
    assert!(network.dropped() > 0);
    assert!(done["links"]["relayed"].as_u64() > Some(0), "{done}");
}
