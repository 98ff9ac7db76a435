//! What is sent to somebody who is not there waits in the outbox.

use std::fs;

use serde_json::Value;

use crate::support::{Pair, Server, User};

/// Waits until so many transfers have ended well; their ids in that order.
#[track_caller]
fn delivered(watching: &mut crate::support::Watching, count: usize) -> Vec<String> {
    let mut ended = Vec::new();
    while ended.len() < count {
        let done = watching.until("transfer", |transfer| transfer["state"] == "done");
        let id = done["id"].as_str().unwrap().to_owned();
        if !ended.contains(&id) {
            ended.push(id);
        }
    }
    ended
}

#[track_caller]
fn states(user: &User) -> Vec<Value> {
    user.transfers().iter().map(|transfer| transfer["state"].clone()).collect()
}

#[test]
fn what_cannot_be_written_down_is_not_taken_on() {
    let mut pair = Pair::trusting();
    pair.bob.stop().done();
    pair.alice.stop().done();
    let database = rusqlite::Connection::open(pair.alice.database()).unwrap();
    pair.alice.start();
    let mut watching = pair.alice.watch();
    database.execute("ALTER TABLE transfers RENAME TO gone", []).unwrap();
    pair.alice.send("bob", &[&pair.alice.note("letter")]).failed(1, "internal");
    watching.until("transfer", |transfer| transfer["state"] == "cancelled");
    database.execute("ALTER TABLE gone RENAME TO transfers", []).unwrap();
    pair.alice.send("bob", &[&pair.alice.note("letter 2")]).queued("offline");
}

#[test]
fn what_was_sent_while_the_receiver_was_off_arrives_once_when_both_are_on() {
    let mut pair = Pair::trusting();
    pair.bob.stop().done();
    let id = pair.alice.send("bob", &[&pair.alice.note("letter")]).queued("offline");
    let listed = &pair.alice.json(&["transfers"])["transfers"][0];
    assert_eq!((&listed["id"], &listed["state"]), (&id.as_str().into(), &"queued".into()));
    assert_eq!(listed["reason"]["message"], "'bob' is not online");
    assert!(listed["next_try"].as_u64().is_some(), "{listed}");
    let table = pair.alice.ffctl(&["transfers"]).done().stdout.join("\n");
    assert!(table.contains("queued") && table.contains("'bob' is not online"), "{table}");

    pair.alice.stop().done();
    pair.bob.start();
    pair.bob.registered_again();
    let mut watching = pair.bob.watch();
    pair.alice.start();
    watching.ended(&id, "done");
    assert_eq!(pair.bob.received_names(), ["letter"]);
    for _ in 0..2 {
        pair.alice.registered_again();
        pair.bob.registered_again();
        assert_eq!(
            (states(&pair.alice), states(&pair.bob)),
            (vec!["done".into()], vec!["done".into()])
        );
        for user in [&mut pair.alice, &mut pair.bob] {
            user.stop().done();
            user.start();
        }
    }
    assert_eq!(pair.bob.received_names(), ["letter"]);
}

