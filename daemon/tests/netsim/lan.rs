//! On one switch.

use crate::support::{Network, Pair, lacks_namespaces};

#[test]
fn on_one_switch_the_link_is_the_local_network() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::one_switch();
    let pair = Pair::on(&network);
    let done = pair.film_arrives(pair.send_film());
    assert_eq!(done["link"], "lan", "{done}");
}
