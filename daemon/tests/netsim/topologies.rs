//! Networks that are not as simple as a NAT each: providers' NATs, guests who must not see each
//! other, IPv6 with and without IPv4, and many addresses that lead nowhere.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Behaviour, Nat, Network, Pair, TranslatedNetwork, hash_of, is_direct, lacks_namespaces,
    turns_around,
};

/// From the send to the first byte over a direct link.
const DIRECT: Duration = Duration::from_secs(5);
/// The same where ports have to be guessed, which may take two rounds.
const GUESSED: Duration = Duration::from_secs(15);
const NOTE: &str = "note.txt";
/// How often it may take longer, as on a machine that has other work.
const SECOND_CHANCES: u32 = 1;

#[test]
fn behind_two_nats_each_the_link_is_direct() {
    let network = || {
        let network = Network::behind_carriers();
        for computer in [&network.alice, &network.bob] {
            let found = Behaviour::of(computer, &network.server, network.server_ip);
            assert_eq!(found, Behaviour { one_mapping: true, takes_unasked: false });
        }
        network
    };
    arrives("home and carrier's NAT", network, "direct");
}

#[test]
fn behind_one_nat_that_turns_nothing_around_the_link_is_the_local_network() {
    let network = || {
        let network = Network::behind_one_nat();
        let Network { alice, bob, server, server_ip, .. } = &network;
        assert!(!turns_around(alice, bob, server, server_ip));
        network
    };
    arrives("one NAT without hairpinning", network, "lan");
}

#[test]
fn guests_whom_the_switch_keeps_apart_are_relayed() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::behind_one_nat();
    assert!(reaches(&network, "192.168.1.3"));
    network.isolate();
    assert!(!reaches(&network, "192.168.1.3"), "they are not kept apart");
    let pair = Pair::on(&network);
    let done = pair.film_arrives(pair.send_film());
    assert_eq!(done["link"], "relayed", "{done}");
    assert_eq!(done["links"].as_object().map(serde_json::Map::len), Some(1), "{done}");
}

/// Whether Alice gets an answer from this address.
fn reaches(network: &Network, address: &str) -> bool {
    let mut ping = network.alice.command("ping");
    ping.args(["-c", "1", "-W", "1", address]).output().unwrap().status.success()
}

#[test]
fn with_ipv6_alone_the_link_is_direct() {
    arrives("IPv6 only", Network::of_ipv6, "direct");
}

#[test]
fn with_broken_ipv4_beside_ipv6_the_link_is_direct() {
    arrives_around("ipv4", |network| assert!(network.dropped() > 0, "ipv4 was not even tried"));
}

#[test]
fn with_broken_ipv6_beside_ipv4_the_link_is_direct() {
    // IPv4 is asked first, and may have answered before IPv6 is.
    arrives_around("ipv6", |network| {
        assert!(!reaches(network, "2001:db8:2::2") && network.dropped() > 0, "ipv6 works");
    });
}

#[test]
fn ipv6_alone_and_ipv4_alone_meet_directly_through_a_translator() {
    arrives("IPv4 to IPv6 with NAT64", || TranslatedNetwork::new(Nat::Moderate, true), "direct");
}

#[test]
fn with_ipv6_alone_a_server_that_has_but_an_ipv4_address_is_found_through_the_translator() {
    arrives(
        "IPv4 to IPv6 with NAT64, server by address",
        || TranslatedNetwork::new(Nat::Moderate, false),
        "direct",
    );
}

#[test]
fn ports_are_guessed_through_a_translator_too() {
    let network = || TranslatedNetwork::new(Nat::Strict, true);
    arrives_and("strict IPv4 to IPv6 with NAT64", network, "direct", GUESSED, |_| ());
}

#[test]
fn with_32_addresses_that_lead_nowhere_on_each_side_the_link_is_direct() {
    let network = || {
        let network = Network::between(Nat::Moderate, Nat::Moderate);
        network.add_dead_ends();
        network
    };
    arrives("32 dead ends each, two NATs", network, "direct");
}

#[test]
fn with_32_addresses_that_lead_nowhere_on_each_side_the_local_network_is_found() {
    let network = || {
        let network = Network::behind_one_nat();
        network.add_dead_ends();
        network
    };
    arrives("32 dead ends each, one NAT", network, "lan");
}

fn arrives_around(broken: &str, check: impl Fn(&Network)) {
    let network = || Network::with_broken(broken);
    arrives_and(&format!("broken {broken}"), network, "direct", DIRECT, check);
}

fn arrives<N: AsRef<Network>>(what: &str, network: impl Fn() -> N, link: &str) {
    arrives_and(what, network, link, DIRECT, |_| ());
}

/// Sends a file directly, over this kind of link; something else is checked at the end.
#[allow(clippy::print_stderr, reason = "these are the figures")]
fn arrives_and<N: AsRef<Network>>(
    what: &str,
    network: impl Fn() -> N,
    link: &str,
    limit: Duration,
    check: impl Fn(&Network),
) {
    if lacks_namespaces() {
        return;
    }
    let mut passed = Duration::MAX;
    for _ in 0..=SECOND_CHANCES {
        if passed >= limit {
            let network = network();
            let done;
            (passed, done) = send(network.as_ref());
            eprintln!("{what}: {link} after {passed:?}");
            assert_eq!(done["link"], link, "{done}");
            check(network.as_ref());
        }
    }
    assert!(passed < limit, "{what}: {passed:?}");
}

/// How long after the send bytes arrive directly, and the last event of a short file after that.
fn send(network: &Network) -> (Duration, Value) {
    let pair = Pair::on(network);
    let film = pair.long_film();
    let mut watching = pair.alice.watch();
    let start = Instant::now();
    let sending = pair.alice.send("bob", film);
    watching.until("transfer", is_direct);
    let passed = start.elapsed();
    sending.interrupt();
    sending.end();
    let file_path = pair.alice.file(NOTE);
    std::fs::write(&file_path, vec![7; 1 << 20]).unwrap();
    let done = pair.alice.send("bob", NOTE).done();
    assert_eq!(hash_of(&pair.bob.received(NOTE)), hash_of(&file_path));
    (passed, done)
}
