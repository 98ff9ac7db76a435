#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod faults;
mod hostile;
mod metadata;
mod naming;
mod sharing;
mod sparse;

use std::fs;

use super::*;
use crate::transfer::testing::{commit, deliver, fast_dir, file, names, path, snapshot};

fn fixture() -> (tempfile::TempDir, Destination) {
    let dir = tempfile::tempdir().unwrap();
    let dest = Destination::create(dir.path(), [1; 16]).unwrap();
    (dir, dest)
}

fn partial_dir(dir: &Path) -> PathBuf {
    dir.join(format!("{PARTIAL_PREFIX}{}", "01".repeat(16)))
}

#[test]
fn a_batch_of_small_and_large_files_gets_its_names() {
    let (dir, dest) = fixture();
    let small = file("tree/a/small.txt", b"small");
    let unannounced = file("tree/b", b"came before its entry");
    let large = file("tree/large", &[7; 3000]);
    let empty = file("tree/empty", b"");
    dest.write_small(0, b"small", Some(&small)).unwrap();
    dest.write_small(1, b"came before its entry", None).unwrap();
    let partial = dest.open_partial(2, 3000).unwrap();
    partial.write_block(1000, &[7; 2000]).unwrap();
    partial.write_block(0, &[7; 1000]).unwrap();
    let entries = [&small, &unannounced, &large, &empty];
    let batch: Vec<_> =
        (0_u64..).zip(entries).map(|(index, entry)| Commit { part: index.into(), entry }).collect();
    for (committed, entry) in dest.commit(&batch, &mut Forgetful).into_iter().zip(entries) {
        assert_eq!(committed.unwrap().file_path, dir.path().join(entry.path.to_string()));
    }
    dest.finish().unwrap();
    assert_eq!(names(dir.path()), ["tree"]);
    assert_eq!(fs::read(dir.path().join("tree/a/small.txt")).unwrap(), b"small");
    assert_eq!(fs::read(dir.path().join("tree/b")).unwrap(), b"came before its entry");
    assert_eq!(fs::read(dir.path().join("tree/large")).unwrap(), [7; 3000]);
    assert_eq!(fs::read(dir.path().join("tree/empty")).unwrap(), b"");
}

#[test]
fn nothing_has_a_real_name_before_the_commit_and_content_survives_for_the_next_run() {
    let (dir, dest) = fixture();
    let content = [3; 5000];
    let part = Part::of(&path("x"));
    dest.open_partial(part, 5000).unwrap().write_block(0, &content[..4000]).unwrap();
    dest.write_small(7, b"of no use to another run", None).unwrap();
    drop(dest);
    assert_eq!(names(dir.path()), [partial_dir(dir.path()).file_name().unwrap().to_str().unwrap()]);

    let dest = Destination::create(dir.path(), [1; 16]).unwrap();
    assert!(dest.has_partials().unwrap() && dest.has_partial(&path("x")));
    assert!(!dest.has_partial(&path("y")));
    assert_eq!(names(&partial_dir(dir.path())).len(), 1);
    let partial = dest.open_partial(part, 5000).unwrap();
    let mut read = [0; 6000];
    assert_eq!(partial.read_block(0, &mut read).unwrap(), 5000);
    assert_eq!(read[..4000], content[..4000]);
    assert_eq!(read[4000..5000], [0; 1000]);
    partial.write_block(4000, &content[4000..]).unwrap();
    commit(&dest, part, &file("x", &content)).unwrap();
    dest.finish().unwrap();
    assert_eq!(fs::read(dir.path().join("x")).unwrap(), content);
}

#[test]
fn a_file_whose_commit_was_cut_short_can_be_continued() {
    let (dir, dest) = fixture();
    let locked = Entry { mode: 0o444, ..file("x", b"0123") };
    let part = Part::of(&path("x"));
    dest.write_small(part, b"0123", Some(&locked)).unwrap();
    drop(dest);
    crate::transfer::testing::obey_permissions();
    let dest = Destination::create(dir.path(), [1; 16]).unwrap();
    dest.open_partial(part, 4).unwrap().write_block(1, b"xy").unwrap();
    commit(&dest, part, &locked).unwrap();
    assert_eq!(fs::read(dir.path().join("x")).unwrap(), b"0xy3");
}

#[test]
fn blocks_are_written_from_several_threads() {
    let (dir, dest) = fixture();
    let content: Vec<u8> = (0..1_000_000_u32).map(|i| (i / 4096) as u8).collect();
    let partial = dest.open_partial(0, 1_000_000).unwrap();
    std::thread::scope(|scope| {
        for part in 0..4 {
            let (partial, content) = (partial.clone(), &content);
            scope.spawn(move || {
                for start in (part * 1000..content.len()).step_by(4000) {
                    partial.write_block(start as u64, &content[start..start + 1000]).unwrap();
                }
            });
        }
    });
    commit(&dest, 0, &file("x", &content)).unwrap();
    assert_eq!(fs::read(dir.path().join("x")).unwrap(), content);
}

