//! `ffctl doctor` on one machine: with a server, without one, and with the wrong one.

use std::fs;

use serde_json::Value;

use crate::support::{Server, User};

/// How bad the findings are that are not as they should be, by what was looked at.
fn trouble(found: &Value) -> Vec<(&str, &str)> {
    let findings = found["findings"].as_array().unwrap().iter();
    let findings = findings
        .map(|finding| (finding["check"].as_str().unwrap(), finding["level"].as_str().unwrap()));
    findings.filter(|(_, level)| *level != "ok").collect()
}

#[test]
fn where_nothing_stands_in_the_way_the_doctor_says_so() {
    let server = Server::start();
    let alice = User::registered("alice", &server);
    let found = alice.json(&["doctor"]);
    assert_eq!(trouble(&found), [], "{found}");
    let network = &found["network"];
    assert_eq!((&network["nat"], &network["mapping"]), (&"none".into(), &"independent".into()));
    assert_eq!(network["filtering"], "port_independent");
    assert_eq!((&network["udp"], &network["tcp"]), (&true.into(), &true.into()));
    assert!(network["round_trip"].as_f64().unwrap() < 1.0, "{network}");
    assert!(network["clock_offset"].as_f64().unwrap().abs() < 5.0, "{network}");
    let last = alice.ffctl(&["doctor"]).done().stdout.pop().unwrap();
    assert_eq!(last, "Direct links work with everybody whose own network lets UDP through.");
}

#[test]
fn a_server_that_is_gone_is_told_with_each_step_that_fails() {
    let mut server = Server::start();
    let alice = User::registered("alice", &server);
    server.kill();
    let found = alice.ffctl(&["doctor", "--json"]).failed(1).json();
    let expected = ["udp", "tcp", "registration"].map(|check| (check, "problem"));
    assert_eq!(trouble(&found), expected, "{found}");
    assert_eq!(found["network"]["nat"], Value::Null);
    server.restart();
    alice.registered_again();
    assert_eq!(trouble(&alice.json(&["doctor"])), []);
}

#[test]
fn a_server_with_another_key_is_told_from_one_that_is_gone() {
    let server = Server::start();
    let mut alice = User::registered("alice", &server);
    alice.stop().done();
    let (_, pin) = server.address.split_once('#').unwrap();
    let (settings, other) = (alice.home().join("config/settings.toml"), pin.replace(|_| true, "a"));
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace(pin, &other)).unwrap();
    alice.start();
    let found = alice.ffctl(&["doctor", "--json"]).failed(1).json();
    let expected = ["certificate", "registration"].map(|check| (check, "problem"));
    assert_eq!(trouble(&found), expected, "{found}");
}

#[test]
fn whoever_has_no_name_is_told_how_to_claim_one() {
    let alice = User::started();
    let outcome = alice.ffctl(&["doctor"]).failed(1);
    let stdout = outcome.stdout.join("\n");
    assert!(stdout.contains("hint: ffctl register NAME --server ADDRESS"), "{stdout}");
}
