//! Contacts, invitations and safety phrases.

use crate::support::{Pair, Server, User};

#[test]
fn an_invitation_makes_a_verified_contact_and_the_safety_phrases_agree() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let link = alice.json(&["invite"])["link"].as_str().unwrap().to_owned();
    let added = bob.json(&["contacts", "add", &link]);
    assert_eq!((&added["name"], &added["verified"]), (&"alice".into(), &true.into()));
    assert_eq!(added["identity"], alice.status()["identity"]);
    // Adding is no permission: what she sends still waits.
    assert_eq!(added["accept"], "ask");

    let looked_up = alice.json(&["contacts", "set", "bob", "--accept", "ask"]);
    assert_eq!(looked_up["verified"], false);
    let (at_alice, at_bob) =
        (alice.json(&["contacts", "show", "bob"]), bob.json(&["contacts", "show", "alice"]));
    assert_eq!(at_alice["safety_phrase"], at_bob["safety_phrase"]);
    let words = at_bob["safety_phrase"].as_str().unwrap().split_whitespace();
    assert!(words.count() >= 12, "{at_bob}");
    alice.ffctl(&["contacts", "verify", "bob"]).done();
    assert_eq!(alice.json(&["contacts", "show", "bob"])["verified"], true);
}

#[test]
fn an_invitation_for_another_server_is_refused() {
    let pair = Pair::strangers();
    let elsewhere = Server::start();
    let carol = User::registered("carol", &elsewhere);
    let link = carol.ffctl(&["invite"]).done().stdout.join("");
    let refused = pair.bob.ffctl(&["contacts", "add", &link]).failed(2);
    refused.told("that person is at another server");
    pair.bob.ffctl(&["contacts", "add", "filefleet:nonsense"]).failed(2);
}

#[test]
fn a_contact_can_be_changed_and_removed() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    let dir = bob.file("from alice");
    let dir = dir.to_str().unwrap();
    let set = ["contacts", "set", "alice", "--dir", dir, "--max-size", "2G"];
    let set = bob.json(&set);
    assert_eq!((&set["dir"], &set["max_size"]), (&dir.into(), &(2_u64 << 30).into()));
    assert_eq!(set["accept"], "always");
    let clear = ["contacts", "set", "alice", "--default-dir", "--max-size", "none"];
    let cleared = bob.json(&clear);
    assert!(cleared["dir"].is_null() && cleared["max_size"].is_null(), "{cleared}");
    assert_eq!(bob.json(&["contacts"])["contacts"].as_array().unwrap().len(), 1);
    bob.ffctl(&["contacts", "remove", "alice"]).done();
    bob.ffctl(&["contacts", "show", "alice"]).failed(5).told("'alice' is no contact");
    assert!(bob.json(&["contacts"])["contacts"].as_array().unwrap().is_empty());
    drop(bob.watch());
    assert_eq!(alice.status()["registered"], true);
}

#[test]
fn contacts_who_know_each_other_see_who_is_online() {
    let mut pair = Pair::trusting();
    pair.alice.accept("bob", "ask");
    let mut watching = pair.alice.watch();
    let online = |wanted: bool| move |contact: &serde_json::Value| contact["online"] == wanted;
    if pair.alice.json(&["contacts", "show", "bob"])["online"] != true {
        watching.until("contact", online(true));
    }
    pair.bob.stop().done();
    watching.until("contact", online(false));
    pair.bob.start();
    watching.until("contact", online(true));
}

#[test]
fn a_name_that_nobody_has_cannot_be_added_or_sent_to() {
    let pair = Pair::strangers();
    let Pair { alice, .. } = &pair;
    alice
        .ffctl(&["contacts", "set", "nobody", "--accept", "always"])
        .failed(5)
        .told("nobody is called 'nobody'");
    let sending = alice.send("nobody", &[&alice.note("letter")]);
    sending.failed(5, "unknown_name").told("nobody is called 'nobody'");
}
