#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

use super::*;
use crate::transfer::entry::{Entry, EntryKind};
use crate::transfer::testing::{fast_dir, long_name, obey_permissions, path, while_swapping};

fn source(dir: &Path, names: &[&str]) -> Source {
    let paths: Vec<_> = names.iter().map(|name| dir.join(name)).collect();
    Source::new(&paths).unwrap()
}

fn walk(source: &Source) -> (BTreeMap<String, Entry>, Vec<Skipped>) {
    let (mut entries, mut skipped) = (BTreeMap::new(), Vec::new());
    for found in source.walk() {
        match found {
            Ok(entry) => {
                let parent = entry.path.as_bytes().iter().rposition(|&byte| byte == b'/');
                if let Some(end) = parent {
                    let parent = RelPath::decode(&entry.path.as_bytes()[..end]).unwrap();
                    assert!(entries.contains_key(&parent.to_string()), "before its folder");
                }
                assert!(entries.insert(entry.path.to_string(), entry).is_none());
            }
            Err(skip) => skipped.push(skip),
        }
    }
    (entries, skipped)
}

/// Writes a file that looks old, so that any change to it shows in its time.
fn write_old(at: &Path, content: &[u8]) {
    fs::write(at, content).unwrap();
    set_old(&File::options().write(true).open(at).unwrap());
}

fn set_old(file: &File) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn a_tree_is_walked_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    let long = long_name(255, ".txt");
    fs::create_dir_all(tree.join("sub/empty")).unwrap();
    write_old(&tree.join("sub/run"), b"#!/bin/sh");
    fs::set_permissions(tree.join("sub/run"), fs::Permissions::from_mode(0o4751)).unwrap();
    for name in ["none", "with space", "new\nline", "quo\"te", "🚢", &long] {
        fs::write(tree.join(name), "").unwrap();
    }
    symlink("../../outside", tree.join("link")).unwrap();
    let (entries, skipped) = walk(&source(dir.path(), &["tree"]));
    assert!(skipped.is_empty());
    assert_eq!(entries.len(), 11);
    assert_eq!(entries["tree"].kind, EntryKind::Directory);
    assert_eq!(entries["tree/sub/empty"].kind, EntryKind::Directory);
    assert_eq!(entries["tree/none"].kind, EntryKind::File { size: 0 });
    let run = &entries["tree/sub/run"];
    assert_eq!((&run.kind, run.mode), (&EntryKind::File { size: 9 }, 0o751));
    assert_eq!((run.mtime.secs(), run.mtime.nanos()), (1_000_000_000, 5));
    let target = b"../../outside".to_vec();
    assert_eq!(entries["tree/link"].kind, EntryKind::Symlink { target });
    assert!(entries.contains_key("tree/new\\nline"));
}

#[test]
fn several_roots_are_walked_in_their_order_and_links_are_sent_as_links() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::write(dir.path().join("a/b/file"), "content").unwrap();
    symlink("a", dir.path().join("link")).unwrap();
    let source = source(dir.path(), &["link", "a/b/file", "a/b/"]);
    let order: Vec<_> = source.walk().map(|found| found.unwrap().path.to_string()).collect();
    assert_eq!(order, ["link", "file", "b", "b/file"]);
    for name in ["file", "b/file"] {
        assert_eq!(source.open(&path(name)).unwrap().size(), 7);
        assert_eq!(source.locate(&path(name)), dir.path().join("a/b/file"));
    }
}

#[test]
fn roots_that_cannot_be_sent_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("x/same")).unwrap();
    fs::create_dir_all(dir.path().join("y/same")).unwrap();
    let try_new = |names: &[&str]| {
        Source::new(&names.iter().map(|name| dir.path().join(name)).collect::<Vec<_>>())
            .unwrap_err()
    };
    let missing = try_new(&["x", "missing.txt"]);
    assert!(matches!(&missing, SourceError::NotFound(at) if at.ends_with("missing.txt")));
    assert!(matches!(try_new(&["x/same", "y/same"]), SourceError::SameName(_)));
    assert!(matches!(try_new(&["x", "x/"]), SourceError::SameName(_)));
    assert!(matches!(try_new(&["/"]), SourceError::NoName(_)));
    assert!(matches!(try_new(&[]), SourceError::Nothing));
    fs::create_dir(dir.path().join(".filefleet-partial-00")).unwrap();
    assert!(matches!(try_new(&[".filefleet-partial-00"]), SourceError::BadName(..)));
    // `..` has the name of what it stands for.
    let source = Source::new(&[dir.path().join("x/same/..")]).unwrap();
    assert_eq!(source.walk().next().unwrap().unwrap().path, path("x"));
}

/// A tree with a file that can be sent, and with what cannot.
fn awkward_tree(dir: &Path) -> PathBuf {
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("locked/inside")).unwrap();
    fs::write(tree.join("unreadable"), "x").unwrap();
    fs::write(tree.join("fine"), "x").unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, tree.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    drop(UnixListener::bind(tree.join("socket")).unwrap());
    for name in ["locked", "unreadable"] {
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    tree
}

