//! What may come in: requests that wait for a person, refusals, bounds.

use std::fs;

use crate::support::{Pair, Tree, names_in, write_random, write_zeros};

#[test]
fn a_request_waits_until_it_is_accepted() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let source = alice.file("tree");
    Tree::make(&source, 20);
    let mut watching = bob.watch();
    let mut sending = alice.send("bob", &[&source]);
    // Counting goes on while the request waits.
    let counted = watching.until("request", |request| request["total_known"] == true);
    let id = counted["id"].as_str().unwrap().to_owned();
    sending.waiting();

    let requests = bob.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let request = &requests[0];
    assert_eq!((&request["id"], &request["from"]), (&id.as_str().into(), &"alice".into()));
    assert_eq!((&request["known"], &request["names"][0]), (&false.into(), &"tree".into()));
    assert!(request["files"].as_u64() >= Some(20), "{request}");
    assert!(request["bytes"].as_u64() >= Some(3 << 20), "{request}");
    assert_eq!(request["identity"], alice.status()["identity"]);
    let manifest = bob.ffctl(&["requests", "show", &id]).done().stdout.join("\n");
    let colour = if cfg!(unix) { "\\u{1b}[31mred" } else { "" };
    for part in ["tree/folder 1/1.txt", "tree/odd/script.sh", colour] {
        assert!(manifest.contains(part), "{part}: {manifest}");
    }
    assert_eq!(bob.received_names(), [""; 0]);

    bob.ffctl(&["accept", &id]).done();
    sending.done();
    assert_eq!(Tree::read(&bob.received().join("tree")), Tree::read(&source));
    assert!(bob.requests().is_empty());
}

#[test]
fn an_accepted_request_goes_to_the_folder_that_was_named() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let inbox = bob.file("inbox");
    fs::create_dir(&inbox).unwrap();
    let mut watching = bob.watch();
    let sending = alice.send("bob", &[&alice.note("letter")]);
    let id = watching.request();
    bob.ffctl(&["accept", &id[..6], "--to", inbox.to_str().unwrap()]).done();
    sending.done();
    assert_eq!(names_in(&inbox), ["letter"]);
    assert_eq!(bob.received_names(), [""; 0]);
}

#[test]
fn a_declined_request_leaves_nothing_and_says_so() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let mut watching = bob.watch();
    let sending = alice.send("bob", &[&alice.note("letter")]);
    let id = watching.request();
    bob.ffctl(&["decline", &id]).done();
    sending.failed(4, "declined").told("bob: declined");
    assert_eq!(bob.received_names(), [""; 0]);
    assert!(bob.requests().is_empty());
}

#[test]
fn a_contact_who_may_never_send_is_refused_at_once() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    bob.accept("alice", "never");
    let mut watching = bob.watch();
    let sending = alice.send("bob", &[&alice.note("letter")]);
    sending.failed(4, "declined").told("not accepted from this sender");
    assert_eq!(bob.received_names(), [""; 0]);
    // Had there been a request, it would have come before this change.
    bob.accept("alice", "ask");
    let next = watching.until("contact", |contact| contact["accept"] == "ask");
    assert_eq!(next["name"], "alice");
    assert!(bob.requests().is_empty());
}

#[test]
fn strangers_get_what_the_settings_say() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    bob.ffctl(&["config", "set", "accept-strangers", "never"]).done();
    alice.send("bob", &[&alice.note("letter")]).failed(4, "declined");
    bob.ffctl(&["config", "set", "accept-strangers", "always"]).done();
    alice.send("bob", &[&alice.file("letter")]).done();
    assert_eq!(bob.received_names(), ["letter"]);
}

#[test]
fn a_sender_who_was_accepted_for_always_is_not_asked_about_again() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let mut watching = bob.watch();
    let sending = alice.send("bob", &[&alice.note("first")]);
    bob.ffctl(&["accept", &watching.request(), "--always"]).done();
    sending.done();
    let contact = bob.json(&["contacts", "show", "alice"]);
    assert_eq!(contact["accept"], "always");
    // It is the one who asked that is trusted, not whom the server names.
    assert_eq!(contact["identity"], alice.status()["identity"]);
    alice.send("bob", &[&alice.note("second")]).done();
    assert_eq!(bob.received_names(), ["first", "second"]);
}

#[test]
fn contacts_who_would_be_asked_about_get_what_the_settings_say() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    bob.accept("alice", "ask");
    let mut watching = bob.watch();
    bob.ffctl(&["config", "set", "accept-contacts", "always"]).done();
    watching.until("setting", |it| it["key"] == "accept-contacts" && it["value"] == "always");
    alice.send("bob", &[&alice.note("letter")]).done();
    assert_eq!(bob.received_names(), ["letter"]);
}

