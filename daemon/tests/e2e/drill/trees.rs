//! Trees with some of everything: small files for packs, one in blocks, links of both kinds, holes,
//! odd names, empty files and folders.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Chance;
use crate::support::{Tree, write_random, write_zeros};

/// A file and its second name.
const TWINS: [&str; 2] = ["twin", "odd/its twin"];

/// Makes a tree of some forty MiB at `root`.
pub(super) fn make(root: &Path, chance: &mut Chance) {
    Tree::make(root, 200);
    for number in 0..12 {
        write_random(&root.join(format!("middling {number}")), 1 + chance.below(1 << 20));
    }
    write_random(&root.join("one of many blocks"), (20 << 20) + chance.below(20 << 20));
    write_zeros(&root.join("mostly holes"), 3 << 20);
    let [twin, other] = TWINS.map(|name| root.join(name));
    write_random(&twin, 1 + chance.below(2 << 20));
    fs::hard_link(twin, other).unwrap();
}

/// What has two names at the sender is one file with two names here.
#[track_caller]
pub(super) fn check_hard_links(received: &Path) {
    let [twin, other] = TWINS.map(|name| fs::metadata(received.join(name)).unwrap().ino());
    assert_eq!(twin, other);
}
