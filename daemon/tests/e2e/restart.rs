//! Somebody goes away in the middle of a transfer, in whatever way: it goes on when they are back.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Pair, hash_of, write_random, write_zeros};

/// More than can arrive before a test has done what it wants to do meanwhile, and less than takes
/// long; holes cost nothing.
const LEN: u64 = 512 << 20;
/// So soon after a receiver's daemon is back content flows again.
const BACK: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy)]
enum End {
    Stopped,
    Killed,
}

fn large(pair: &Pair) -> PathBuf {
    let source = pair.alice.file("large");
    write_zeros(&source, LEN);
    source
}

/// Everything has arrived, once, and both sides say so.
#[track_caller]
fn all_is_there(pair: &Pair, id: &str, source: &Path) {
    assert_eq!(hash_of(&pair.bob.received().join("large")), hash_of(source));
    assert_eq!(pair.bob.received_names(), ["large"]);
    for user in [&pair.alice, &pair.bob] {
        let transfers = user.transfers();
        assert_eq!(transfers.len(), 1, "{transfers:?}");
        let transfer = &transfers[0];
        assert_eq!((&transfer["id"], &transfer["state"]), (&id.into(), &"done".into()));
        assert_eq!((&transfer["reason"], &transfer["next_try"]), (&Value::Null, &Value::Null));
    }
}

fn goes_on_after_the_receiver_was(end: End) {
    let mut pair = Pair::trusting();
    let source = large(&pair);
    let mut sending = pair.alice.send("bob", &[&source]);
    let id = sending.id();
    sending.halfway();
    match end {
        End::Stopped => drop(pair.bob.stop().done()),
        End::Killed => pair.bob.kill(),
    }
    assert!(!pair.bob.received().join("large").exists());
    pair.bob.start();
    let start = Instant::now();
    let mut watching = pair.bob.watch();
    watching.until("transfer", |transfer| transfer["state"] == "active" && transfer["rate"] != 0);
    let took = start.elapsed();
    assert!(took < BACK, "{took:?}");
    sending.done();
    all_is_there(&pair, &id, &source);
}

#[test]
fn a_transfer_goes_on_after_its_receiver_was_stopped() {
    goes_on_after_the_receiver_was(End::Stopped);
}

#[test]
fn a_transfer_goes_on_after_its_receiver_was_killed() {
    goes_on_after_the_receiver_was(End::Killed);
}

fn goes_on_after_the_sender_was(end: End) {
    let mut pair = Pair::trusting();
    let source = large(&pair);
    let mut watching = pair.bob.watch();
    let mut sending = pair.alice.send("bob", &[&source]);
    let id = sending.id();
    sending.halfway();
    match end {
        End::Stopped => drop(pair.alice.stop().done()),
        End::Killed => pair.alice.kill(),
    }
    assert_eq!(sending.end().exit_code, Some(3));
    if matches!(end, End::Stopped) {
        let paused = watching.until("transfer", |transfer| transfer["state"] == "paused");
        assert_eq!(paused["detail"], "waiting for alice to come back");
    }
    pair.alice.start();
    watching.ended(&id, "done");
    // The sender hears of it a moment later.
    let is_done = |pair: &Pair| pair.alice.transfers()[0]["state"] == "done";
    if !is_done(&pair) {
        let mut watching = pair.alice.watch();
        if !is_done(&pair) {
            watching.ended(&id, "done");
        }
    }
    all_is_there(&pair, &id, &source);
}

#[test]
fn a_transfer_goes_on_after_its_sender_was_stopped() {
    goes_on_after_the_sender_was(End::Stopped);
}

#[test]
fn a_transfer_goes_on_after_its_sender_was_killed() {
    goes_on_after_the_sender_was(End::Killed);
}

