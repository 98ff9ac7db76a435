//! What is sent without being a file, and what is received without becoming one.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::support::{Pair, Scratch, Tree, User, hash_of, names_in, write_random};

/// What the daemon keeps of what it has to send.
fn spool(user: &User) -> Vec<String> {
    names_in(&user.home().join("state/spool"))
}

#[test]
fn standard_input_arrives_as_a_file_and_nothing_of_it_stays_with_the_sender() {
    let Pair { mut alice, bob, server } = Pair::trusting();
    let source = alice.file("source");
    write_random(&source, (5 << 20) + 7);
    let done = alice.send_input(&source, &["--name", "from a pipe"], "bob").done();
    assert_eq!((&done["files"], &done["bytes"]), (&1.into(), &((5 << 20) + 7).into()), "{done}");
    assert_eq!(hash_of(&bob.received().join("from a pipe")), hash_of(&source));
    let empty = alice.file("empty");
    fs::write(&empty, "").unwrap();
    alice.send_input(&empty, &["--name", "empty"], "bob").done();
    assert_eq!(bob.received_names(), ["empty", "from a pipe"]);
    alice.stop().done();
    assert_eq!(spool(&alice), [""; 0]);
    drop(server);
}

#[test]
fn standard_input_waits_in_the_outbox_and_survives_restarts() {
    let mut pair = Pair::trusting();
    pair.bob.stop().done();
    let source = pair.alice.note("source");
    let id = pair.alice.send_input(&source, &["--name", "kept"], "bob").queued("offline");
    let given_up = pair.alice.send_input(&source, &["--name", "given up"], "bob").queued("offline");
    fs::remove_file(&source).unwrap();
    pair.alice.kill();
    pair.alice.start();
    assert_eq!(spool(&pair.alice).len(), 2);
    pair.alice.ffctl(&["cancel", &given_up]).done();
    let mut watching = pair.alice.watch();
    pair.bob.start();
    watching.ended(&id, "done");
    assert_eq!(fs::read_to_string(pair.bob.received().join("kept")).unwrap(), "a note: source\n");
    pair.alice.stop().done();
    assert_eq!(spool(&pair.alice), [""; 0]);
    assert_eq!(pair.bob.received_names(), ["kept"]);
}

#[test]
fn input_that_breaks_off_is_not_sent() {
    let mut pair = Pair::trusting();
    let pipe = pair.alice.file("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let sending = pair.alice.send_input(&pipe, &["--name", "half"], "bob");
    let mut input = OpenOptions::new().write(true).open(&pipe).unwrap();
    // More than all buffers on the way hold: the daemon has begun to keep it.
    input.write_all(&vec![b'x'; 4 << 20]).unwrap();
    assert_eq!(spool(&pair.alice).len(), 1);
    sending.kill();
    pair.alice.stop().done();
    assert_eq!(spool(&pair.alice), [""; 0]);
    pair.alice.start();
    assert_eq!((pair.alice.transfers(), pair.bob.received_names()), (Vec::new(), Vec::new()));
}

#[test]
fn what_cannot_be_sent_is_refused_before_it_is_read() {
    let pair = Pair::trusting();
    let source = pair.alice.note("source");
    for (options, to, code) in [
        (&["--name", "a/b"][..], "bob", "bad_argument"),
        (&["--name", ".."], "bob", "bad_argument"),
        (&["--name", "x"], "no name", "bad_argument"),
        (&[], "bob", "bad_argument"),
    ] {
        pair.alice.send_input(&source, options, to).failed(2, code);
    }
    pair.alice.ffctl(&["send", "bob", "--name", "x", "a"]).failed(2).told("--name is for");
    assert_eq!((spool(&pair.alice), pair.bob.received_names()), (Vec::new(), Vec::new()));
}

#[test]
fn a_text_is_shown_quoted_and_arrives_as_a_file() {
    const TEXT: &str = "the code is 4711\n\u{1b}[31mred \u{202e}";
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let mut watching = bob.watch();
    let sending = alice.send_with(&["--text", TEXT], "bob", &[]);
    let id = watching.request();
    assert_eq!(bob.requests()[0]["text"], TEXT);
    let shown = bob.ffctl(&["requests"]).done().stdout.join("\n");
    let quoted = "says \"the code is 4711\\n\\u{1b}[31mred \\u{202e}\"";
    assert!(shown.contains(quoted), "{shown}");
    bob.ffctl(&["accept", "--always", &id]).done();
    sending.done();
    assert_eq!(fs::read_to_string(bob.received().join("text.txt")).unwrap(), TEXT);
    assert_eq!(watching.ended(&id, "done")["text"], TEXT);

    // From a contact who is trusted it is shown when it has arrived.
    alice.send_with(&["--text", "second", "--name", "note"], "bob", &[]).done();
    watching.until("transfer", |it| it["text"] == "second" && it["state"] == "done");
    assert_eq!(bob.received_names(), ["note", "text.txt"]);
    let long = "x".repeat((16 << 10) + 1);
    alice.ffctl(&["send", "bob", "--text", &long]).failed(2).told("a text has at most 16.0 KiB");
}

#[test]
fn a_tree_goes_through_pipes_on_both_sides() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    Tree::make(&alice.file("tree"), 50);
    let send = r#"tar c --format=pax -C "$0" tree | "$1" send bob - --name tree.tar"#;
    let take = r#""$1" accept "$2" --to - | tar x -C "$0""#;
    let mut watching = bob.watch();
    let sending = alice.shell(send, &alice.file(""), &[]);
    let id = watching.request();
    bob.shell(take, &bob.file(""), &[&id]).end().done();
    sending.end().done();
    assert_eq!(Tree::read(&bob.file("tree")), Tree::read(&alice.file("tree")));
    assert_eq!(bob.received_names(), [""; 0]);
}

