//! Files with several names.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::transfer::entry::EntryKind;
use crate::transfer::testing::entry;

fn shared(at: &str, content: &[u8]) -> Entry {
    Entry { is_shared: true, ..file(at, content) }
}

fn hard_link(at: &str, target: &str) -> Entry {
    entry(at, EntryKind::HardLink { target: path(target) })
}

#[test]
fn a_file_gets_further_names() {
    let (dir, dest) = fixture();
    fs::write(dir.path().join("top"), "mine").unwrap();
    deliver(&dest, 0, &shared("tree/a/x", b"content"), b"content").unwrap();
    deliver(&dest, 1, &shared("top", b"theirs"), b"theirs").unwrap();
    commit(&dest, 2, &hard_link("tree/b/y", "tree/a/x")).unwrap();
    commit(&dest, 3, &hard_link("second", "top")).unwrap();
    commit(&dest, 4, &hard_link("top", "top")).unwrap();
    dest.finish().unwrap();
    let inode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().ino();
    assert_eq!(inode("tree/a/x"), inode("tree/b/y"));
    // The name was taken: the file that was delivered is the one beside it.
    assert_eq!([inode("second"), inode("top (3)")], [inode("top (2)"); 2]);
    assert_eq!(fs::read(dir.path().join("top")).unwrap(), b"mine");
}

#[test]
fn nothing_but_a_shared_file_of_this_transfer_gets_a_name() {
    let (dir, dest) = fixture();
    fs::write(dir.path().join("mine"), "mine").unwrap();
    deliver(&dest, 0, &file("tree/not marked", b"x"), b"x").unwrap();
    deliver(&dest, 1, &shared("tree/replaced", b"x"), b"x").unwrap();
    fs::remove_file(dir.path().join("tree/replaced")).unwrap();
    fs::hard_link(dir.path().join("mine"), dir.path().join("tree/replaced")).unwrap();
    for (index, target) in (2..).zip(["mine", "tree/not marked", "tree/replaced", "tree", "no"]) {
        let linked = commit(&dest, index, &hard_link("tree/new", target));
        assert!(
            matches!(linked, Err(DestError::NotReceived | DestError::Obstructed(_))),
            "{target}"
        );
    }
    assert_eq!(names(&dir.path().join("tree")), ["not marked", "replaced"]);
}

#[test]
fn a_copy_takes_the_place_of_a_link() {
    let (dir, dest) = fixture();
    let first = Entry { mode: 0o750, ..shared("tree/x", b"content") };
    deliver(&dest, 0, &first, b"content").unwrap();
    assert_eq!(dest.shared_len(&first.path, &mut Forgetful).unwrap(), 7);
    let link = hard_link("tree/y", "tree/x");
    let copy = Commit { part: 1_u64.into(), entry: &link };
    dest.commit_copy(&copy, &first.path, &mut Forgetful).unwrap();
    dest.finish().unwrap();
    let found = snapshot(&dir.path().join("tree"));
    assert_eq!(found[Path::new("y")], found[Path::new("x")]);
    assert_eq!(fs::metadata(dir.path().join("tree/x")).unwrap().nlink(), 1);
}
