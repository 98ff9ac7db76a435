//! Names: nothing is ever replaced.

use std::os::unix::fs::symlink as plant_link;

use super::*;
use crate::transfer::entry::RelPath;
use crate::transfer::testing::{folder, long_name, name_of, symlink};

#[test]
fn a_taken_name_gets_a_number() {
    let (dir, dest) = fixture();
    fs::write(dir.path().join("name.ext"), "mine").unwrap();
    plant_link("nowhere", dir.path().join("name (2).ext")).unwrap();
    fs::create_dir(dir.path().join("name (3).ext")).unwrap();
    let entry = file("name.ext", b"new");
    let first = deliver(&dest, 0, &entry, b"new").unwrap();
    let second = deliver(&dest, 1, &entry, b"new").unwrap();
    assert_eq!(first.file_path, dir.path().join("name (4).ext"));
    assert_eq!(second.file_path, dir.path().join("name (5).ext"));
    assert_eq!(fs::read(dir.path().join("name.ext")).unwrap(), b"mine");
    assert!(dir.path().join("name (2).ext").is_symlink());
}

#[test]
fn the_top_folders_name_is_chosen_once() {
    let (dir, dest) = fixture();
    fs::create_dir(dir.path().join("trip.2024")).unwrap();
    deliver(&dest, 0, &file("trip.2024/a/1", b"1"), b"1").unwrap();
    fs::create_dir(dir.path().join("trip.2024 (3)")).unwrap();
    deliver(&dest, 1, &file("other/2", b"2"), b"2").unwrap();
    deliver(&dest, 2, &file("trip.2024/b/3", b"3"), b"3").unwrap();
    commit(&dest, 3, &symlink("trip.2024/link", "a")).unwrap();
    let committed = commit(&dest, 4, &folder("trip.2024")).unwrap();
    assert_eq!(committed.file_path, dir.path().join("trip.2024 (2)"));
    assert_eq!(names(&dir.path().join("trip.2024 (2)")), ["a", "b", "link"]);
    assert!(names(&dir.path().join("trip.2024")).is_empty());
    assert!(names(&dir.path().join("trip.2024 (3)")).is_empty());
}

#[test]
fn names_of_full_length_and_of_any_bytes_arrive() {
    let (dir, dest) = fixture();
    let long = long_name(255, ".txt");
    let wild = ["with space", "quo\"te'", "new\nline", "🚢", "-rf", &long];
    for (index, name) in (0..).zip(wild) {
        for top in ["", "tree/"] {
            let committed = deliver(&dest, index, &file(&format!("{top}{name}"), b"x"), b"x");
            assert_eq!(name_of(&committed.unwrap().file_path), name.as_bytes());
        }
    }
    let again = deliver(&dest, 90, &file(&long, b"x"), b"x").unwrap();
    assert_eq!(name_of(&again.file_path), format!("{} (2).txt", "x".repeat(247)).as_bytes());
    let bytes = Entry { path: RelPath::new([[0xff, b'a', 0xfe]]).unwrap(), ..file("x", b"x") };
    let committed = deliver(&dest, 91, &bytes, b"x").unwrap();
    assert_eq!(name_of(&committed.file_path), [0xff, b'a', 0xfe]);
    let deep = vec!["d"; 128].join("/");
    assert!(deliver(&dest, 92, &file(&deep, b"x"), b"x").unwrap().file_path.is_file());
    dest.finish().unwrap();
    assert_eq!(names(&dir.path().join("tree")).len(), wild.len());
}

#[test]
fn many_files_of_one_name_are_numbered_on() {
    let (dir, dest) = fixture();
    let entry = file("tree/same.txt", b"x");
    for index in 0..300_u64 {
        dest.write_small(index, b"x", Some(&entry)).unwrap();
    }
    let batch: Vec<_> =
        (0_u64..300).map(|index| Commit { part: index.into(), entry: &entry }).collect();
    assert!(dest.commit(&batch, &mut Forgetful).iter().all(Result::is_ok));
    assert_eq!(names(&dir.path().join("tree")).len(), 300);
    assert!(dir.path().join("tree/same (300).txt").is_file());
}

#[test]
fn a_rename_race_loses_nobodys_file() {
    let (dir, dest) = fixture();
    let theirs = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let claims = (1..400).map(|number| match number {
                1 => dir.path().join("x.txt"),
                _ => dir.path().join(format!("x ({number}).txt")),
            });
            claims.filter(|claim| fs::File::create_new(claim).is_ok()).collect::<Vec<_>>()
        });
        for index in 0..200 {
            deliver(&dest, index, &file("x.txt", b"ours"), b"ours").unwrap();
        }
        other.join().unwrap()
    });
    dest.finish().unwrap();
    assert!(theirs.iter().all(|claim| fs::read(claim).unwrap().is_empty()));
    let ours = names(dir.path()).len() - theirs.len();
    assert_eq!(ours, 200);
}

#[test]
fn repeated_folders_are_the_same_folder() {
    let (dir, dest) = fixture();
    for index in 0..3 {
        commit(&dest, index, &folder("tree/sub")).unwrap();
        commit(&dest, index, &folder("tree")).unwrap();
    }
    dest.finish().unwrap();
    assert_eq!(names(dir.path()), ["tree"]);
    assert_eq!(names(&dir.path().join("tree")), ["sub"]);
}