/// Receives files that hold nothing but `id`, in a tree and beside it.
fn receive_many(dir: &Path, id: u8) {
    let dest = Destination::create(dir, [id; 16]).unwrap();
    for index in 0..200 {
        for name in [format!("tree/{index}"), format!("{index}")] {
            deliver(&dest, index, &file(&name, &[id; 64]), &[id; 64]).unwrap();
        }
    }
    dest.finish().unwrap();
}

#[test]
fn transfers_into_one_folder_do_not_disturb_each_other() {
    let dir = fast_dir();
    std::thread::scope(|scope| {
        for id in 1..=3 {
            let dir = dir.path();
            scope.spawn(move || receive_many(dir, id));
        }
    });
    let mut owners = Vec::new();
    for tree in ["tree", "tree (2)", "tree (3)"] {
        let tree = dir.path().join(tree);
        assert_eq!(names(&tree).len(), 200);
        let contents = names(&tree).into_iter().map(|name| fs::read(tree.join(name)).unwrap());
        let mut contents: Vec<_> = contents.collect();
        contents.dedup();
        assert_eq!(contents, [vec![contents[0][0]; 64]]);
        owners.push(contents[0][0]);
    }
    owners.sort_unstable();
    assert_eq!(owners, [1, 2, 3]);
    assert_eq!(names(dir.path()).len(), 3 + 3 * 200);
}

#[test]
fn one_transfer_is_received_once_at_a_time() {
    let (dir, dest) = fixture();
    let second = Destination::create(dir.path(), [1; 16]);
    assert!(matches!(second, Err(DestError::InUse)));
    drop(dest);
    Destination::create(dir.path(), [1; 16]).unwrap();
}

#[test]
fn an_abandoned_transfer_leaves_what_was_committed_and_nothing_else() {
    let (dir, dest) = fixture();
    deliver(&dest, 0, &file("tree/kept", b"x"), b"x").unwrap();
    commit(&dest, 1, &crate::transfer::testing::folder("empty")).unwrap();
    dest.open_partial(2, 1 << 40).unwrap().write_block(0, b"half").unwrap();
    dest.write_small(3, b"whole, not committed", None).unwrap();
    dest.abandon().unwrap();
    assert_eq!(
        snapshot(dir.path()).into_keys().collect::<Vec<_>>(),
        [PathBuf::from("tree"), PathBuf::from("tree/kept")]
    );
    dest.abandon().unwrap();
}

#[test]
fn content_reaches_neither_beyond_its_file_nor_into_a_committed_one() {
    let (dir, dest) = fixture();
    let partial = dest.open_partial(0, 10).unwrap();
    for (offset, length) in [(0, 11), (10, 1), (u64::MAX, 1), (u64::MAX - 3, 8)] {
        let written = partial.write_block(offset, &vec![0; length]);
        assert!(matches!(written, Err(DestError::WrongLength)), "{offset} {length}");
    }
    partial.write_block(0, b"0123456789").unwrap();
    commit(&dest, 0, &file("x", b"0123456789")).unwrap();
    assert!(matches!(partial.write_block(0, b"late"), Err(DestError::Sealed)));
    dest.write_small(0, b"late", None).unwrap();
    dest.open_partial(0, 4).unwrap().write_block(0, b"late").unwrap();
    dest.finish().unwrap();
    assert_eq!(fs::read(dir.path().join("x")).unwrap(), b"0123456789");
}

#[test]
fn lengths_that_lie_are_refused() {
    let (dir, dest) = fixture();
    let entry = file("x", b"four");
    assert!(matches!(dest.write_small(0, b"five!", Some(&entry)), Err(DestError::WrongLength)));
    dest.write_small(1, b"five!", None).unwrap();
    assert!(matches!(commit(&dest, 1, &entry), Err(DestError::WrongLength)));
    dest.open_partial(2, 100).unwrap();
    assert!(matches!(commit(&dest, 2, &entry), Err(DestError::WrongLength)));
    assert!(matches!(commit(&dest, 3, &entry), Err(DestError::NotReceived)));
    let _open = dest.open_partial(4, 100).unwrap();
    assert!(matches!(dest.open_partial(4, 101), Err(DestError::WrongLength)));
    assert!(matches!(dest.open_partial(5, u64::MAX), Err(DestError::TooLarge)));
    let folder_with_content = crate::transfer::testing::folder("f");
    let written = dest.write_small(6, b"x", Some(&folder_with_content));
    assert!(matches!(written, Err(DestError::WrongLength)));
    dest.abandon().unwrap();
    assert!(names(dir.path()).is_empty());
    assert_eq!(path("x").to_string(), "x");
}
