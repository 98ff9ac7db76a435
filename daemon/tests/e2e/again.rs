//! What was sent before is sent again: only what differs moves, and nothing lies there twice.

use std::fs;

use crate::support::{Pair, Tree, hash_of, write_random};

#[test]
fn a_folder_that_is_sent_again_moves_only_what_differs() {
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.file("tree");
    Tree::make(&source, 300);
    write_random(&source.join("large"), (3 << 20) + 5);
    alice.send("bob", &[&source]).done();
    let received = Tree::read(&bob.received().join("tree"));

    let again = alice.send("bob", &[&source]).done();
    assert_eq!((&again["sent_bytes"], &again["links"]), (&0.into(), &serde_json::json!({})));
    assert_eq!(again["files_there"], again["files"], "{again}");
    assert_eq!(again["bytes_there"], again["bytes"], "{again}");
    assert_eq!(Tree::read(&bob.received().join("tree")), received);
    assert_eq!(bob.received_names(), ["tree"]);

    fs::write(source.join("new"), "12345").unwrap();
    fs::write(source.join("large"), "changed").unwrap();
    let third = alice.send("bob", &[&source]).done();
    assert_eq!(third["sent_bytes"], 12, "{third}");
    let tree = bob.received().join("tree");
    assert_eq!(fs::read_to_string(tree.join("new")).unwrap(), "12345");
    assert_eq!(fs::read_to_string(tree.join("large (2)")).unwrap(), "changed");
    assert_eq!(fs::metadata(tree.join("large")).unwrap().len(), (3 << 20) + 5);
    assert_eq!(bob.received_names(), ["tree"]);
    drop(server);
}

#[test]
fn what_the_receiver_has_altered_is_sent_again_and_left_as_it_is() {
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.note("letter");
    alice.send("bob", &[&source]).done();
    fs::write(bob.received().join("letter"), "bob's own words").unwrap();
    let again = alice.send("bob", &[&source]).done();
    assert_eq!(again["files_there"], 0, "{again}");
    assert_eq!(fs::read_to_string(bob.received().join("letter")).unwrap(), "bob's own words");
    assert_eq!(hash_of(&bob.received().join("letter (2)")), hash_of(&source));
    drop(server);
}

#[test]
fn a_person_is_told_what_was_there_already() {
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.note("letter");
    for _ in 0..2 {
        alice.send("bob", &[&source]).done();
    }
    let sent = alice.ffctl(&["send", "bob", source.to_str().unwrap()]).done();
    let [line] = &sent.stdout[..] else { panic!("{sent:?}") };
    assert!(line.starts_with("sent 1 file") && line.contains("1 already there"), "{line}");
    assert_eq!(bob.received_names(), ["letter"]);
    drop(server);
}

#[test]
fn a_cancel_that_comes_too_late_says_so_and_both_sides_know_what_moved() {
    let Pair { alice, bob, server } = Pair::trusting();
    let done = alice.send("bob", &[&alice.note("letter")]).done();
    let id = done["transfer"].as_str().unwrap();
    for user in [&alice, &bob] {
        user.ffctl(&["cancel", &id[..8]]).failed(1).told("everything had been delivered already");
    }
    let received = bob.transfers();
    assert_eq!(received[0]["received_bytes"], done["sent_bytes"], "{received:?}");
    assert_eq!(received[0]["received_bytes"], done["bytes"], "{received:?}");
    assert_eq!(bob.received_names(), ["letter"]);
    drop(server);
}
