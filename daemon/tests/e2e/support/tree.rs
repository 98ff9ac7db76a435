//! Folders full of everything that a file system can hold, and what there is to compare of them.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::hash_of;

#[cfg(unix)]
use unix as os;
#[cfg(windows)]
use windows as os;

/// Everything that must arrive of a folder, by path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<PathBuf, Node>);

#[derive(Debug, PartialEq, Eq)]
struct Node {
    what: What,
    /// Permission bits; a symbolic link has none of its own, and Windows has none at all.
    mode: Option<u32>,
    /// `None` for what does not keep it.
    modified: Option<SystemTime>,
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
    os::make_odd_things(dir);
}

fn make_odd_names(dir: &Path) {
    fs::create_dir(dir).unwrap();
    let long = "x".repeat(os::LONGEST_NAME);
    let names = ["it's `so`", "👩‍👩‍👧 größe 日本", &long, "-rf", "100% & more; $HOME"];
    let write = |name: &Path| {
        fs::write(dir.join(name), name.as_os_str().as_encoded_bytes()).unwrap();
    };
    names.map(Path::new).into_iter().for_each(write);
    os::odd_names().for_each(write);
}

/// Gives everything a time of its own, folders after what is in them.
fn set_times(file_path: &Path, number: &mut u32) {
    if file_path.symlink_metadata().unwrap().is_dir() {
        for entry in fs::read_dir(file_path).unwrap() {
            set_times(&entry.unwrap().path(), number);
        }
    }
    *number += 1;
    let day = Duration::from_secs(86_400);
    let time = Duration::new(1_000_000_000, 123_456_789 + *number) + day * *number;
    os::set_modified(file_path, time);
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
        let keeps_time = os::FOLDERS_KEEP_TIMES || !metadata.is_dir();
        let modified = keeps_time.then(|| metadata.modified().unwrap());
        Self { what, mode: os::mode(metadata), modified }
    }
}