#[test]
fn what_waits_goes_in_the_order_of_the_commands_whatever_is_restarted() {
    let mut pair = Pair::trusting();
    pair.bob.stop().done();
    let mut ids = Vec::new();
    for number in 0..5 {
        let note = pair.alice.note(&format!("{number}"));
        ids.push(pair.alice.send("bob", &[&note]).queued("offline"));
        match number {
            1 => drop(pair.alice.stop().done()),
            3 => pair.alice.kill(),
            _ => continue,
        }
        pair.alice.start();
    }
    pair.alice.registered_again();
    let mut watching = pair.alice.watch();
    pair.bob.start();
    assert_eq!(delivered(&mut watching, 5), ids);
    assert_eq!(pair.bob.received_names(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn a_queued_transfer_can_be_cancelled() {
    let mut pair = Pair::trusting();
    pair.bob.stop().done();
    let [unwanted, wanted] =
        ["unwanted", "wanted"].map(|name| pair.alice.send("bob", &[&pair.alice.note(name)]));
    let (unwanted, wanted) = (unwanted.queued("offline"), wanted.queued("offline"));
    pair.alice.ffctl(&["cancel", &unwanted]).done();
    pair.alice.ffctl(&["cancel", &unwanted]).failed(1).told("ended already");
    let listed = pair.alice.json(&["transfers"]);
    assert_eq!(listed["transfers"].as_array().unwrap().len(), 1, "{listed}");
    let mut watching = pair.alice.watch();
    pair.bob.start();
    watching.ended(&wanted, "done");
    assert_eq!(pair.bob.received_names(), ["wanted"]);
}

#[cfg(unix)] // Ctrl-C is a signal
#[test]
fn a_command_may_wait_for_the_receiver_and_ctrl_c_then_cancels() {
    let mut pair = Pair::trusting();
    pair.bob.stop().done();
    let sources: Vec<std::path::PathBuf> =
        ["kept", "given up"].map(|name| pair.alice.note(name)).into();
    let mut sending = sources.iter().map(|s| pair.alice.send_with(&["--wait"], "bob", &[s]));
    let (mut kept, mut given_up) = (sending.next().unwrap(), sending.next().unwrap());
    let queued =
        |event: &Value| event["state"] == "queued" && event["detail"] == "'bob' is not online";
    kept.progress(queued);
    given_up.progress(queued);
    given_up.interrupt();
    given_up.failed(130, "interrupted");
    pair.bob.start();
    kept.done();
    assert_eq!(pair.bob.received_names(), ["kept"]);
}

#[test]
fn what_is_sent_before_there_is_a_name_goes_when_there_is_one() {
    let server = Server::start();
    let (alice, bob) = (User::started(), User::registered("bob", &server));
    bob.ffctl(&["config", "set", "accept-strangers", "always"]).done();
    let mut watching = bob.watch();
    let id = alice.send("bob", &[&alice.note("letter")]).queued("not_registered");
    alice.send_with(&["--no-queue"], "bob", &[&alice.file("letter")]).failed(1, "not_registered");
    alice.register("alice", &server).done();
    watching.ended(&id, "done");
    assert_eq!(bob.received_names(), ["letter"]);
}

#[test]
fn what_is_gone_when_its_turn_comes_fails_and_the_next_goes() {
    let mut pair = Pair::trusting();
    pair.bob.stop().done();
    let [gone, there] = ["gone", "there"].map(|name| pair.alice.note(name));
    let gone_id = pair.alice.send("bob", &[&gone]).queued("offline");
    let there_id = pair.alice.send("bob", &[&there]).queued("offline");
    fs::remove_file(&gone).unwrap();
    let mut watching = pair.alice.watch();
    pair.bob.start();
    let failed = watching.ended(&gone_id, "failed");
    assert_eq!(failed["error"]["code"], "file_not_found", "{failed}");
    watching.ended(&there_id, "done");
    assert_eq!(pair.bob.received_names(), ["there"]);
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_up() {
    let mut pair = Pair::trusting();
    pair.bob.stop().done();
    let id = pair.alice.send("bob", &[&pair.alice.note("letter")]).queued("offline");
    // To the daemon that starts next, it was taken on, and is due, a hundred years from now.
    pair.alice.stop().done();
    let database = rusqlite::Connection::open(pair.alice.database()).unwrap();
    let later = "UPDATE transfers SET at = at + 3155760000,
        view = json_set(view, '$.started_at', 5000000000, '$.next_try', 5000000000)";
    assert_eq!(database.execute(later, []).unwrap(), 1);
    drop(database);
    pair.bob.start();
    pair.bob.registered_again();
    let mut watching = pair.bob.watch();
    pair.alice.start();
    watching.ended(&id, "done");
    assert_eq!(pair.bob.received_names(), ["letter"]);
}

#[test]
fn what_was_declined_is_sent_again_by_its_id() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let (mut mine, mut theirs) = (alice.watch(), bob.watch());
    let mut sending = alice.send("bob", &[&alice.note("letter")]);
    let first = sending.id();
    bob.ffctl(&["decline", &theirs.request()]).done();
    sending.failed(4, "declined");
    let again = alice.json(&["retry", &first[..8]])["transfer"].as_str().unwrap().to_owned();
    assert_ne!(again, first);
    bob.ffctl(&["accept", &theirs.request()]).done();
    mine.ended(&again, "done");
    assert_eq!(bob.received_names(), ["letter"]);

    alice.ffctl(&["retry", &again]).failed(2).told("that has arrived");
    bob.ffctl(&["retry", &again]).failed(2).told("only who has sent something");
    fs::remove_file(alice.file("letter")).unwrap();
    alice.ffctl(&["retry", &first]).failed(1).told("cannot read");
}
