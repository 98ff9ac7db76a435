#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;
use crate::transfer::entry::{RelPath, Timestamp};

fn entry(path: &str, kind: EntryKind) -> Entry {
    let path = RelPath::decode(path.as_bytes()).unwrap();
    Entry {
        path,
        kind,
        mode: 0o640,
        mtime: Timestamp::new(1_600_000_000, 123_456_789).unwrap(),
    }
}

fn file(path: &str, content: &[u8]) -> Entry {
    entry(
        path,
        EntryKind::File {
            size: content.len() as u64,
        },
    )
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_small_and_a_large_file_get_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let dest = Destination::create(dir.path(), [1; 16]).unwrap();
    let small = file("tree/a/small.txt", b"small");
    let large = file("tree/large", &[7; 3000]);
    dest.write_small(0, b"small", Some(&small)).unwrap();
    let partial = dest.open_partial(1, 3000).unwrap();
    partial.write_block(1000, &[7; 2000]).unwrap();
    partial.write_block(0, &[7; 1000]).unwrap();
    let batch = [
        Commit {
            index: 0,
            entry: &small,
        },
        Commit {
            index: 1,
            entry: &large,
        },
    ];
    for committed in dest.commit(&batch) {
        committed.unwrap();
    }
    dest.finish().unwrap();
    assert_eq!(names(dir.path()), ["tree"]);
    assert_eq!(
        fs::read(dir.path().join("tree/a/small.txt")).unwrap(),
        b"small"
    );
    assert_eq!(fs::read(dir.path().join("tree/large")).unwrap(), [7; 3000]);
}
