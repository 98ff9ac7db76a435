//! Zeros that occupy no disk.

use std::os::unix::fs::MetadataExt;

use super::*;

/// Bytes of the disk that a file occupies.
fn allocated(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512
}

const MIB: usize = 1 << 20;

#[test]
fn zeros_of_large_and_small_files_are_left_as_holes() {
    let (dir, dest) = fixture();
    let mut content = vec![0; 4 * MIB];
    content[MIB..MIB + 3].copy_from_slice(b"abc");
    let partial = dest.open_partial(0, content.len() as u64).unwrap();
    for (block, bytes) in (0_u64..).zip(content.chunks(MIB)) {
        partial.write_block(block * MIB as u64, bytes).unwrap();
    }
    commit(&dest, 0, &file("large", &content)).unwrap();
    let small = &content[..MIB + 3];
    deliver(&dest, 1, &file("small", small), small).unwrap();
    deliver(&dest, 2, &file("nothing", &[0; MIB]), &[0; MIB]).unwrap();
    for (name, expected) in [("large", &content[..]), ("small", small), ("nothing", &[0; MIB])] {
        let path = dir.path().join(name);
        assert!(fs::read(&path).unwrap() == expected, "{name}");
        assert!(allocated(&path) <= 64 << 10, "{name} occupies {}", allocated(&path));
    }
}

#[test]
fn zeros_take_the_place_of_what_was_there() {
    let (dir, dest) = fixture();
    let partial = dest.open_partial(0, 2 * MIB as u64).unwrap();
    partial.write_block(0, &vec![7; 2 * MIB]).unwrap();
    partial.write_block(0, &vec![0; MIB]).unwrap();
    let content = [vec![0; MIB], vec![7; MIB]].concat();
    commit(&dest, 0, &file("x", &content)).unwrap();
    assert!(fs::read(dir.path().join("x")).unwrap() == content);
    assert!(allocated(&dir.path().join("x")) <= 3 * MIB as u64 / 2);
}
