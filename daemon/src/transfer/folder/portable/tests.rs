#![allow(clippy::unwrap_used)]

use super::*;

type Rename = fn(&Folder, &Path, &Folder, &Path) -> io::Result<()>;

fn folder() -> (tempfile::TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    (dir, folder)
}

#[test]
fn every_way_to_rename_replaces_nothing() {
    let by_link: Rename = |from, name, to, new_name| {
        from.rename_new(name_bytes(name.as_os_str()), to, name_bytes(new_name.as_os_str()))
    };
    for rename in [by_link, Folder::rename_over_claim] {
        let (dir, folder) = folder();
        folder.make_folder(b"to").unwrap();
        let to = folder.open_folder(b"to").unwrap();
        std::fs::write(dir.path().join("from"), "content").unwrap();
        std::fs::write(dir.path().join("to/taken"), "mine").unwrap();
        let error = rename(&folder, Path::new("from"), &to, Path::new("taken")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        rename(&folder, Path::new("from"), &to, Path::new("free")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("to/free")).unwrap(), b"content");
        assert_eq!(std::fs::read(dir.path().join("to/taken")).unwrap(), b"mine");
        assert_eq!(folder.stat(b"from").unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn a_claim_is_given_back_when_the_rename_fails() {
    let (_dir, folder) = folder();
    assert!(folder.rename_over_claim(Path::new("missing"), &folder, Path::new("name")).is_err());
    assert_eq!(folder.stat(b"name").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn only_a_regular_file_is_opened_as_a_file_and_only_a_folder_as_a_folder() {
    let (_dir, folder) = folder();
    folder.make_folder(b"folder").unwrap();
    drop(folder.create_file(b"file").unwrap());
    folder.open_file(b"file", true).unwrap();
    let error = folder.open_file(b"folder", false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = folder.open_folder(b"file").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    assert_eq!(folder.create_file(b"file").unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[test]
fn a_folder_of_our_own_is_removed_while_it_is_open() {
    let (_dir, folder) = folder();
    folder.make_folder(b"own").unwrap();
    folder.create_file(b"file").unwrap();
    let own = folder.open_own_folder(b"own").unwrap();
    drop(own.create_file(b"part").unwrap());
    own.remove_file(b"part").unwrap();
    folder.remove_folder(b"own").unwrap();
    drop(own);
    assert_eq!(folder.stat(b"own").unwrap_err().kind(), ErrorKind::NotFound);
    let error = folder.open_own_folder(b"file").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let (dir, folder) = folder();
    std::fs::write(dir.path().join("outside"), "").unwrap();
    folder.make_folder(b"inside").unwrap();
    let inside = folder.open_folder(b"inside").unwrap();
    for name in ["../outside", r"..\outside", r"C:\outside", r"\\?\C:\outside", "/outside"] {
        assert!(inside.open_file(name.as_bytes(), false).is_err(), "{name}");
        assert!(inside.create_file(name.as_bytes()).is_err(), "{name}");
        assert!(inside.make_folder(name.as_bytes()).is_err(), "{name}");
        assert!(inside.remove_file(name.as_bytes()).is_err(), "{name}");
    }
    assert!(dir.path().join("outside").exists());
}

#[test]
fn content_and_time_are_kept_and_what_is_there_is_listed() {
    let (_dir, folder) = folder();
    let file = folder.create_file("größe".as_bytes()).unwrap();
    write_all_at(&file, b"end", 5).unwrap();
    write_all_at(&file, b"start", 0).unwrap();
    let mut content = [0; 16];
    assert_eq!(read_at(&file, &mut content, 2).unwrap(), 6);
    assert_eq!(&content[..6], b"artend");
    let mtime = Timestamp::new(1_000_000_000, 123_456_700).unwrap();
    set_metadata(&file, 0, mtime).unwrap();
    let stat = stat_file(&file).unwrap();
    assert_eq!((stat.kind, stat.size, stat.mtime), (Kind::File, 8, mtime));
    let mut listing = folder.list().unwrap();
    let listed: Vec<_> = std::iter::from_fn(|| listing.next_name().map(Result::unwrap)).collect();
    assert_eq!(listed, ["größe".as_bytes()]);
}

#[test]
fn a_file_is_the_same_under_another_name_and_another_is_not() {
    let (_dir, folder) = folder();
    drop(folder.create_file(b"one").unwrap());
    drop(folder.create_file(b"other").unwrap());
    let one = folder.stat(b"one").unwrap();
    assert_ne!(one.id, folder.stat(b"other").unwrap().id);
    assert_eq!(one.links, 1);
    folder.link_new(b"one", &folder, b"link").unwrap();
    folder.rename_new(b"one", &folder, b"moved").unwrap();
    for name in [b"link", b"moved" as &[u8]] {
        let stat = folder.stat(name).unwrap();
        assert_eq!((stat.id, stat.links), (one.id, 2));
    }
    let taken = folder.link_new(b"link", &folder, b"other").unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
}
