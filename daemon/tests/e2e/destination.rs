//! Destinations that cannot take what is sent.

#[cfg(target_os = "linux")]
use std::fs;

use crate::support::Pair;
#[cfg(target_os = "linux")]
use crate::support::{Server, User, hash_of, names_in, write_random};

/// Alice, and Bob whose folder for what she sends is a file system with these options.
#[cfg(target_os = "linux")]
fn pair_with_disk(options: &str) -> (Pair, std::path::PathBuf) {
    let server = Server::start();
    let alice = User::registered("alice", &server);
    let mut bob = User::new();
    let disk = bob.file("disk");
    fs::create_dir(&disk).unwrap();
    bob.start_with_disk(&disk, options);
    bob.register("bob", &server).done();
    bob.accept("alice", "always");
    let set_dir = ["contacts", "set", "alice", "--dir", disk.to_str().unwrap()];
    bob.ffctl(&set_dir).done();
    let seen = bob.as_daemon_sees(&disk);
    (Pair { alice, bob, server }, seen)
}

#[cfg(target_os = "linux")] // a file system of its own
#[test]
fn a_full_disk_ends_the_transfer_and_leaves_no_half_file() {
    let (pair, disk) = pair_with_disk("size=8m");
    let (small, large) = (pair.alice.note("small"), pair.alice.file("large"));
    write_random(&large, 32 << 20);
    let sending = pair.alice.send("bob", &[&large]);
    sending.failed(1, "disk_full").told("bob: no space left at the destination");
    assert_eq!(names_in(&disk), [""; 0]);
    pair.alice.send("bob", &[&small]).done();
    assert_eq!(names_in(&disk), ["small"]);
    let ended = &pair.bob.json(&["transfers", "--all"])["transfers"];
    let failed = ended.as_array().unwrap().iter().find(|ended| ended["state"] == "failed");
    assert_eq!(failed.unwrap()["error"]["code"], "disk_full", "{ended}");
}

#[cfg(target_os = "linux")] // a file system of its own
#[test]
fn what_fits_on_a_disk_that_runs_full_is_whole() {
    let (pair, disk) = pair_with_disk("size=8m");
    let dir = pair.alice.file("many");
    fs::create_dir(&dir).unwrap();
    for number in 0..12 {
        write_random(&dir.join(number.to_string()), 1 << 20);
    }
    pair.alice.send("bob", &[&dir]).failed(1, "disk_full");
    for name in names_in(&disk.join("many")) {
        let received = disk.join("many").join(&name);
        assert_eq!(hash_of(&received), hash_of(&dir.join(&name)), "{name}");
    }
    assert!(names_in(&disk).iter().all(|name| name == "many"), "{:?}", names_in(&disk));
}

#[cfg(target_os = "linux")] // a file system of its own
#[test]
fn a_read_only_destination_is_named_as_such() {
    let (pair, disk) = pair_with_disk("ro");
    let sending = pair.alice.send("bob", &[&pair.alice.note("letter")]);
    let outcome = sending.failed(1, "permission_denied");
    outcome.told("the destination cannot be written").told("read-only");
    assert_eq!(names_in(&disk), [""; 0]);
}

#[test]
fn a_destination_that_is_gone_is_named_as_such() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    let gone = bob.file("gone");
    let set_dir = ["contacts", "set", "alice", "--dir", gone.to_str().unwrap()];
    bob.ffctl(&set_dir).done();
    let sending = alice.send("bob", &[&alice.note("letter")]);
    sending.failed(1, "permission_denied").told("the destination folder does not exist");
    assert!(!gone.exists());
    assert_eq!(bob.received_names(), [""; 0]);
}
