//! Names and the identities they belong to.

use serde_json::Value;

use crate::support::{Pair, User};

#[test]
fn a_name_that_is_taken_is_not_given_to_another_identity() {
    let pair = Pair::strangers();
    let other = User::started();
    let refused = other.register("bob", &pair.server).failed(1);
    refused.told("the name 'bob' belongs to somebody else");
    let status = other.status();
    assert_eq!((&status["name"], &status["registered"]), (&Value::Null, &false.into()));
    assert_eq!(pair.bob.status()["registered"], true);
    // Who has no name yet, or another one, can go on.
    other.register("carol", &pair.server).done();
    other.register("alice", &pair.server).failed(1);
    let status = other.status();
    assert_eq!((&status["name"], &status["registered"]), (&"carol".into(), &true.into()));
}

/// Alice and Bob know each other; then somebody else gets Bob's name.
fn pair_with_impostor() -> (Pair, User) {
    let mut pair = Pair::trusting();
    pair.alice.accept("bob", "always");
    pair.alice.send("bob", &[&pair.alice.note("to the real bob")]).done();
    pair.bob.stop().done();
    pair.server.release("bob");
    let impostor = User::registered("bob", &pair.server);
    impostor.accept("alice", "always");
    (pair, impostor)
}

#[track_caller]
fn warns(value: &Value, identity: &Value) {
    let text = value.to_string();
    assert!(text.contains(identity.as_str().unwrap()), "{identity}: {text}");
}

#[test]
fn a_contact_with_another_identity_gets_nothing_and_both_are_told() {
    let (pair, impostor) = pair_with_impostor();
    let alice = &pair.alice;
    let mut watching = impostor.watch();
    let sending = alice.send("bob", &[&alice.note("secret")]);
    let outcome = sending.failed(1, "identity_changed");
    outcome.told("'bob' and this computer know each other by other identity keys");
    let warning = watching.until("warning", |_| true);
    assert!(warning["message"].as_str().unwrap().contains("'alice'"), "{warning}");
    assert_eq!(impostor.received_names(), [""; 0]);

    let shown = alice.json(&["contacts", "show", "bob"]);
    let (pinned, found) = (&shown["identity"], &impostor.status()["identity"]);
    assert_ne!(pinned, found);
    warns(&shown["warning"], found);
    warns(&alice.status()["warnings"], found);
}

#[test]
fn what_comes_from_a_contacts_name_with_another_identity_is_refused_and_both_are_told() {
    let (pair, impostor) = pair_with_impostor();
    let alice = &pair.alice;
    let mut watching = alice.watch();
    let sending = impostor.send("alice", &[&impostor.note("trojan")]);
    let outcome = sending.failed(1, "identity_changed");
    outcome.told("'alice' and this computer know each other by other identity keys");
    let found = &impostor.status()["identity"];
    warns(&watching.until("warning", |_| true)["message"], found);
    warns(&alice.json(&["contacts", "show", "bob"])["warning"], found);
    warns(&alice.status()["warnings"], found);
    assert_eq!(alice.received_names(), [""; 0]);
    assert!(alice.requests().is_empty());
}

#[test]
fn a_contact_that_was_removed_may_come_back_with_another_identity() {
    let (pair, newcomer) = pair_with_impostor();
    pair.alice.ffctl(&["contacts", "remove", "bob"]).done();
    pair.alice.send("bob", &[&pair.alice.note("welcome")]).done();
    assert_eq!(newcomer.received_names(), ["welcome"]);
}