#[test]
fn what_cannot_be_printed_is_kept_and_only_one_file_can_be() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let (mut watching, source) = (bob.watch(), alice.note("letter"));
    let sending = alice.send("bob", &[&source]);
    let id = watching.request();
    let told = bob.shell(r#"exec "$1" accept "$2" --to - >/dev/full"#, &source, &[&id]).end();
    let [folder] = &bob.received_names()[..] else { panic!("one folder: {told:?}") };
    let kept = bob.received().join(folder).join("letter");
    told.failed(1).told(&format!("it is kept as \"{}\"", kept.display()));
    sending.done();
    assert_eq!(hash_of(&kept), hash_of(&source));

    let sending = alice.send("bob", &[&source, &alice.note("another")]);
    let id = watching.request();
    bob.ffctl(&["accept", &id, "--to", "-"]).failed(2).told("only a single file");
    bob.ffctl(&["decline", &id]).done();
    sending.failed(4, "declined");
}

#[test]
fn nothing_is_printed_of_a_file_that_does_not_arrive() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let (mut watching, dir) = (bob.watch(), Scratch::new());
    let source = alice.file("slow");
    write_random(&source, 4 << 20);
    let mut sending = alice.send_with(&["--limit", "64K"], "bob", &[&source]);
    let id = watching.request();
    sending.waiting();
    let output = dir.path().join("output");
    let printing = bob.shell(r#"exec "$1" accept "$2" --to - >"$0""#, &output, &[&id]);
    watching.until("transfer", |it| it["id"] == *id && it["state"] == "active");
    sending.interrupt();
    sending.failed(130, "interrupted");
    printing.end().failed(1).told("cancelled");
    assert_eq!(fs::metadata(&output).unwrap().len(), 0);
    assert_eq!(bob.received_names(), [""; 0]);
}

#[test]
fn ctrl_c_ends_a_print_that_nobody_reads_and_keeps_the_file() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let (mut watching, source) = (bob.watch(), alice.file("large"));
    // More than a pipe holds.
    write_random(&source, 1 << 20);
    let sending = alice.send("bob", &[&source]);
    let id = watching.request();
    let pipe = bob.file("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let printing = bob.shell(r#"exec "$1" accept "$2" --to - >"$0""#, &pipe, &[&id]);
    reader.read_exact(&mut [0]).unwrap();
    let told = printing.end_by(Signal::INT).failed(130);
    let [folder] = &bob.received_names()[..] else { panic!("one folder: {told:?}") };
    let kept = bob.received().join(folder).join("large");
    told.told(&format!("it is kept as \"{}\"", kept.display()));
    sending.done();
    assert_eq!(hash_of(&kept), hash_of(&source));
}

#[test]
fn ctrl_c_while_it_arrives_cancels_and_ends_with_130() {
    let pair = Pair::strangers();
    let Pair { alice, bob, .. } = &pair;
    let (mut watching, source) = (bob.watch(), alice.file("slow"));
    write_random(&source, 4 << 20);
    let mut sending = alice.send_with(&["--limit", "64K"], "bob", &[&source]);
    let id = watching.request();
    sending.waiting();
    let printing = bob.shell(r#"exec "$1" accept "$2" --to - >"$0""#, &bob.file("out"), &[&id]);
    watching.until("transfer", |it| it["id"] == *id && it["state"] == "active");
    printing.end_by(Signal::INT).failed(130).told("cancelled");
    sending.failed(1, "cancelled");
    assert_eq!(bob.received_names(), [""; 0]);
}
