//! What is sent arrives as it was.

use std::fs;

use crate::support::{Pair, Tree, hash_of, write_random};

#[test]
fn a_file_arrives_with_the_same_blake3() {
    const LEN: u64 = (64 << 20) + 4_321;
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.file("film.bin");
    write_random(&source, LEN);
    let done = alice.send("bob", &[&source]).done();
    assert_eq!((&done["files"], &done["bytes"]), (&1.into(), &LEN.into()));
    assert!(done["seconds"].as_f64() > Some(0.0), "{done}");
    let links = done["links"].as_object().unwrap();
    let most = links.iter().max_by_key(|(_, bytes)| bytes.as_u64()).unwrap();
    assert_eq!(done["link"], most.0.as_str(), "{done}");
    let carried: u64 = links.values().filter_map(|bytes| bytes.as_u64()).sum();
    assert_eq!(carried, LEN, "{done}");
    assert_eq!(hash_of(&bob.received().join("film.bin")), hash_of(&source));
    assert_eq!(bob.received_names(), ["film.bin"]);
    drop(server);
}

#[test]
fn a_tree_arrives_equal_in_everything() {
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.file("tree");
    Tree::make(&source, 1_000);
    let sent = Tree::read(&source);
    assert!(sent.len() > 1_020);
    alice.send("bob", &[&source]).done();
    assert_eq!(Tree::read(&bob.received().join("tree")), sent);
    assert_eq!(bob.received_names(), ["tree"]);
    drop(server);
}

#[cfg(unix)] // no such files elsewhere
#[test]
fn a_sparse_file_stays_sparse() {
    use std::os::unix::fs::{FileExt, MetadataExt};
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.file("disk.img");
    let sparse = fs::File::create(&source).unwrap();
    sparse.set_len(256 << 20).unwrap();
    sparse.write_all_at(b"boot", 0).unwrap();
    sparse.write_all_at(b"in the middle", (100 << 20) - 5).unwrap();
    let done = alice.send("bob", &[&source]).done();
    assert_eq!(done["bytes"], 256 << 20, "{done}");
    let received = bob.received().join("disk.img");
    assert_eq!(hash_of(&received), hash_of(&source));
    let occupied = fs::metadata(&received).unwrap().blocks() * 512;
    assert!(occupied < 1 << 20, "{occupied}");
    drop(server);
}

#[cfg(unix)] // no such files elsewhere
#[test]
fn hard_links_stay_names_of_one_file() {
    use std::os::unix::fs::MetadataExt;
    let Pair { alice, bob, server } = Pair::trusting();
    let tree = alice.file("backup");
    fs::create_dir_all(tree.join("monday")).unwrap();
    write_random(&tree.join("monday/large"), 3 << 20);
    fs::write(tree.join("monday/small"), "small").unwrap();
    for name in ["large", "small"] {
        fs::hard_link(tree.join("monday").join(name), tree.join(name)).unwrap();
    }
    let done = alice.send("bob", &[&tree]).done();
    assert_eq!(done["bytes"], (3 << 20) + 5, "{done}");
    let received = bob.received().join("backup");
    assert_eq!(Tree::read(&received), Tree::read(&tree));
    for name in ["large", "small"] {
        let inode = |path: std::path::PathBuf| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(received.join(name)), inode(received.join("monday").join(name)));
    }
    drop(server);
}

#[test]
fn several_files_and_folders_go_in_one_transfer() {
    let Pair { alice, bob, server } = Pair::trusting();
    let (note, tree) = (alice.note("a note.txt"), alice.file("small tree"));
    Tree::make(&tree, 10);
    alice.send("bob", &[&note, &tree]).done();
    let received = bob.received();
    assert_eq!(Tree::read(&received.join("a note.txt")), Tree::read(&note));
    assert_eq!(Tree::read(&received.join("small tree")), Tree::read(&tree));
    drop(server);
}

#[test]
fn a_person_is_told_how_it_went_in_one_line() {
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.note("letter");
    let sent = alice.ffctl(&["send", "bob", source.to_str().unwrap()]).done();
    let [line] = &sent.stdout[..] else { panic!("{sent:?}") };
    assert!(line.starts_with("sent 1 file, 15 B to bob in "), "{line}");
    assert_eq!(bob.received_names(), ["letter"]);
    drop(server);
}

#[test]
fn a_name_that_is_taken_gets_a_number() {
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.note("plan.txt");
    fs::create_dir_all(bob.received()).unwrap();
    fs::write(bob.received().join("plan.txt"), "bob's own").unwrap();
    alice.send("bob", &[&source]).done();
    fs::write(&source, "another plan").unwrap();
    alice.send("bob", &[&source]).done();
    let names = ["plan (2).txt", "plan (3).txt", "plan.txt"];
    assert_eq!(bob.received_names(), names);
    let content = |name: &str| fs::read_to_string(bob.received().join(name)).unwrap();
    assert_eq!(content("plan.txt"), "bob's own");
    assert_eq!(content("plan (2).txt"), "a note: plan.txt\n");
    assert_eq!(content("plan (3).txt"), "another plan");
    let newest = serde_json::json!([bob.received().join("plan (3).txt")]);
    let transfers = bob.transfers();
    // Both may have begun in the same second, which is all that their order goes by.
    assert!(transfers.iter().any(|transfer| transfer["paths"] == newest), "{transfers:?}");
    drop(server);
}

#[test]
fn a_folder_whose_name_is_taken_gets_a_number_as_a_whole() {
    let Pair { alice, bob, server } = Pair::trusting();
    let source = alice.file("tree");
    Tree::make(&source, 10);
    // Of Bob's own; what Alice sends again goes to where it went before.
    fs::create_dir_all(bob.received().join("tree")).unwrap();
    alice.send("bob", &[&source]).done();
    alice.send("bob", &[&source]).done();
    assert_eq!(bob.received_names(), ["tree", "tree (2)"]);
    assert_eq!(fs::read_dir(bob.received().join("tree")).unwrap().count(), 0);
    let second = Tree::read(&bob.received().join("tree (2)"));
    assert_eq!(second, Tree::read(&source));
    drop(server);
}
