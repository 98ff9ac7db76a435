//! Firewalls that let no UDP through.

use crate::support::{Network, Pair, lacks_namespaces};

#[test]
fn where_no_udp_gets_through_the_transfer_runs_over_tls() {
    through_a_firewall_that_passes("meta l4proto tcp");
}

#[test]
fn where_only_web_pages_can_be_fetched_the_transfer_runs_all_the_same() {
    through_a_firewall_that_passes("tcp dport 443");
}

/// Sends the film from behind a firewall that passes such connections and drops everything else.
fn through_a_firewall_that_passes(connections: &str) {
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    network.firewall(connections);
    let pair = Pair::on(&network);
    let done = pair.film_arrives(pair.send_film());
    assert_eq!(done["link"], "relayed", "{done}");
    assert!(network.dropped() > 0, "UDP was not even tried");
}