#[test]
fn while_receiving_is_paused_everything_waits_and_then_comes() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    bob.ffctl(&["config", "set", "receiving", "paused"]).done();
    let mut watching = bob.watch();
    let mut first = alice.send("bob", &[&alice.note("first")]);
    let id = watching.request();
    let mut second = alice.send("bob", &[&alice.note("second")]);
    watching.request();
    first.waiting();
    second.waiting();
    bob.ffctl(&["accept", &id]).done();
    first.done();
    assert_eq!(bob.received_names(), ["first"]);
    bob.ffctl(&["config", "set", "receiving", "on"]).done();
    second.done();
    assert_eq!(bob.received_names(), ["first", "second"]);
}

#[test]
fn more_than_a_contact_may_send_is_refused() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    bob.ffctl(&["contacts", "set", "alice", "--max-size", "1M"]).done();
    let (large, small) = (alice.file("large"), alice.file("small"));
    write_zeros(&large, 2 << 20);
    write_random(&small, 1_000_000);
    let sending = alice.send("bob", &[&large]);
    sending.failed(1, "too_large").told("larger than the receiver accepts");
    assert_eq!(bob.received_names(), [""; 0]);
    alice.send("bob", &[&small]).done();
    assert_eq!(bob.received_names(), ["small"]);
}

#[test]
fn the_bound_holds_for_what_arrives_whatever_was_announced() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    bob.accept("alice", "ask");
    bob.ffctl(&["contacts", "set", "alice", "--max-size", "1M"]).done();
    let source = alice.file("grows");
    write_random(&source, 1_000);
    let mut watching = bob.watch();
    let sending = alice.send("bob", &[&source]);
    let id = watching.request();
    fs::File::options().write(true).open(&source).unwrap().set_len(8 << 20).unwrap();
    bob.ffctl(&["accept", &id]).done();
    sending.failed(1, "too_large").told("larger than the receiver accepts");
    assert_eq!(bob.received_names(), [""; 0]);
}

#[cfg(unix)] // Ctrl-C is a signal
#[test]
fn ctrl_c_withdraws_a_waiting_request() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let mut watching = bob.watch();
    let mut sending = alice.send("bob", &[&alice.note("letter")]);
    let id = watching.request();
    sending.waiting();
    sending.interrupt();
    sending.failed(130, "interrupted");
    watching.until("request_gone", |request| request["id"] == id);
    assert!(bob.requests().is_empty());
    bob.ffctl(&["accept", &id]).failed(1).told("no such request");
}

#[cfg(unix)] // Ctrl-C is a signal
#[test]
fn ctrl_c_stops_a_running_transfer_and_nothing_of_it_stays() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    let source = alice.file("large");
    write_zeros(&source, 4 << 30);
    let mut watching = bob.watch();
    let mut sending = alice.send("bob", &[&source]);
    let id = sending.id();
    sending.halfway();
    sending.interrupt();
    sending.failed(130, "interrupted");
    watching.ended(&id, "cancelled");
    assert_eq!(bob.received_names(), [""; 0]);
}

#[test]
fn either_side_can_cancel_by_the_transfers_id() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    let source = alice.file("large");
    write_zeros(&source, 4 << 30);
    let mut watching = alice.watch();
    for user in [alice, bob] {
        let mut sending = alice.send("bob", &[&source]);
        let id = sending.id();
        sending.halfway();
        user.ffctl(&["cancel", &id[..8]]).done();
        sending.failed(1, "cancelled");
        watching.ended(&id, "cancelled");
    }
}

#[test]
fn a_killed_ffctl_does_not_cancel() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let (mut at_alice, mut at_bob) = (alice.watch(), bob.watch());
    let sending = alice.send("bob", &[&alice.note("letter")]);
    let id = at_bob.request();
    sending.kill();
    bob.ffctl(&["accept", &id]).done();
    at_bob.ended(&id, "done");
    at_alice.ended(&id, "done");
    assert_eq!(bob.received_names(), ["letter"]);
}

#[test]
fn a_detached_transfer_goes_on_by_itself() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    let mut watching = alice.watch();
    let source = alice.note("letter");
    let sent = alice.ffctl(&["send", "--detach", "bob", source.to_str().unwrap()]).done();
    let [id] = &sent.stdout[..] else { panic!("{sent:?}") };
    watching.ended(id, "done");
    assert_eq!(bob.received_names(), ["letter"]);
}
