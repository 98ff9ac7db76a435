//! On different networks, with a router between them.

use crate::support::{Network, Pair, lacks_namespaces};

#[test]
fn where_packets_are_routed_the_link_is_direct() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    let pair = Pair::on(&network);
    let done = pair.film_arrives(pair.send_film());
    assert_eq!(done["link"], "direct", "{done}");
}
