//! Somebody is not there, or goes away in the middle; or what is to be sent is not there.

use std::path::Path;

use crate::support::{Pair, hash_of, write_random};

#[test]
fn a_file_that_does_not_exist_is_named_and_nothing_is_sent() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    let missing = alice.file("missing.txt");
    let sending = alice.send("bob", &[&alice.note("letter"), &missing]);
    sending.failed(1, "file_not_found").told("missing.txt\" does not exist");
    assert_eq!(bob.received_names(), [""; 0]);
    assert!(alice.json(&["transfers", "--all"])["transfers"].as_array().unwrap().is_empty());
}

#[cfg(unix)] // a socket
#[test]
fn what_is_neither_file_nor_folder_fails_alone() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    let dir = alice.file("dir");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), "content").unwrap();
    std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    let outcome = alice.send("bob", &[&dir]).end().failed(1);
    outcome.told("socket").told("not a file, folder or symbolic link");
    assert_eq!(hash_of(&bob.received().join("dir/file")), hash_of(&dir.join("file")));
}

#[test]
fn somebody_who_is_not_online_is_named_if_nothing_is_to_be_queued() {
    let mut pair = Pair::trusting();
    pair.bob.stop().done();
    let letter = pair.alice.note("letter");
    let sending = pair.alice.send_with(&["--no-queue"], "bob", &[&letter]);
    sending.failed(5, "offline").told("'bob' is not online");
    pair.bob.start();
    pair.bob.registered_again();
    sends_again(&pair);
}

#[test]
fn a_waiting_request_outlives_a_restart_of_both_sides() {
    let mut pair = Pair::strangers();
    let source = pair.alice.note("letter");
    let mut watching = pair.bob.watch();
    let mut sending = pair.alice.send("bob", &[&source]);
    let id = watching.request();
    sending.waiting();
    pair.alice.stop().done();
    assert_eq!(sending.end().exit_code, Some(3));
    pair.bob.stop().done();
    pair.alice.start();
    pair.bob.start();
    assert_eq!(pair.bob.requests()[0]["id"], id.as_str());
    let mut watching = pair.alice.watch();
    pair.alice.registered_again();
    pair.bob.registered_again();
    pair.bob.ffctl(&["accept", &id]).done();
    watching.ended(&id, "done");
    assert_eq!(pair.bob.received_names(), ["letter"]);
}

/// Everything works as before.
#[track_caller]
fn sends_again(pair: &Pair) {
    pair.alice.registered_again();
    pair.bob.registered_again();
    let source = pair.alice.file("again");
    write_random(Path::new(&source), 2 << 20);
    pair.alice.send("bob", &[&source]).done();
    assert_eq!(hash_of(&pair.bob.received().join("again")), hash_of(&source));
    assert_eq!(pair.bob.received_names(), ["again"]);
}
