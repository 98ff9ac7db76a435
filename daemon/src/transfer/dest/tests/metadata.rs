//! What is kept besides the content.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::transfer::entry::Timestamp;
use crate::transfer::testing::{MTIME, entry, folder, symlink};

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

fn mtime(path: &Path) -> Timestamp {
    let meta = path.symlink_metadata().unwrap();
    Timestamp::new(meta.mtime(), meta.mtime_nsec().try_into().unwrap()).unwrap()
}

#[test]
fn permission_bits_and_nanoseconds_are_kept_and_set_id_bits_dropped() {
    let (dir, dest) = fixture();
    let before_1970 = Timestamp::new(-86_400, 1).unwrap();
    let in_1906 = Timestamp::new(-2_000_000_000, 999_999_999).unwrap();
    // Beyond what 32 bits hold, signed or not.
    let in_2128 = Timestamp::new(5_000_000_000, 7).unwrap();
    let modes = [(0o644, 0o644), (0o755, 0o755), (0o000, 0), (0o200, 0o200), (0o7777, 0o777)];
    for (index, (sent, kept)) in (0..).zip(modes) {
        for (base, mtime_sent) in [(0, MTIME), (300, before_1970), (600, in_1906), (900, in_2128)] {
            let name = format!("{base}{sent:o}");
            let entry = Entry { mode: sent, mtime: mtime_sent, ..file(&name, b"x") };
            deliver(&dest, base + index, &entry, b"x").unwrap();
            assert_eq!(mode(&dir.path().join(&name)), kept);
            assert_eq!(mtime(&dir.path().join(&name)), mtime_sent);
            // The same in the other order: the content first, then its entry.
            dest.write_small(200 + base + index, b"x", None).unwrap();
            let name = format!("late{name}");
            let entry = Entry { path: path(&name), ..entry };
            commit(&dest, 200 + base + index, &entry).unwrap();
            assert_eq!(
                (mode(&dir.path().join(&name)), mtime(&dir.path().join(name))),
                (kept, mtime_sent)
            );
        }
    }
}

#[test]
fn a_read_only_folder_gets_its_content_and_times_first() {
    crate::transfer::testing::obey_permissions();
    let (dir, dest) = fixture();
    let outer = Entry { mode: 0o555, ..folder("tree") };
    let inner = Entry { mode: 0o000, ..folder("tree/locked") };
    deliver(&dest, 2, &file("tree/locked/x", b"x"), b"x").unwrap();
    commit(&dest, 3, &symlink("tree/link", "locked/x")).unwrap();
    commit(&dest, 1, &inner).unwrap();
    commit(&dest, 0, &outer).unwrap();
    dest.finish().unwrap();
    let tree = dir.path().join("tree");
    assert_eq!((mode(&tree), mtime(&tree)), (0o555, MTIME));
    assert_eq!((mode(&tree.join("locked")), mtime(&tree.join("locked"))), (0, MTIME));
    for path in [&tree, &tree.join("locked")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn folders_under_way_are_their_owners_only() {
    let (dir, dest) = fixture();
    deliver(&dest, 0, &file("tree/sub/x", b"x"), b"x").unwrap();
    for path in [partial_dir(dir.path()), dir.path().join("tree"), dir.path().join("tree/sub")] {
        assert_eq!(mode(&path), 0o700, "{path:?}");
    }
    let _content = dest.open_partial(1, 10).unwrap();
    assert_eq!(mode(&partial_dir(dir.path()).join("1.part")), 0o600);
}

#[test]
fn links_keep_their_target_and_time() {
    let (dir, dest) = fixture();
    for (index, target) in
        (0..).zip(["x", "../../../no/such", "/no/such/absolute", "dangling", "sub/../x"])
    {
        let committed = commit(&dest, index, &symlink("tree/link", target)).unwrap();
        assert_eq!(fs::read_link(&committed.file_path).unwrap(), Path::new(target));
        assert_eq!(mtime(&committed.file_path), MTIME);
    }
    assert_eq!(names(&dir.path().join("tree")).len(), 5);
}

#[test]
fn impossible_link_targets_are_refused() {
    let (_dir, dest) = fixture();
    for target in [vec![], vec![b'a'; 4096], b"a\0b".to_vec()] {
        let link = entry("link", EntryKind::Symlink { target });
        assert!(matches!(commit(&dest, 0, &link), Err(DestError::Unsafe(_))));
    }
}
