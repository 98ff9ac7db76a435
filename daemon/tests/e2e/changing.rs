//! Files that do not hold still while they are sent: each fails alone and by name.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde_json::Value;

use crate::support::{Pair, Scratch, hash_of, write_random};

/// The size of the changing file: reading it takes far longer than a thread that waits for an event
/// takes to wake up.
const LEN: u64 = 128 << 20;

/// Does `change` to the file whenever somebody opens it or reads from it, until `work` is done.
fn while_changing<T>(
    file_path: &Path,
    change: impl Fn(&File, u64) + Sync,
    work: impl FnOnce() -> T,
) -> T {
    let file = File::options().write(true).open(file_path).unwrap();
    let watch = inotify::init(CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, file_path, WatchFlags::OPEN | WatchFlags::ACCESS).unwrap();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(&watch, &mut buffer);
            for round in 0.. {
                events.next().unwrap();
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                change(&file, round);
            }
        });
        let _end = End { ended: &ended, file_path };
        work()
    })
}

/// Ends the thread that changes the file, even if the work panics: it is waited for.
struct End<'a> {
    ended: &'a AtomicBool,
    file_path: &'a Path,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // The event that the thread waits for.
        File::open(self.file_path).unwrap();
    }
}

/// Sends a folder with a changing file among others: that one fails, the others arrive.
fn only_the_changing_file_fails(change: impl Fn(&File, u64) + Sync) {
    let mut pair = Pair::trusting();
    pair.alice.stop().done();
    pair.alice.start_behind_others();
    pair.alice.registered_again();
    let Pair { alice, bob, .. } = &pair;
    let scratch = Scratch::in_memory();
    let dir = scratch.path().join("work");
    fs::create_dir(&dir).unwrap();
    for name in ["after", "before"] {
        write_random(&dir.join(name), 3 << 20);
    }
    write_random(&dir.join("log"), LEN);
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
        file.set_len(LEN + LEN / 2 * (round % 2) - round % 1_000).unwrap();
    });
}

#[test]
fn a_file_that_changes_once_arrives_as_it_is_in_the_end() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let source = alice.file("draft");
    write_random(&source, 6 << 20);
    let mut watching = bob.watch();
    let sending = alice.send("bob", &[&source]);
    let id = watching.request();
    File::options().write(true).open(&source).unwrap().set_len((6 << 20) + 5).unwrap();
    bob.ffctl(&["accept", &id]).done();
    sending.done();
    assert_eq!(hash_of(&bob.received().join("draft")), hash_of(&source));
}

#[test]
fn a_file_that_is_deleted_before_its_turn_fails_alone_and_by_name() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let dir = alice.file("work");
    fs::create_dir(&dir).unwrap();
    for (name, len) in [("gone, large", 3 << 20), ("gone, small", 5), ("kept", 3 << 20)] {
        write_random(&dir.join(name), len);
    }
    let mut watching = bob.watch();
    let sending = alice.send("bob", &[&dir]);
    let id = watching.request();
    let note = alice.note("letter");
    // One that is named itself is missed; what lies in a folder is as if it had never been there.
    let second = alice.send("bob", &[&note, &dir.join("kept")]);
    let id_of_second = watching.request();
    fs::remove_file(dir.join("gone, large")).unwrap();
    fs::remove_file(dir.join("gone, small")).unwrap();
    fs::remove_file(&note).unwrap();
    bob.ffctl(&["accept", &id]).done();
    sending.done();
    bob.ffctl(&["accept", &id_of_second]).done();
    let outcome = second.failed(1, "source_changed");
    outcome.told("letter");
    assert_eq!(hash_of(&bob.received().join("work/kept")), hash_of(&dir.join("kept")));
    assert_eq!(hash_of(&bob.received().join("kept")), hash_of(&dir.join("kept")));
    assert_eq!(bob.received_names(), ["kept", "work"]);
}

#[test]
fn who_accepts_what_has_failed_meanwhile_hears_why() {
    let mut pair = Pair::strangers();
    let note = pair.alice.note("letter");
    let mut watching = pair.bob.watch();
    let mut sending = pair.alice.send("bob", &[&note]);
    let id = watching.request();
    sending.waiting();
    pair.alice.kill();
    drop(sending);
    fs::remove_file(&note).unwrap();
    // While he is away she cannot say so by herself before he accepts.
    pair.bob.kill();
    pair.alice.start();
    let mut failing = pair.alice.watch();
    if pair.alice.transfers()[0]["state"] != "failed" {
        failing.ended(&id, "failed");
    }
    pair.alice.registered_again();
    pair.bob.start();
    pair.bob.registered_again();
    watching = pair.bob.watch();
    let accepted = pair.bob.ffctl(&["accept", &id]);
    if accepted.exit_code != Some(0) {
        // Her daemon hears of him when he calls it; its word may come before his.
        accepted.failed(1).told("there is no such request");
        let waiting = pair.bob.ffctl(&["requests", "--json"]).done().json();
        return assert_eq!(waiting["requests"], Value::Array(vec![]), "{waiting}");
    }
    let failed = watching.ended(&id, "failed");
    let why = failed["error"]["message"].as_str().unwrap();
    assert!(why.contains("cannot be read"), "{failed}");
    let home = pair.alice.home();
    assert!(!failed.to_string().contains(home.to_str().unwrap()), "{failed}");
}
