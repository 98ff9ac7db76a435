#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;

type Rename = fn(&Folder, &[u8], &Folder, &[u8]) -> io::Result<()>;

#[test]
fn every_way_to_rename_replaces_nothing() {
    let ways: [Rename; 3] = [Folder::rename_new, Folder::rename_by_link, Folder::rename_over_claim];
    for rename in ways {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        folder.make_folder(b"to").unwrap();
        let to = folder.open_folder(b"to").unwrap();
        std::fs::write(dir.path().join("from"), "content").unwrap();
        std::fs::write(dir.path().join("to/taken"), "mine").unwrap();
        symlink("taken", dir.path().join("to/link")).unwrap();
        for taken in [&b"taken"[..], b"link"] {
            let error = rename(&folder, b"from", &to, taken).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        }
        rename(&folder, b"from", &to, b"free").unwrap();
        assert_eq!(std::fs::read(dir.path().join("to/free")).unwrap(), b"content");
        assert_eq!(std::fs::read(dir.path().join("to/taken")).unwrap(), b"mine");
        assert_eq!(folder.stat(b"from").unwrap_err().kind(), ErrorKind::NotFound);
    }
}

/// A new file beside an old one, in folders of their own; the path of the old.
fn new_and_old(dir: &Path) -> (Folder, Folder, std::path::PathBuf) {
    let folder = Folder::open(dir).unwrap();
    folder.make_folder(b"to").unwrap();
    let to = folder.open_folder(b"to").unwrap();
    std::fs::write(dir.join("new"), "new").unwrap();
    std::fs::write(dir.join("to/old"), "old").unwrap();
    (folder, to, dir.join("to/old"))
}

#[test]
fn a_file_takes_the_place_of_the_old_one_only_if_that_is_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, to, old) = new_and_old(dir.path());
    assert!(!folder.replace(b"new", &to, b"old", |_| false, |_| true).unwrap());
    assert_eq!(std::fs::read(&old).unwrap(), b"old");
    assert!(folder.replace(b"new", &to, b"old", |stat| stat.size == 3, |_| true).unwrap());
    assert_eq!(std::fs::read(&old).unwrap(), b"new");
    assert_eq!(std::fs::read(dir.path().join("new")).unwrap(), b"old");
    let gone = folder.replace(b"new", &to, b"gone", |_| true, |_| true).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[test]
fn the_look_before_the_exchange_sees_what_the_one_after_it_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, to, old) = new_and_old(dir.path());
    let before = to.stat(b"old").unwrap();
    // Only the time of the last change tells: the content is as long, and the time was set back.
    let mtime = std::fs::metadata(&old).unwrap().modified().unwrap();
    while to.stat(b"old").unwrap().ctime == before.ctime {
        std::fs::write(&old, "OLD").unwrap();
        let times = std::fs::FileTimes::new().set_modified(mtime);
        File::options().write(true).open(&old).unwrap().set_times(times).unwrap();
    }
    let is_old = |stat: &Stat| *stat == before;
    assert!(!folder.replace(b"new", &to, b"old", is_old, |_| true).unwrap());
    assert_eq!(std::fs::read(&old).unwrap(), b"OLD");
}

#[test]
fn what_somebody_changes_in_the_very_moment_is_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, to, old) = new_and_old(dir.path());
    // The look before the exchange finds the file as it was; the one after it does not.
    let is_old = |stat: &Stat| {
        std::fs::write(&old, "changed").unwrap();
        stat.size == 3
    };
    assert!(!folder.replace(b"new", &to, b"old", is_old, |stat| stat.size == 3).unwrap());
    assert_eq!(std::fs::read(&old).unwrap(), b"changed");
    assert_eq!(std::fs::read(dir.path().join("new")).unwrap(), b"new");
}

#[test]
fn a_claim_is_given_back_when_the_rename_fails() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    assert!(folder.rename_over_claim(b"missing", &folder, b"name").is_err());
    assert_eq!(folder.stat(b"name").unwrap_err().kind(), ErrorKind::NotFound);
}

/// Makes a pipe; its name.
#[cfg(target_os = "linux")]
fn make_pipe(folder: &Folder) -> &'static str {
    rustix::fs::mkfifoat(&folder.0, "pipe", Mode::RWXU).unwrap();
    "pipe"
}

/// rustix makes none here: the socket has to do.
#[cfg(not(target_os = "linux"))]
fn make_pipe(_: &Folder) -> &'static str {
    "socket"
}

#[test]
fn only_a_regular_file_is_opened_as_a_file_and_only_a_folder_as_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    folder.make_folder(b"folder").unwrap();
    let pipe = make_pipe(&folder);
    symlink("file", dir.path().join("link")).unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    drop(folder.create_file(b"file").unwrap());
    folder.open_file(b"file", true).unwrap();
    for name in ["folder", pipe, "link", "socket"] {
        for write in [false, true] {
            let error = folder.open_file(name.as_bytes(), write).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
        }
    }
    for name in ["file", pipe, "link", "socket"] {
        let error = folder.open_folder(name.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory, "{name}");
    }
}

#[test]
fn a_name_that_is_not_plain_reaches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "mine").unwrap();
    let outer = Folder::open(dir.path()).unwrap();
    for name in [&b"in"[..], b"ours"] {
        outer.make_folder(name).unwrap();
    }
    let folder = outer.open_folder(b"in").unwrap();
    std::fs::write(dir.path().join("in/ours"), "").unwrap();
    let absolute = dir.path().join("file");
    for name in
        [&b"../file"[..], b"", b".", b"..", b"/", b"x/../../file", absolute.as_os_str().as_bytes()]
    {
        let mtime = Timestamp::default();
        let results = [
            folder.open_folder(name).map(drop),
            folder.open_file(name, true).map(drop),
            folder.create_file(name).map(drop),
            folder.make_folder(name),
            folder.make_symlink(name, b"x", mtime),
            folder.rename_new(name, &folder, b"new"),
            folder.rename_new(b"ours", &folder, name),
            folder.remove_file(name),
            folder.remove_folder(name),
            folder.stat(name).map(drop),
            folder.check_readable(name),
            folder.read_symlink(name).map(drop),
        ];
        for (call, result) in results.into_iter().enumerate() {
            let refused = result.unwrap_err().kind();
            assert_eq!(refused, ErrorKind::InvalidInput, "{call} {}", name.escape_ascii());
        }
    }
    assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"mine");
}

#[test]
#[cfg(target_os = "linux")]
fn the_kernel_refuses_to_leave_a_folder_even_if_the_name_was_not_looked_at() {
    if !has_openat2() {
        crate::transfer::testing::skip("openat2");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "mine").unwrap();
    let outer = Folder::open(dir.path()).unwrap();
    outer.make_folder(b"in").unwrap();
    let folder = outer.open_folder(b"in").unwrap();
    symlink("..", dir.path().join("in/way-out")).unwrap();
    let absolute = dir.path().join("file");
    for name in [&b"../file"[..], b"way-out/file", absolute.as_os_str().as_bytes()] {
        let error = open_beneath(&folder, name, OFlags::RDONLY, Mode::empty()).unwrap_err();
        assert!([Errno::NOENT, Errno::LOOP].contains(&error), "{error}");
    }
}
