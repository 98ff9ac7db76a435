//! What a user says about how something is sent.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

use crate::support::{Pair, names_in, write_random};

/// A folder with things in it that need not be sent, and a pipe, which cannot be.
fn make_project(at: &Path) {
    for dir in ["build", "src/build", "src/cache"] {
        fs::create_dir_all(at.join(dir)).unwrap();
    }
    for name in ["build/x", "src/build/y", "src/a.c", "src/a.o", "src/cache/z", "cache"] {
        fs::write(at.join(name), "12345").unwrap();
    }
    mknodat(CWD, at.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
}

#[test]
fn what_is_left_out_is_not_sent_and_a_dry_run_tells_it_before() {
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.file("project");
    make_project(&source);
    let left_out = ["--exclude", "*.o", "--exclude", "/build", "--exclude", "cache/"];
    let dry_run = [&["send", "--dry-run"], &left_out[..], &["bob", source.to_str().unwrap()]];
    let told = alice.json(&dry_run.concat());
    assert_eq!((&told["event"], &told["files"]), (&"dry_run".into(), &3.into()), "{told}");
    assert_eq!((&told["bytes"], &told["folders"]), (&15.into(), &3.into()), "{told}");
    let mut paths: Vec<_> = told["excluded_paths"].as_array().unwrap().clone();
    paths.sort_by_key(ToString::to_string);
    let expected = ["build", "src/a.o", "src/cache"].map(|name| json!(source.join(name)));
    assert_eq!((&told["excluded"], &paths[..]), (&3.into(), &expected[..]));
    assert_eq!(
        (&told["skipped"], &told["skips"][0]["path"]),
        (&1.into(), &json!(source.join("pipe")))
    );
    let printed = alice.ffctl(&dry_run.concat()).done().stdout;
    assert_eq!(printed[0], "would send 3 files, 15 B, 3 folders to bob");
    assert!(printed.contains(&"cannot be sent: 1".to_owned()), "{printed:?}");
    assert_eq!((alice.transfers(), bob.transfers()), (Vec::new(), Vec::new()));

    // The pipe is a failure of its own; everything else arrives.
    alice.send_with(&left_out, "bob", &[&source]).failed(1, "source_changed").told("pipe");
    let received = bob.received().join("project");
    assert_eq!(names_in(&received), ["cache", "src"]);
    assert_eq!(names_in(&received.join("src")), ["a.c", "build"]);
    drop(server);
}

#[test]
fn a_dry_run_needs_no_receiver_and_says_what_is_wrong() {
    let pair = Pair::strangers();
    let source = pair.alice.note("letter");
    let source = source.to_str().unwrap();
    pair.alice.ffctl(&["send", "--dry-run", "nobody", source]).done();
    let told = pair.alice.ffctl(&["send", "--dry-run", "--exclude", "[", "bob", source]);
    told.failed(2).told("\"[\" is no glob");
    pair.alice
        .send_with(&["--exclude", "{a"], "bob", &[Path::new(source)])
        .failed(2, "bad_argument");
    pair.alice.ffctl(&["send", "--limit", "1K", "bob", source]).failed(2).told("64.0 KiB/s");
}

#[test]
fn a_limit_holds_in_the_outbox_and_over_restarts() {
    const BYTES: u64 = 3 << 20;
    let mut pair = Pair::trusting();
    pair.bob.stop().done();
    let source = pair.alice.file("large");
    write_random(&source, BYTES);
    let id = pair.alice.send_with(&["--limit", "1M"], "bob", &[&source]).queued("offline");
    pair.alice.stop().done();
    pair.alice.start();
    assert_eq!(pair.alice.json(&["transfers"])["transfers"][0]["limit"], 1 << 20);
    let mut watching = pair.alice.watch();
    let start = Instant::now();
    pair.bob.start();
    let done = watching.ended(&id, "done");
    // Whatever else holds it up makes it longer: all but the last piece is paid for, but for a burst of
    // a tenth of a second.
    assert!(start.elapsed() >= Duration::from_millis(2_800), "{:?}", start.elapsed());
    assert_eq!(done["sent_bytes"], BYTES, "{done}");
    assert_eq!(fs::read(pair.bob.received().join("large")).unwrap(), fs::read(&source).unwrap());
}
