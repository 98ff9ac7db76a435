//! Files that do not hold still while they are sent: each fails alone and by name.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::support::{Pair, hash_of, write_random};

/// More than one block, so that the file is on its way before its change is seen.
const LEN: u64 = 6 << 20;

/// Does `change` to the file, over and over, until `work` is done.
fn while_changing<T>(
    file_path: &Path,
    change: impl Fn(&File, u64) + Sync,
    work: impl FnOnce() -> T,
) -> T {
    let file = File::options().write(true).open(file_path).unwrap();
    let stop = AtomicBool::new(false);
    // Set even if the work panics: the scope waits for the thread.
    struct StopAtEnd<'a>(&'a AtomicBool);
    impl Drop for StopAtEnd<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        scope.spawn(|| {
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                change(&file, round);
            }
        });
        work()
    })
}

/// Sends a folder with a changing file among others: that one fails, the others arrive.
fn only_the_changing_file_fails(change: impl Fn(&File, u64) + Sync) {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    let dir = alice.file("work");
    fs::create_dir(&dir).unwrap();
    for name in ["after", "before", "log"] {
        write_random(&dir.join(name), LEN);
    }
    fs::write(dir.join("small"), "small").unwrap();
    let outcome = while_changing(&dir.join("log"), change, || {
        alice.send("bob", &[&dir]).failed(1, "source_changed")
    });
    let last = outcome.last();
    let failures = last["failures"].as_array().unwrap();
    let paths: Vec<_> = failures.iter().map(|failure| &failure["path"]).collect();
    assert_eq!(paths, ["work/log"], "{last}");
    let why = failures[0]["message"].as_str().unwrap();
    assert!(why.contains("changed while it was sent"), "{last}");
    outcome.told("work/log: the file changed while it was sent");

    let received = bob.received().join("work");
    for name in ["after", "before", "small"] {
        assert_eq!(hash_of(&received.join(name)), hash_of(&dir.join(name)), "{name}");
    }
    assert!(!received.join("log").exists());
    assert_eq!(bob.received_names(), ["work"]);
    let ended = &bob.json(&["transfers", "--all"])["transfers"][0];
    assert_eq!(ended["state"], Value::from("failed"), "{ended}");
}

#[test]
fn a_file_that_keeps_growing_fails_alone() {
    only_the_changing_file_fails(|file, round| file.write_all_at(b"x", LEN + round).unwrap());
}

#[test]
fn a_file_that_keeps_shrinking_fails_alone() {
    only_the_changing_file_fails(|file, round| {
        file.set_len(LEN / 2 * (1 + round % 2) - round % 1_000).unwrap();
    });
}

#[test]
fn a_small_file_that_keeps_changing_fails_alone() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    let (changing, quiet) = (alice.file("changing"), alice.note("quiet"));
    write_random(&changing, 900_000);
    let change = |file: &File, round: u64| file.set_len(800_000 + round % 100_000).unwrap();
    let outcome = while_changing(&changing, change, || {
        alice.send("bob", &[&changing, &quiet]).failed(1, "source_changed")
    });
    outcome.told("changing: the file changed while it was sent");
    assert_eq!(bob.received_names(), ["quiet"]);
}

#[test]
fn a_file_that_changes_once_arrives_as_it_is_in_the_end() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let source = alice.file("draft");
    write_random(&source, LEN);
    let mut watching = bob.watch();
    let sending = alice.send("bob", &[&source]);
    let id = watching.request();
    File::options().write(true).open(&source).unwrap().set_len(LEN + 5).unwrap();
    bob.ffctl(&["accept", &id]).done();
    sending.done();
    assert_eq!(hash_of(&bob.received().join("draft")), hash_of(&source));
}