#[test]
fn a_receiver_that_stays_away_is_waited_for_and_can_be_given_up() {
    let mut pair = Pair::trusting();
    let source = large(&pair);
    let mut sending = pair.alice.send("bob", &[&source]);
    let id = sending.id();
    sending.halfway();
    pair.bob.stop().done();
    sending.progress(|event| event["state"] == "paused");
    let listed = &pair.alice.transfers()[0];
    assert!(["offline", "interrupted"].contains(&listed["reason"]["code"].as_str().unwrap()));
    pair.alice.ffctl(&["cancel", &id]).done();
    sending.failed(1, "cancelled");
    // The receiver hears of it when it is back, and has nothing left of it.
    pair.bob.start();
    let is_cancelled = |transfer: &Value| transfer["state"] == "cancelled";
    let mut watching = pair.bob.watch();
    if !is_cancelled(&pair.bob.transfers()[0]) {
        watching.ended(&id, "cancelled");
    }
    // Stopping waits for what is cleaned up beside other work.
    pair.bob.stop().done();
    assert_eq!(pair.bob.received_names(), [""; 0]);
}

#[test]
fn a_sender_that_comes_back_too_late_is_told_why() {
    let mut pair = Pair::trusting();
    let source = large(&pair);
    let mut sending = pair.alice.send("bob", &[&source]);
    let id = sending.id();
    sending.halfway();
    pair.alice.stop().done();
    drop(sending);
    pair.bob.stop().done();
    assert_eq!(pair.bob.received_names().len(), 1, "what has arrived is kept");
    // So much time passes that it is given up.
    let database = rusqlite::Connection::open(pair.bob.database()).unwrap();
    assert_eq!(database.execute("UPDATE transfers SET at = at - 8 * 86400", []).unwrap(), 1);
    drop(database);
    pair.bob.start();
    let failed = &pair.bob.transfers()[0];
    assert_eq!(failed["error"]["message"], "'alice' did not come back within 7 days", "{failed}");
    pair.bob.registered_again();
    pair.alice.start();
    let mut watching = pair.alice.watch();
    let given_up = |transfer: &Value| transfer["state"] == "failed";
    let transfer = match pair.alice.transfers().remove(0) {
        transfer if given_up(&transfer) => transfer,
        _ => watching.ended(&id, "failed"),
    };
    let message = transfer["error"]["message"].as_str().unwrap();
    assert!(message.contains("given up after 7 days"), "{message}");
    pair.bob.stop().done();
    assert_eq!(pair.bob.received_names(), [""; 0]);
}

#[test]
fn what_the_receiver_cancelled_while_the_sender_was_away_is_over_when_it_is_back() {
    let mut pair = Pair::trusting();
    let source = large(&pair);
    let mut sending = pair.alice.send("bob", &[&source]);
    let id = sending.id();
    sending.halfway();
    pair.alice.stop().done();
    drop(sending);
    let mut watching = pair.bob.watch();
    if pair.bob.transfers()[0]["state"] != "paused" {
        watching.until("transfer", |transfer| transfer["state"] == "paused");
    }
    pair.bob.ffctl(&["cancel", &id]).done();
    pair.alice.start();
    let mut watching = pair.alice.watch();
    if pair.alice.transfers()[0]["state"] != "cancelled" {
        watching.ended(&id, "cancelled");
    }
    // Everything works as before.
    let again = pair.alice.file("again");
    write_random(&again, 2 << 20);
    pair.alice.send("bob", &[&again]).done();
    assert_eq!(hash_of(&pair.bob.received().join("again")), hash_of(&again));
    assert_eq!(pair.bob.received_names(), ["again"]);
}

/// The most that is on its way, and is sent again after a kill.
const IN_FLIGHT: u64 = 32 << 20;

#[test]
fn what_had_arrived_before_a_kill_is_not_sent_again() {
    const LEN: u64 = 256 << 20;
    let mut pair = Pair::trusting();
    let source = pair.alice.file("large");
    write_random(&source, LEN);
    let mut sending = pair.alice.send("bob", &[&source]);
    sending.progress(|event| event["bytes_done"].as_u64() > Some(LEN / 4));
    pair.bob.kill();
    pair.bob.start();
    let done = sending.done();
    let sent = done["sent_bytes"].as_u64().unwrap();
    assert!((LEN..=LEN + IN_FLIGHT).contains(&sent), "{sent}");
    assert_eq!(hash_of(&pair.bob.received().join("large")), hash_of(&source));
    assert_eq!(pair.bob.received_names(), ["large"]);
}