fn unlock(tree: &Path) {
    fs::set_permissions(tree.join("locked"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn what_cannot_be_sent_is_skipped_with_its_reason() {
    obey_permissions();
    let dir = tempfile::tempdir().unwrap();
    let tree = awkward_tree(dir.path());
    let (entries, skipped) = walk(&source(dir.path(), &["tree"]));
    assert_eq!(entries.into_keys().collect::<Vec<_>>(), ["tree", "tree/fine"]);
    let mut reasons: Vec<_> =
        skipped.iter().map(|skip| (skip.file_path.clone(), skip.reason.to_string())).collect();
    reasons.sort();
    let special = "not a file, folder or symbolic link";
    let expected = [
        ("locked", "cannot be read"),
        ("pipe", special),
        ("socket", special),
        ("unreadable", "cannot be read"),
    ];
    assert_eq!(reasons, expected.map(|(name, reason)| (tree.join(name), reason.to_string())));
    unlock(&tree);
}

#[test]
fn what_cannot_be_opened_says_why() {
    obey_permissions();
    let dir = tempfile::tempdir().unwrap();
    let tree = awkward_tree(dir.path());
    let source = source(dir.path(), &["tree"]);
    let open = |at: &str| source.open(&path(at)).unwrap_err();
    assert!(matches!(open("tree/unreadable"), SourceError::PermissionDenied(_)));
    assert!(matches!(open("tree/locked/x"), SourceError::PermissionDenied(_)));
    assert!(matches!(open("tree/pipe"), SourceError::NotAFile(_)));
    assert!(matches!(open("tree/socket"), SourceError::NotAFile(_)));
    assert!(matches!(open("tree"), SourceError::NotAFile(_)));
    assert!(matches!(open("tree/gone"), SourceError::NotFound(_)));
    assert!(matches!(open("elsewhere"), SourceError::NotFound(_)));
    unlock(&tree);
}

#[test]
fn folders_that_lie_too_deep_are_skipped_and_the_rest_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join(vec!["d"; 140].join("/"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(dir.path().join("d/file"), "x").unwrap();
    let (entries, skipped) = walk(&source(dir.path(), &["d"]));
    assert_eq!(entries.len(), 129);
    assert!(matches!(skipped[..], [Skipped { reason: SkipReason::Path(PathError::TooDeep), .. }]));
}

#[test]
fn a_file_is_read_by_blocks_from_several_threads() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3_000_001_u32).map(|i| (i / 999) as u8).collect();
    fs::write(dir.path().join("x"), &content).unwrap();
    let file = source(dir.path(), &["x"]).open(&path("x")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (file, content) = (&file, &content);
            scope.spawn(move || {
                let mut block = vec![0; 10_000];
                for start in (thread * 10_000..content.len()).step_by(40_000) {
                    let count = file.read_block(start as u64, &mut block).unwrap();
                    let end = content.len().min(start + 10_000);
                    assert_eq!(block[..count], content[start..end]);
                }
            });
        }
    });
    assert_eq!(file.read_block(3_000_001, &mut [0; 8]).unwrap(), 0);
    assert_eq!(file.read_block(u64::MAX, &mut [0; 8]).unwrap(), 0);
    assert_eq!(file.change(), None);
}

type Act = fn(&Path);

fn append(at: &Path) {
    File::options().append(true).open(at).unwrap().write_all(b"more").unwrap();
}

fn overwrite(at: &Path) {
    File::options().write(true).open(at).unwrap().write_all(b"CONTENT").unwrap();
}

fn overwrite_in_disguise(at: &Path) {
    overwrite(at);
    set_old(&File::options().write(true).open(at).unwrap());
}

fn replace(at: &Path) {
    write_old(&at.with_extension("new"), b"content");
    fs::rename(at.with_extension("new"), at).unwrap();
}

fn remove(at: &Path) {
    fs::remove_file(at).unwrap();
}

fn become_a_link(at: &Path) {
    remove(at);
    symlink("elsewhere", at).unwrap();
}

