//! What was sent before comes again with other content.

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::{Pair, names_in};

fn write(dir: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(dir).unwrap();
    files.iter().for_each(|(name, content)| fs::write(dir.join(name), content).unwrap());
}

fn read(dir: &Path) -> Vec<(String, String)> {
    let content = |name: &String| fs::read_to_string(dir.join(name)).unwrap();
    names_in(dir).into_iter().map(|name| (name.clone(), content(&name))).collect()
}

#[track_caller]
fn assert_files(dir: &Path, expected: &[(&str, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(name, content)| ((*name).into(), (*content).into())).collect();
    assert_eq!(read(dir), expected);
}

#[test]
fn an_update_replaces_what_differs_and_nothing_that_the_receiver_has_altered() {
    let Pair { alice, bob, server } = Pair::trusting();
    bob.ffctl(&["contacts", "set", "alice", "--overwrite", "yes"]).done();
    let (source, received) = (alice.file("notes"), bob.received().join("notes"));
    write(&source, &[("altered", "1"), ("changed", "1"), ("gone", "1"), ("same", "1")]);
    alice.send("bob", &[&source]).done();

    fs::write(received.join("altered"), "bob's own").unwrap();
    fs::remove_file(received.join("gone")).unwrap();
    write(&source, &[("altered", "22"), ("changed", "22"), ("gone", "22")]);
    let done = alice.send_with(&["--update"], "bob", &[&source]).done();
    assert_files(
        &received,
        &[
            ("altered", "bob's own"),
            ("altered (2)", "22"),
            ("changed", "22"),
            ("gone", "22"),
            ("same", "1"),
        ],
    );
    let received_by_bob =
        bob.transfers().into_iter().find(|it| it["id"] == done["transfer"]).unwrap();
    for told in [&done, &received_by_bob] {
        assert_eq!(
            (&told["files_replaced"], &told["files_beside"]),
            (&1.into(), &1.into()),
            "{told}"
        );
    }
    assert_eq!((&done["files_there"], &done["sent_bytes"]), (&1.into(), &6.into()), "{done}");

    // Without the wish, nothing is replaced.
    fs::write(source.join("changed"), "333").unwrap();
    let told = alice.ffctl(&["send", "bob", source.to_str().unwrap()]).done().stdout;
    assert!(!told[0].contains("replaced"), "{told:?}");
    assert_eq!(fs::read_to_string(received.join("changed")).unwrap(), "22");
    assert_eq!(fs::read_to_string(received.join("changed (2)")).unwrap(), "333");
    drop(server);
}

#[test]
fn who_may_not_replace_changes_nothing() {
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.note("letter");
    alice.send("bob", &[&source]).done();
    fs::write(&source, "another").unwrap();
    let done = alice.send_with(&["--update"], "bob", &[&source]).done();
    assert_eq!((&done["files_replaced"], &done["files_beside"]), (&0.into(), &1.into()), "{done}");
    assert_files(&bob.received(), &[("letter", "a note: letter\n"), ("letter (2)", "another")]);
    // A permission that was taken away is none.
    for word in ["yes", "no"] {
        bob.ffctl(&["contacts", "set", "alice", "--overwrite", word]).done();
    }
    assert_eq!(bob.json(&["contacts", "show", "alice"])["overwrite"], false);
    fs::write(&source, "a third").unwrap();
    alice.send_with(&["--update"], "bob", &[&source]).done();
    assert_eq!(bob.received_names(), ["letter", "letter (2)", "letter (3)"]);
    drop(server);
}

#[test]
fn what_a_person_has_to_accept_says_that_it_is_an_update() {
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.note("letter");
    alice.send("bob", &[&source]).done();
    bob.ffctl(&["contacts", "set", "alice", "--accept", "ask", "--overwrite", "yes"]).done();
    fs::write(&source, "another").unwrap();
    let mut watching = bob.watch();
    let sending = alice.send_with(&["--update"], "bob", &[&source]);
    let id = watching.request();
    assert_eq!(bob.requests()[0]["update"], true);
    bob.ffctl(&["accept", &id]).done();
    assert_eq!(sending.done()["files_replaced"], 1);
    assert_files(&bob.received(), &[("letter", "another")]);
    drop(server);
}

#[test]
fn content_is_what_counts_when_the_user_says_so() {
    let Pair { alice, bob, server } = Pair::trusting();
    let (source, received) = (alice.file("notes"), bob.received().join("notes"));
    write(&source, &[("a", "one"), ("b", "two")]);
    alice.send("bob", &[&source]).done();
    let set_time = |name: &str, time| {
        let file = File::options().write(true).open(source.join(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    };

    // Touched, and nothing else.
    set_time("a", SystemTime::now() + Duration::from_secs(9));
    let done = alice.send_with(&["--checksum"], "bob", &[&source]).done();
    assert_eq!((&done["files_there"], &done["sent_bytes"]), (&2.into(), &0.into()), "{done}");

    // Changed, and made to look as before.
    let time = fs::metadata(source.join("b")).unwrap().modified().unwrap();
    fs::write(source.join("b"), "TWO").unwrap();
    set_time("b", time);
    let done = alice.send_with(&["--checksum"], "bob", &[&source]).done();
    assert_eq!((&done["files_there"], &done["sent_bytes"]), (&1.into(), &3.into()), "{done}");
    assert_files(&received, &[("a", "one"), ("b", "two"), ("b (2)", "TWO")]);

    // Altered at the receiver, and made to look as before: its content is read.
    let time = fs::metadata(received.join("a")).unwrap().modified().unwrap();
    fs::write(received.join("a"), "ONE").unwrap();
    let file = File::options().write(true).open(received.join("a")).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
    let done = alice.send_with(&["--checksum"], "bob", &[&source]).done();
    assert_eq!(done["sent_bytes"], 3, "{done}");
    assert_eq!(fs::read_to_string(received.join("a (2)")).unwrap(), "one");
    drop(server);
}
