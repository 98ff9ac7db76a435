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

#[test]
fn a_claim_is_given_back_when_the_rename_fails() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    assert!(folder.rename_over_claim(b"missing", &folder, b"name").is_err());
    assert_eq!(folder.stat(b"name").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn only_a_regular_file_is_opened_as_a_file_and_only_a_folder_as_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    folder.make_folder(b"folder").unwrap();
    rustix::fs::mkfifoat(&folder.0, "pipe", Mode::RWXU).unwrap();
    symlink("file", dir.path().join("link")).unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    drop(folder.create_file(b"file").unwrap());
    folder.open_file(b"file", true).unwrap();
    for name in ["folder", "pipe", "link", "socket"] {
        for write in [false, true] {
            let error = folder.open_file(name.as_bytes(), write).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
        }
    }
    for name in ["file", "pipe", "link", "socket"] {
        let error = folder.open_folder(name.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory, "{name}");
    }
}
