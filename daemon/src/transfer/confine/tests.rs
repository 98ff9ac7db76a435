//! What a confined thread can still do, and what it cannot.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::path::Path;

use rustix::fs::CWD;

use super::*;
use crate::transfer::dest::Destination;
use crate::transfer::testing::{deliver, file, folder, names, snapshot, symlink};

/// Whether this kernel confines threads; a test that needs it says so where not.
pub(in crate::transfer) fn needs_landlock() -> bool {
    let tried = std::thread::spawn(|| confine_thread(&Folder::open(Path::new("/")).unwrap()));
    let confines = tried.join().unwrap() == Confinement::Enforced;
    if !confines {
        crate::transfer::testing::skip("a kernel with Landlock");
    }
    confines
}

/// Runs `work` on a thread that is confined to `dir`.
fn confined<T: Send>(dir: &Path, work: impl FnOnce() -> T + Send) -> T {
    let thread = || {
        assert_eq!(confine_thread(&Folder::open(dir).unwrap()), Confinement::Enforced);
        work()
    };
    std::thread::scope(|scope| scope.spawn(thread).join().unwrap())
}

fn assert_refused<T>(what: &str, result: io::Result<T>) {
    let error = result.err().unwrap_or_else(|| panic!("{what} was not refused"));
    // A rename or link into another hierarchy is called one across devices.
    let kinds = [ErrorKind::PermissionDenied, ErrorKind::CrossesDevices];
    assert!(kinds.contains(&error.kind()), "{what}: {error}");
}

#[test]
fn a_confined_thread_changes_and_reads_nothing_outside() {
    if !needs_landlock() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
    fs::create_dir_all(outside.join("folder")).unwrap();
    fs::create_dir(&inside).unwrap();
    fs::write(outside.join("file"), "mine").unwrap();
    fs::write(inside.join("file"), "theirs").unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("way-out")).unwrap();
    let before = snapshot(&outside);
    confined(&inside, || {
        for outside in [&outside, &inside.join("way-out"), &inside.join("../outside")] {
            let victim = outside.join("file");
            assert_refused("reading", fs::read(&victim));
            assert_refused("writing", fs::write(&victim, "theirs"));
            assert_refused("truncating", rustix_truncate(&victim));
            assert_refused("making", fs::write(outside.join("new"), ""));
            assert_refused("making a folder", fs::create_dir(outside.join("new")));
            assert_refused("linking", std::os::unix::fs::symlink("x", outside.join("new")));
            assert_refused("removing", fs::remove_file(&victim));
            assert_refused("removing a folder", fs::remove_dir(outside.join("folder")));
            assert_refused("moving out", fs::rename(inside.join("file"), outside.join("new")));
            assert_refused("moving in", fs::rename(&victim, inside.join("new")));
            assert_refused("sharing in", fs::hard_link(&victim, inside.join("new")));
            assert_refused("sharing out", fs::hard_link(inside.join("file"), outside.join("new")));
            assert_refused("listing", fs::read_dir(outside).map(drop));
        }
        let device = rustix::fs::mknodat(
            CWD,
            inside.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        );
        assert_refused("making a pipe", device.map_err(io::Error::from));
    });
    assert_eq!(snapshot(&outside), before);
    assert_eq!(names(&inside), ["file", "way-out"]);
}

fn rustix_truncate(victim: &Path) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(victim)?.set_len(0)
}

#[test]
fn a_confined_thread_opens_no_connection() {
    if !needs_landlock() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Confined already by an older kernel, files are; the network came with Linux 6.7.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listener.local_addr().unwrap();
    confined(dir.path(), || {
        assert_refused("listening", TcpListener::bind("127.0.0.1:0"));
        assert_refused("connecting", std::net::TcpStream::connect(there));
    });
}

#[test]
fn a_destination_works_on_a_confined_thread() {
    if !needs_landlock() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    confined(dir.path(), || {
        let dest = Destination::create(dir.path(), [1; 16]).unwrap();
        deliver(&dest, 0, &file("tree/deep/er/x", b"content"), b"content").unwrap();
        dest.open_partial(1, 9).unwrap().write_block(0, b"in blocks").unwrap();
        for (index, entry) in
            [file("tree/y", b"in blocks"), symlink("tree/link", "deep"), folder("tree/deep")]
                .iter()
                .enumerate()
        {
            crate::transfer::testing::commit(&dest, index as u64 + 1, entry).unwrap();
        }
        dest.finish().unwrap();
    });
    assert_eq!(names(dir.path()), ["tree"]);
    assert_eq!(names(&dir.path().join("tree")), ["deep", "link", "y"]);
    assert_eq!(fs::read(dir.path().join("tree/deep/er/x")).unwrap(), b"content");
    assert_eq!(fs::read(dir.path().join("tree/y")).unwrap(), b"in blocks");
}
