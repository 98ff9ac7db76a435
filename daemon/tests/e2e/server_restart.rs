//! The server is killed and started again, on the same port and with the same data.

use std::time::{Duration, Instant};

use crate::support::{Pair, User, hash_of, write_zeros};

/// So soon must sending work again.
const SEND_AGAIN: Duration = Duration::from_secs(2);
/// So soon must idle daemons be registered again.
const REGISTERED_AGAIN: Duration = Duration::from_secs(30);

#[test]
fn a_direct_transfer_does_not_notice_that_the_server_was_killed() {
    const LEN: u64 = 1 << 30;
    let mut pair = Pair::trusting();
    let source = pair.alice.file("large");
    write_zeros(&source, LEN);
    let mut sending = pair.alice.send("bob", &[&source]);
    sending.progress(|event| {
        (event["link"] == "lan" || event["link"] == "direct") && event["state"] == "active"
    });
    let before = sending.halfway()["bytes_done"].as_u64();
    pair.server.kill();
    // More than can have been on its way when the server died.
    let during = sending.progress(|event| {
        assert_eq!(event["state"], "active", "{event}");
        event["bytes_done"].as_u64() > before.map(|before| before + (128 << 20))
    });
    assert!(during["bytes_done"].as_u64() < Some(LEN), "{during}");
    pair.server.restart();
    let mut events = Vec::new();
    while let Some(event) = sending.event() {
        events.push(event);
    }
    let done = sending.end().done();
    assert!(done.stdout.is_empty());
    let (last, rest) = events.split_last().unwrap();
    assert_eq!((&last["event"], &last["bytes"]), (&"done".into(), &LEN.into()));
    let progress = rest.iter().filter(|event| event["event"] != "link");
    let states = progress.map(|event| event["state"].as_str().unwrap());
    let not_active: Vec<_> = states.filter(|state| !matches!(*state, "active" | "done")).collect();
    assert_eq!(not_active, [""; 0]);
    assert_eq!(hash_of(&pair.bob.received().join("large")), hash_of(&source));
}

#[test]
fn sending_works_within_two_seconds_of_the_servers_restart() {
    let mut pair = Pair::trusting();
    // They have not met, so nothing but the server can bring them together.
    pair.server.kill();
    pair.server.restart();
    let start = Instant::now();
    pair.alice.send("bob", &[&pair.alice.note("letter")]).done();
    let took = start.elapsed();
    assert!(took < SEND_AGAIN, "{took:?}");
    assert_eq!(pair.bob.received_names(), ["letter"]);
}

#[test]
fn idle_daemons_are_registered_again_and_their_names_are_still_theirs() {
    let mut pair = Pair::strangers();
    let users = [("alice", &pair.alice), ("bob", &pair.bob)];
    let mut watching = users.map(|(name, user)| (name, user.watch()));
    pair.server.kill();
    pair.server.restart();
    let start = Instant::now();
    for (name, watching) in &mut watching {
        let left = REGISTERED_AGAIN.saturating_sub(start.elapsed());
        let again = |event: &serde_json::Value| event["registered"] == true;
        let event = watching.until_within(left, "registration", again);
        assert_eq!(event["name"], *name);
    }
    let other = User::started();
    other.register("bob", &pair.server).failed(1).told("belongs to somebody else");
    let names = pair.server.tend(&["names", "list"]).done().stdout;
    let names: Vec<_> = names.iter().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(names, ["alice", "bob"]);
}

#[test]
fn a_daemon_that_starts_before_its_server_registers_and_sends_when_that_comes() {
    let mut pair = Pair::trusting();
    pair.alice.stop().done();
    pair.server.kill();
    pair.alice.start();
    let mut watching = pair.alice.watch();
    let sending = pair.alice.send("bob", &[&pair.alice.note("letter")]);
    let id = sending.queued("server_unreachable");
    pair.server.restart();
    let again = |event: &serde_json::Value| event["registered"] == true;
    watching.until_within(REGISTERED_AGAIN, "registration", again);
    watching.ended(&id, "done");
    assert_eq!(pair.bob.received_names(), ["letter"]);
}

#[cfg(unix)] // a signal
#[test]
fn who_watches_hears_that_nobody_is_known_to_be_online_without_a_server() {
    let Pair { alice, bob, server } = Pair::trusting();
    alice.accept("bob", "ask");
    let mut watching = alice.watch();
    let is_bob = |contact: &serde_json::Value| contact["name"] == "bob";
    if alice.json(&["contacts", "show", "bob"])["online"] != true {
        watching.until("contact", |contact| is_bob(contact) && contact["online"] == true);
    }
    server.stop().done();
    watching.until("contact", |contact| is_bob(contact) && contact["online"].is_null());
    assert!(alice.json(&["contacts", "show", "bob"])["online"].is_null());
    drop(bob);
}
