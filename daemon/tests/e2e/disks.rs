//! Destinations that cannot take what is sent, for the moment or at all.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Disk, Pair, Sending, Tree, hash_of, names_in, write_random};

/// More than fits the disk beside what fills it, and less than fits without that.
const LARGE: u64 = 24 << 20;

/// Alice, Bob who stores on a small disk, and a large file that this has no room for as long as the
/// filler lies there.
fn pair_with_full_disk() -> (Pair, Disk, PathBuf, PathBuf) {
    let disk = Disk::new("size=32m");
    let pair = Pair::storing_on(&disk);
    let filler = disk.fill(8 << 20);
    let source = pair.alice.file("large");
    write_random(&source, LARGE);
    (pair, disk, filler, source)
}

/// Sends, and waits until both sides say that there is no room.
#[track_caller]
fn send_until_full(pair: &Pair, source: &Path) -> Sending {
    let mut watching = pair.bob.watch();
    let mut sending = pair.alice.send("bob", &[source]);
    let paused = sending.progress(|event| event["detail"] == "no space left at bob");
    assert_eq!(paused["state"], "paused", "{paused}");
    let full = |transfer: &Value| {
        transfer["state"] == "paused"
            && transfer["detail"] == "no space is left on the destination's disk"
    };
    watching.until("transfer", full);
    let listed = pair.alice.ffctl(&["transfers"]).done().stdout.join("\n");
    assert!(listed.contains("paused") && listed.contains("no space left at bob"), "{listed}");
    sending
}

#[test]
fn a_transfer_that_fills_the_disk_goes_on_when_there_is_room() {
    let (pair, disk, filler, source) = pair_with_full_disk();
    let sending = send_until_full(&pair, &source);
    assert!(!disk.names().contains(&"large".to_owned()));
    fs::remove_file(filler).unwrap();
    let done = sending.done();
    disk.holds("large", &source);
    assert_eq!(disk.names(), ["large"]);
    // What had arrived was kept: only what was under way came again.
    let again = done["sent_bytes"].as_u64().unwrap() - LARGE;
    assert!(again < LARGE, "{again}");
}

#[test]
fn a_transfer_that_fills_the_disk_survives_a_restart_of_either_side() {
    let (mut pair, disk, filler, source) = pair_with_full_disk();
    let mut sending = send_until_full(&pair, &source);
    pair.bob.kill();
    sending.progress(|event| event["detail"] == "looking for bob again");
    pair.bob.start_by(|command| disk.within(command));
    sending.progress(|event| event["detail"] == "no space left at bob");
    pair.alice.kill();
    drop(sending);
    pair.alice.start();
    let mut watching = pair.alice.watch();
    if pair.alice.transfers()[0]["detail"] != "no space left at bob" {
        watching.until("transfer", |transfer| transfer["detail"] == "no space left at bob");
    }
    fs::remove_file(filler).unwrap();
    watching.until("transfer", |transfer| transfer["state"] == "done");
    disk.holds("large", &source);
    assert_eq!(disk.names(), ["large"]);
}

#[test]
fn a_transfer_that_fills_the_disk_can_be_given_up_and_leaves_nothing() {
    let (pair, disk, _, source) = pair_with_full_disk();
    let mut sending = pair.alice.send("bob", &[&source]);
    let id = sending.id();
    sending.progress(|event| event["detail"] == "no space left at bob");
    let mut watching = pair.bob.watch();
    pair.alice.ffctl(&["cancel", &id]).done();
    sending.failed(1, "cancelled");
    watching.ended(&id, "cancelled");
    assert_eq!(disk.names(), ["filler"]);
}

#[test]
fn of_many_files_those_that_fit_are_whole_and_the_others_come_later() {
    let disk = Disk::new("size=32m");
    let pair = Pair::storing_on(&disk);
    let filler = disk.fill(8 << 20);
    let source = pair.alice.file("many");
    Tree::make(&source, 300);
    for number in 0..12 {
        write_random(&source.join(number.to_string()), 1 << 20);
    }
    let sending = send_until_full(&pair, &source);
    let received = disk.seen_from_outside().join("many");
    for name in names_in(&received).iter().filter(|name| received.join(name).is_file()) {
        assert_eq!(hash_of(&received.join(name)), hash_of(&source.join(name)), "{name}");
    }
    fs::remove_file(filler).unwrap();
    sending.done();
    disk.holds("many", &source);
    assert_eq!(disk.names(), ["many"]);
}

/// Bob, whom permissions bind, has got a folder of Alice's: where it was, and where it is.
fn sent_to_the_obedient() -> (Pair, PathBuf, PathBuf) {
    let mut pair = Pair::trusting();
    pair.bob.stop().done();
    pair.bob.start_obedient();
    let source = pair.alice.file("tree");
    Tree::make(&source, 10);
    pair.alice.send("bob", &[&source]).done();
    let received = pair.bob.received().join("tree");
    (pair, source, received)
}

#[test]
fn permission_that_is_taken_away_fails_what_it_concerns_and_loses_nothing() {
    let (pair, source, received) = sent_to_the_obedient();
    write_random(&source.join("new"), 3 << 20);
    let may = fs::metadata(&received).unwrap().permissions();
    fs::set_permissions(&received, Permissions::from_mode(0o555)).unwrap();
    let outcome = pair.alice.send("bob", &[&source]).end().failed(1);
    let failed = outcome.last();
    let failures = failed["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{failed}");
    outcome.told("no permission to write");
    assert!(!received.join("new").exists());
    fs::set_permissions(&received, may).unwrap();
    pair.alice.send("bob", &[&source]).done();
    assert_eq!(hash_of(&received.join("new")), hash_of(&source.join("new")));
    assert_eq!(pair.bob.received_names(), ["tree"]);
}

#[test]
fn a_small_file_that_fails_at_the_receiver_is_named_by_its_path() {
    let (pair, source, received) = sent_to_the_obedient();
    fs::write(source.join("new"), "small").unwrap();
    let may = fs::metadata(&received).unwrap().permissions();
    fs::set_permissions(&received, Permissions::from_mode(0o555)).unwrap();
    let last = pair.alice.send("bob", &[&source]).end().failed(1).last();
    fs::set_permissions(&received, may).unwrap();
    let paths: Vec<_> = last["failures"].as_array().unwrap().iter().map(|it| &it["path"]).collect();
    assert_eq!(paths, ["tree/new"], "{last}");
}

#[test]
fn a_read_only_destination_is_named_as_such() {
    let disk = Disk::new("ro");
    let pair = Pair::storing_on(&disk);
    let sending = pair.alice.send("bob", &[&pair.alice.note("letter")]);
    let outcome = sending.failed(1, "permission_denied");
    outcome.told("the destination cannot be written").told("read-only");
    assert_eq!(disk.names(), [""; 0]);
}
