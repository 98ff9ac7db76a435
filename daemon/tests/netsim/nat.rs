//! Behind NATs whose mappings do not depend on the destination: the way leads through what the
//! server saw of each side.

use crate::support::{Network, Pair, lacks_namespaces};

#[test]
fn through_two_nats_the_link_is_direct() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::behind_nats("192.168.1", "192.168.2");
    let pair = Pair::on(&network);
    let done = pair.film_arrives(pair.send_film());
    assert_eq!(done["link"], "direct", "{done}");
}

/// Most homes number alike: Bob's own address is Alice's, too.
#[test]
fn through_two_nats_with_the_same_addresses_behind_them_the_link_is_direct() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::behind_nats("192.168.1", "192.168.1");
    let pair = Pair::on(&network);
    let done = pair.film_arrives(pair.send_film());
    assert_eq!(done["link"], "direct", "{done}");
}
