//! What `ffctl doctor` finds out about a network, and what a transfer says about its link.

use serde_json::{Value, json};

use crate::support::{Asking, MappingNetwork, Nat, Network, Pair, lacks_namespaces};

/// A NAT as the doctor sees it, and what is to be expected from behind it.
fn expected(nat: Nat) -> (Value, &'static str) {
    let facts = |kind, mapping, filtering| json!({ "nat": kind, "mapping": mapping, "filtering": filtering });
    let everybody = "Direct links work with everybody whose own network lets UDP through.";
    match nat {
        Nat::None => (facts("none", "independent", "port_independent"), everybody),
        Nat::Open => (facts("open", "independent", "port_independent"), everybody),
        Nat::Moderate => (
            facts("moderate", "independent", "port_dependent"),
            "Direct links work with everybody; with people behind a strict NAT it may take some \
             seconds, and the relay carries until then.",
        ),
        Nat::Strict => (
            facts("strict", "dependent", "port_dependent"),
            "Direct links work with everybody but people behind a strict NAT, to whom the relay \
             carries; with those behind a moderate one it may take some seconds.",
        ),
    }
}

#[test]
fn each_kind_of_nat_is_found_out() {
    if lacks_namespaces() {
        return;
    }
    for nat in Nat::ALL {
        let network = Network::between(nat, Nat::Moderate);
        let pair = Pair::on(&network);
        // Twice, since what was found out once must not change what is found next.
        for _ in 0..2 {
            let found = pair.alice.ffctl(&["doctor", "--json"]).done().json();
            let facts = &found["network"];
            let (nats, outlook) = expected(nat);
            for (key, value) in nats.as_object().unwrap() {
                assert_eq!(&facts[key], value, "{nat:?}: {found}");
            }
            assert_eq!(found["outlook"], outlook, "{nat:?}");
            assert_eq!((&facts["udp"], &facts["tcp"]), (&json!(true), &json!(true)), "{found}");
            let public = facts["public"].as_array().unwrap();
            let is_public = |seen: &Value| seen.as_str().unwrap().starts_with("1.2.3.1:");
            assert!(!public.is_empty() && public.iter().all(is_public), "{nat:?}: {found}");
        }
    }
}

#[test]
fn a_port_that_the_router_has_opened_is_found_out() {
    if lacks_namespaces() {
        return;
    }
    let lab = MappingNetwork::new(Asking::Pcp);
    let mut pair = Pair::on(&lab.network);
    pair.bob.says("protocol=\"PCP\"");
    let found = pair.bob.ffctl(&["doctor", "--json"]).done().json();
    assert_eq!(found["network"]["nat"], "strict", "{found}");
    assert!(found["network"]["mapped"].as_str().unwrap().starts_with("1.2.3.2:"), "{found}");
    assert_eq!(found["outlook"], expected(Nat::Open).1);
}

#[test]
fn a_firewall_that_drops_udp_is_found_out_and_named_by_transfers() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    network.firewall("meta l4proto tcp");
    let pair = Pair::on(&network);
    let found = pair.alice.ffctl(&["doctor", "--json"]).done().json();
    let facts = &found["network"];
    assert_eq!((&facts["udp"], &facts["tcp"]), (&json!(false), &json!(true)), "{found}");
    assert_eq!(facts["nat"], Value::Null, "{found}");
    assert!(found["outlook"].as_str().unwrap().contains("no UDP gets out"), "{found}");
    let sending = pair.send_film();
    let mut codes = pair.alice.watch();
    codes.until("transfer", |transfer| transfer["why_relayed"]["code"] == "udp_blocked");
    pair.film_arrives(sending);
}

#[test]
fn a_transfer_between_two_strict_nats_says_why_it_is_relayed_on_both_sides() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::between(Nat::Strict, Nat::Strict);
    let pair = Pair::on(&network);
    let film = pair.long_film();
    let mut watching = [pair.alice.watch(), pair.bob.watch()];
    let sending = pair.alice.send("bob", film);
    for watching in &mut watching {
        let in_use = watching.until("link", |link| link["change"] == "in_use");
        assert_eq!(in_use["kind"], "relayed", "{in_use}");
        assert!(in_use["why_relayed"]["code"].is_string(), "{in_use}");
        let no_path = |transfer: &Value| transfer["why_relayed"]["code"] == "no_path";
        let transfer = watching.until("transfer", no_path);
        let message = transfer["why_relayed"]["message"].as_str().unwrap();
        assert!(message.contains("both computers are behind strict NATs"), "{transfer}");
    }
    let listed = pair.alice.ffctl(&["transfers"]).done().stdout.join("\n");
    assert!(listed.contains("both computers are behind strict NATs"), "{listed}");
    sending.interrupt();
    sending.end();
}

#[test]
fn whoever_watches_is_told_of_each_link_as_it_comes_and_is_used() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::between(Nat::Moderate, Nat::Moderate);
    let pair = Pair::on(&network);
    let film = pair.long_film();
    let mut watching = pair.alice.watch();
    let sending = pair.alice.send("bob", film);
    for (change, kind) in
        [("joined", "relayed"), ("in_use", "relayed"), ("joined", "direct"), ("in_use", "direct")]
    {
        watching.until("link", |link| link["change"] == change && link["kind"] == kind);
    }
    watching.until("transfer", |transfer| {
        transfer["link"] == "direct" && transfer["why_relayed"].is_null()
    });
    sending.interrupt();
    sending.end();
}
