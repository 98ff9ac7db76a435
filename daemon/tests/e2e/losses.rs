//! What could not be kept of what was sent is told to both sides, and is known after a restart.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{XattrFlags, getxattr, setxattr};
use serde_json::Value;

use crate::support::{Disk, Pair};

/// Kind and count of each loss.
fn counts(transfer: &Value) -> Vec<(String, u64)> {
    let losses = transfer["losses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let count =
        |loss: &Value| (loss["kind"].as_str().unwrap().to_owned(), loss["count"].as_u64().unwrap());
    losses.iter().map(count).collect()
}

fn owned(counts: &[(&str, u64)]) -> Vec<(String, u64)> {
    counts.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

fn tag(file_path: &Path) {
    setxattr(file_path, "user.origin", b"a camera", XattrFlags::empty()).unwrap();
}

/// A folder with a set-id bit, a sparse file and attributes.
fn make_special(at: &Path) {
    fs::create_dir(at).unwrap();
    fs::write(at.join("tool"), "x").unwrap();
    fs::set_permissions(at.join("tool"), Permissions::from_mode(0o4755)).unwrap();
    File::create(at.join("sparse")).unwrap().set_len(3 << 20).unwrap();
    fs::write(at.join("tagged"), "x").unwrap();
    tag(&at.join("tagged"));
    tag(at);
}

#[test]
fn what_could_not_be_kept_is_told_to_both_sides_and_after_a_restart() {
    // It has neither holes nor attributes.
    let disk = Disk::of_kind("ramfs", "mode=700");
    let mut pair = Pair::storing_on(&disk);
    fs::write(disk.seen_from_outside().join("letter"), "bob's own").unwrap();
    let (tree, letter) = (pair.alice.file("tree"), pair.alice.note("letter"));
    make_special(&tree);
    let done = pair.alice.send_with(&["--xattrs"], "bob", &[&tree, &letter]).done();
    let lost_there = [("name", 1), ("attributes", 2), ("holes", 1)];
    let lost = [("name", 1), ("special_bits", 1), ("attributes", 2), ("holes", 1)];
    assert_eq!(counts(&done), owned(&lost));
    let renamed = &done["losses"][0]["examples"][0];
    assert_eq!((&renamed["path"], &renamed["detail"]), (&"letter".into(), &"letter (2)".into()));
    assert_eq!(disk.names(), ["letter", "letter (2)", "tree"]);

    let id = done["transfer"].as_str().unwrap();
    pair.alice.kill();
    pair.bob.stop().done();
    pair.alice.start();
    pair.bob.start_by(|command| disk.within(command));
    assert_eq!(counts(&pair.alice.transfers()[0]), owned(&lost));
    let shown = pair.bob.json(&["transfers", &id[..8]]);
    assert_eq!(counts(&shown["transfers"][0]), owned(&lost_there));
    let printed = pair.bob.ffctl(&["transfers", id]).done().stdout.join("\n");
    assert!(printed.contains("holes filled with zeros: 1 file\n    tree/sparse"), "{printed}");
}

#[test]
fn a_person_is_told_in_a_few_lines_and_what_to_do() {
    let Pair { alice, bob, server } = Pair::trusting();
    let letter = alice.note("letter");
    tag(&letter);
    fs::create_dir_all(bob.received()).unwrap();
    fs::write(bob.received().join("letter"), "bob's own").unwrap();
    let told = alice.ffctl(&["send", "bob", letter.to_str().unwrap()]).done();
    told.told("not everything could be kept:")
        .told("names that were taken, so that another was given: 1")
        .told("letter: letter (2)")
        .told("extended attributes not sent: 1 entry")
        .told("letter: user.origin")
        .told("hint: to send the attributes of the namespace user: ffctl send --xattrs");
    // Where nothing was lost, nothing is said.
    let plain = alice.note("plain");
    let told = alice.ffctl(&["send", "bob", plain.to_str().unwrap()]).done();
    assert!(!told.stderr.contains("kept"), "{told:?}");
    drop(server);
}

#[test]
fn attributes_arrive_on_request() {
    let Pair { alice, bob, server } = Pair::trusting();
    let tree = alice.file("tree");
    make_special(&tree);
    fs::write(tree.join("large"), vec![7; 3 << 20]).unwrap();
    tag(&tree.join("large"));
    fs::set_permissions(tree.join("tagged"), Permissions::from_mode(0o444)).unwrap();
    let done = alice.send_with(&["--xattrs"], "bob", &[&tree]).done();
    assert_eq!(counts(&done), owned(&[("special_bits", 1)]));
    let received = bob.received().join("tree");
    for name in ["", "tagged", "large"] {
        let mut value = [0; 100];
        let len = getxattr(received.join(name), "user.origin", &mut value).unwrap();
        assert_eq!(&value[..len], b"a camera", "{name}");
    }
    drop(server);
}
