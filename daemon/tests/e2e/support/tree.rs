//! Folders full of everything that a file system can hold, and what there is to compare of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::hash_of;

/// Everything that must arrive of a folder, by path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<PathBuf, Node>);

#[derive(Debug, PartialEq, Eq)]
struct Node {
    what: What,
    /// Permission bits; a symbolic link has none of its own.
    mode: Option<u32>,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    File(blake3::Hash),
    Folder,
    Link(PathBuf),
}

impl Tree {
    /// Reads what lies at `root`, a file or a folder.
    #[track_caller]
    pub(crate) fn read(root: &Path) -> Self {
        let mut nodes = BTreeMap::new();
        read_into(&mut nodes, root, Path::new(""));
        Self(nodes)
    }

    /// Makes a folder with `files` small files and one of each thing that is easily lost.
    pub(crate) fn make(root: &Path, files: u32) {
        fs::create_dir(root).unwrap();
        for number in 0..files {
            let dir = root.join(format!("folder {}", number % 10));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(format!("{number}.txt")), number.to_string()).unwrap();
        }
        make_odd_things(&root.join("odd"));
        make_odd_names(&root.join("names"));
        set_times(root, &mut 0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn make_odd_things(dir: &Path) {
    fs::create_dir(dir).unwrap();
    fs::create_dir_all(dir.join("deep/deeper/empty")).unwrap();
    fs::write(dir.join("empty"), "").unwrap();
    fs::write(dir.join("script.sh"), "#!/bin/sh\n").unwrap();
    fs::write(dir.join("secret"), "s").unwrap();
    super::write_random(&dir.join("large"), (3 << 20) + 17);
    super::write_random(&dir.join("one block"), 1 << 20);
    symlink("script.sh", dir.join("link")).unwrap();
    symlink("../no where", dir.join("dangling")).unwrap();
    symlink("deep", dir.join("link to a folder")).unwrap();
    for (name, mode) in [("script.sh", 0o755), ("secret", 0o400), ("large", 0o640), ("deep", 0o700)]
    {
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn make_odd_names(dir: &Path) {
    fs::create_dir(dir).unwrap();
    let long = "x".repeat(255);
    let names: [&[u8]; 11] = [
        b" a b ",
        b"it's \"quoted\" `so`",
        b"two\nlines\t",
        "👩‍👩‍👧 größe 日本".as_bytes(),
        b"not \xff\xfe unicode \xc3",
        long.as_bytes(),
        b"-rf",
        b"back\\slash",
        b"...",
        b"CON",
        b"\x1b[31mred",
    ];
    for name in names {
        fs::write(dir.join(OsStr::from_bytes(name)), name).unwrap();
    }
}

/// Gives everything a time of its own, folders after what is in them.
fn set_times(file_path: &Path, number: &mut i64) {
    if file_path.symlink_metadata().unwrap().is_dir() {
        for entry in fs::read_dir(file_path).unwrap() {
            set_times(&entry.unwrap().path(), number);
        }
    }
    *number += 1;
    let time =
        Timespec { tv_sec: 1_000_000_000 + *number * 86_400, tv_nsec: 123_456_789 + *number };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, file_path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[track_caller]
fn read_into(nodes: &mut BTreeMap<PathBuf, Node>, file_path: &Path, rel_path: &Path) {
    let found = file_path.symlink_metadata();
    let metadata = found.unwrap_or_else(|error| panic!("{file_path:?}: {error}"));
    let what = if metadata.is_dir() {
        for entry in fs::read_dir(file_path).unwrap() {
            let name = entry.unwrap().file_name();
            read_into(nodes, &file_path.join(&name), &rel_path.join(&name));
        }
        What::Folder
    } else if metadata.is_symlink() {
        What::Link(fs::read_link(file_path).unwrap())
    } else {
        What::File(hash_of(file_path))
    };
    nodes.insert(rel_path.to_owned(), Node::new(what, &metadata));
}

impl Node {
    fn new(what: What, metadata: &Metadata) -> Self {
        let mode = (!metadata.is_symlink()).then(|| metadata.mode() & 0o7777);
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { what, mode, modified }
    }
}
