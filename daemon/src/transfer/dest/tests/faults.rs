//! Disks that are full, read-only or gone.

use std::io;
use std::os::unix::fs::PermissionsExt;

use rustix::mount::MountFlags;

use super::*;
use crate::transfer::testing::{Tmpfs, obey_permissions};

#[test]
fn a_full_disk_is_said_to_be_full_and_no_half_file_has_a_real_name() {
    let Some(disk) = Tmpfs::mount(MountFlags::empty(), "size=1m") else {
        return;
    };
    let dir = disk.0.path();
    let dest = Destination::create(dir, [1; 16]).unwrap();
    assert!(dest.free_space().unwrap() <= 1 << 20);
    deliver(&dest, 0, &file("tree/fits", b"x"), b"x").unwrap();
    let large = dest.open_partial(1, 2 << 20).unwrap();
    let blocks = (0..32).map(|block| large.write_block(block << 16, &[1; 1 << 16]));
    let errors: Vec<_> = blocks.filter_map(Result::err).collect();
    assert!(!errors.is_empty() && errors.iter().all(|error| matches!(error, DestError::NoSpace)));
    let small = dest.write_small(2, &[1; 1 << 16], None);
    assert!(matches!(small, Err(DestError::NoSpace)));
    drop(large);
    dest.abandon().unwrap();
    assert_eq!(names(dir), ["tree"]);
    assert_eq!(names(&dir.join("tree")), ["fits"]);
    // The space is there again.
    let dest = Destination::create(dir, [2; 16]).unwrap();
    deliver(&dest, 0, &file("now", &[1; 1 << 19]), &[1; 1 << 19]).unwrap();
}

#[test]
fn a_disk_without_room_for_more_files_is_full_too() {
    let Some(disk) = Tmpfs::mount(MountFlags::empty(), "nr_inodes=8") else {
        return;
    };
    let dest = Destination::create(disk.0.path(), [1; 16]).unwrap();
    let written: Vec<_> = (0..10).map(|index| dest.write_small(index, b"x", None)).collect();
    assert!(matches!(written.last(), Some(Err(DestError::NoSpace))));
    // Nor is there room for the folder that this file needs.
    let committed = commit(&dest, 0, &file("tree/sub/x", b"x"));
    assert!(matches!(committed, Err(DestError::NoSpace)));
    dest.abandon().unwrap();
    assert!(names(disk.0.path()).is_empty());
}

#[test]
fn a_read_only_disk_is_said_to_be_read_only() {
    let Some(disk) = Tmpfs::mount(MountFlags::RDONLY, "") else {
        return;
    };
    let created = Destination::create(disk.0.path(), [1; 16]);
    assert!(matches!(created, Err(DestError::ReadOnly)));
}

#[test]
fn a_folder_without_permission_is_said_to_have_none() {
    obey_permissions();
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let created = Destination::create(dir.path(), [1; 16]);
    assert!(matches!(created, Err(DestError::PermissionDenied)));
}

#[test]
fn permission_that_is_taken_away_meanwhile_is_noticed() {
    obey_permissions();
    let (dir, dest) = fixture();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let committed = deliver(&dest, 0, &file("x", b"x"), b"x");
    assert!(matches!(committed, Err(DestError::PermissionDenied)));
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Nothing was lost: the same content can be committed again.
    commit(&dest, 0, &file("x", b"x")).unwrap();
    assert_eq!(fs::read(dir.path().join("x")).unwrap(), b"x");
}

#[test]
fn a_missing_destination_or_one_that_is_no_folder_is_named_so() {
    let dir = tempfile::tempdir().unwrap();
    let created = Destination::create(&dir.path().join("missing"), [1; 16]);
    assert!(matches!(created, Err(DestError::Vanished)));
    fs::write(dir.path().join("file"), "").unwrap();
    let created = Destination::create(&dir.path().join("file"), [1; 16]);
    assert!(matches!(created, Err(DestError::NotAFolder)));
}

#[test]
fn a_destination_that_vanishes_is_noticed() {
    let (dir, dest) = fixture();
    let entry = file("tree/x", b"x");
    dest.write_small(0, b"x", Some(&entry)).unwrap();
    fs::remove_dir_all(dir.path()).unwrap();
    assert!(matches!(commit(&dest, 0, &entry), Err(DestError::Vanished)));
    assert!(matches!(dest.write_small(1, b"x", None), Err(DestError::Vanished)));
    assert!(matches!(dest.open_partial(2, 10), Err(DestError::Vanished)));
    dest.abandon().unwrap();
}

#[test]
fn a_subfolder_that_vanishes_is_made_again() {
    let (dir, dest) = fixture();
    deliver(&dest, 0, &file("tree/sub/x", b"x"), b"x").unwrap();
    fs::remove_dir_all(dir.path().join("tree/sub")).unwrap();
    deliver(&dest, 1, &file("tree/sub/y", b"y"), b"y").unwrap();
    assert_eq!(names(&dir.path().join("tree/sub")), ["y"]);
}

#[test]
fn one_entry_that_fails_does_not_stop_its_batch() {
    let (dir, dest) = fixture();
    let entries = [file("a", b"1"), file("missing", b"2"), file("tree/c", b"3")];
    dest.write_small(0, b"1", None).unwrap();
    dest.write_small(2, b"3", None).unwrap();
    let batch: Vec<_> = (0_u64..)
        .zip(&entries)
        .map(|(index, entry)| Commit { part: index.into(), entry })
        .collect();
    let results = dest.commit(&batch, &mut Forgetful);
    assert!(matches!(results[..], [Ok(_), Err(DestError::NotReceived), Ok(_)]));
    dest.finish().unwrap();
    assert_eq!(names(dir.path()), ["a", "tree"]);
}

#[test]
fn each_fault_of_the_system_has_its_own_word() {
    let word = |errno: rustix::io::Errno| {
        DestError::from(io::Error::from_raw_os_error(errno.raw_os_error()))
    };
    use rustix::io::Errno;
    assert!(matches!(word(Errno::NOSPC), DestError::NoSpace));
    assert!(matches!(word(Errno::DQUOT), DestError::QuotaExceeded));
    assert!(matches!(word(Errno::ROFS), DestError::ReadOnly));
    assert!(matches!(word(Errno::ACCESS), DestError::PermissionDenied));
    assert!(matches!(word(Errno::PERM), DestError::PermissionDenied));
    assert!(matches!(word(Errno::NOENT), DestError::Vanished));
    assert!(matches!(word(Errno::FBIG), DestError::TooLarge));
    assert!(matches!(word(Errno::NAMETOOLONG), DestError::NameRefused));
    assert!(matches!(word(Errno::IO), DestError::Io(_)));
}