#[test]
fn every_change_of_a_file_is_noticed() {
    let cases: [(Act, Option<Change>); 7] = [
        (|_| {}, None),
        (append, Some(Change::Resized)),
        (overwrite, Some(Change::Modified)),
        (overwrite_in_disguise, Some(Change::Touched)),
        (replace, Some(Change::Replaced)),
        (become_a_link, Some(Change::Replaced)),
        (remove, Some(Change::Removed)),
    ];
    for (act, change) in cases {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("x");
        write_old(&at, b"content");
        let file = source(dir.path(), &["x"]).open(&path("x")).unwrap();
        act(&at);
        assert_eq!(file.read_block(0, &mut [0; 64]).unwrap(), 7);
        assert_eq!(file.change(), change);
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    write_old(&dir.path().join("x"), &[7; 5000]);
    let file = source(dir.path(), &["x"]).open(&path("x")).unwrap();
    let mut block = [0; 1000];
    assert_eq!(file.read_block(0, &mut block).unwrap(), 1000);
    File::options().write(true).open(dir.path().join("x")).unwrap().set_len(1500).unwrap();
    assert!(matches!(file.read_block(1000, &mut block), Err(SourceError::Shrunk)));
    assert!(matches!(file.read_block(4000, &mut block), Err(SourceError::Shrunk)));
    assert_eq!(file.change(), Some(Change::Resized));
}

/// A tree to send, and beside it a secret with a link to it that can take a folder's place.
fn tree_beside_a_secret(dir: &Path) -> Source {
    for (folder, content) in
        [("tree/sub", "public"), ("tree/other", "public"), ("secret", "secret")]
    {
        fs::create_dir_all(dir.join(folder)).unwrap();
        fs::write(dir.join(folder).join("file"), content).unwrap();
    }
    fs::write(dir.join("secret/more"), "secret").unwrap();
    symlink(dir.join("secret"), dir.join("decoy")).unwrap();
    source(dir, &["tree"])
}

#[test]
fn a_folder_swapped_for_a_link_at_any_moment_gives_nothing_away() {
    let dir = fast_dir();
    let source = tree_beside_a_secret(dir.path());
    let (mut read, mut refused, mut links) = (0, 0, 0);
    while_swapping(&dir.path().join("tree/sub"), &dir.path().join("decoy"), || {
        let mut rounds = 0;
        while rounds < 2_000 || read == 0 || refused == 0 || links == 0 {
            rounds += 1;
            assert!(rounds < 1_000_000, "the race did not happen: {read} {refused} {links}");
            source.open(&path("tree/other/file")).unwrap();
            match source.open(&path("tree/sub/file")) {
                Ok(file) => {
                    let mut content = [0; 6];
                    file.read_block(0, &mut content).unwrap();
                    assert_eq!(content, *b"public");
                    read += 1;
                }
                Err(SourceError::NotFound(_)) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
            for found in source.walk() {
                let Ok(entry) = found else { continue };
                assert_ne!(entry.path.name(), b"more");
                links += usize::from(matches!(entry.kind, EntryKind::Symlink { .. }));
            }
        }
    });
}

#[test]
fn further_names_of_a_file_are_links_until_there_is_no_room_for_more() {
    const NAMES: usize = 2_500;
    let dir = fast_dir();
    // Long paths, so that few links fill the room.
    let deep = (0..15).fold(dir.path().join("tree"), |dir, _| dir.join("d".repeat(200)));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("0"), "x").unwrap();
    (1..NAMES).for_each(|n| fs::hard_link(deep.join("0"), deep.join(n.to_string())).unwrap());
    fs::write(deep.join("alone"), "x").unwrap();
    let entries: Vec<_> = source(dir.path(), &["tree"]).walk().map(Result::unwrap).collect();
    let shared: Vec<_> = entries.iter().filter(|entry| entry.is_shared).collect();
    let [first] = &shared[..] else { panic!("{shared:?}") };
    let links = entries.iter().filter(|entry| match &entry.kind {
        EntryKind::HardLink { target } => {
            assert_eq!(target, &first.path);
            true
        }
        _ => false,
    });
    let (links, bytes) = (links.count(), 2 * first.path.as_bytes().len());
    assert!((1_000..NAMES - 1).contains(&links) && links * bytes <= 9 << 20, "{links}");
    let files = entries.iter().filter(|entry| matches!(entry.kind, EntryKind::File { .. }));
    assert_eq!(files.count() + links, NAMES + 1);
}

#[test]
fn holes_read_as_zeros_and_data_behind_them_is_found() {
    const MIB: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let sparse = fs::File::create(dir.path().join("sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    let data = (3 << 20) + 12_345;
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", data).unwrap();
    let file = source(dir.path(), &["sparse"]).open(&path("sparse")).unwrap();
    let content = fs::read(dir.path().join("sparse")).unwrap();
    for block in 0..8 {
        let mut bytes = vec![7; MIB];
        assert_eq!(file.read_block((block * MIB) as u64, &mut bytes).unwrap(), MIB);
        assert!(bytes == content[block * MIB..][..MIB], "{block}");
    }
    assert_eq!(file.change(), None);
    sparse.set_len(1 << 20).unwrap();
    assert_eq!(file.change(), Some(Change::Resized));
}

#[test]
fn a_large_folder_is_walked_as_it_is_read() {
    let dir = fast_dir();
    fs::create_dir(dir.path().join("tree")).unwrap();
    for index in 0..5_000 {
        fs::write(dir.path().join(format!("tree/{index}")), "").unwrap();
    }
    let source = source(dir.path(), &["tree"]);
    let mut walk = source.walk();
    assert_eq!(walk.by_ref().take(10).count(), 10);
    // What is removed before it was reached is not there: there is no list.
    fs::remove_dir_all(dir.path().join("tree")).unwrap();
    assert!(walk.filter(Result::is_ok).count() < 4_000);
    fs::create_dir(dir.path().join("tree")).unwrap();
}
