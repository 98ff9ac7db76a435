//! Peers and neighbours that want something written outside, or something of ours replaced.

use std::os::unix::fs::symlink as plant_link;

use proptest::prelude::*;

use super::*;
use crate::transfer::entry::RelPath;
use crate::transfer::testing::{entry, fast_dir, folder, symlink, while_swapping};

/// A destination beside a folder that nobody may touch.
struct Scene {
    dir: tempfile::TempDir,
    before: std::collections::BTreeMap<PathBuf, String>,
}

impl Scene {
    fn new() -> (Self, Destination) {
        let dir = fast_dir();
        fs::create_dir_all(dir.path().join("outside/sub")).unwrap();
        fs::write(dir.path().join("outside/secret"), "secret").unwrap();
        fs::create_dir(dir.path().join("dest")).unwrap();
        let before = snapshot(&dir.path().join("outside"));
        let dest = Destination::create(&dir.path().join("dest"), [1; 16]).unwrap();
        (Self { dir, before }, dest)
    }

    fn dest(&self) -> PathBuf {
        self.dir.path().join("dest")
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    fn assert_outside_untouched(&self) {
        assert_eq!(snapshot(&self.outside()), self.before);
        assert_eq!(names(self.dir.path()), ["dest", "outside"]);
    }
}

#[test]
fn a_link_made_by_an_earlier_entry_is_not_written_through() {
    let (scene, dest) = Scene::new();
    commit(&dest, 0, &symlink("tree/out", scene.outside().to_str().unwrap())).unwrap();
    let through = deliver(&dest, 1, &file("tree/out/x", b"x"), b"x");
    assert!(matches!(through, Err(DestError::Obstructed(_))));
    let through = commit(&dest, 2, &folder("tree/out"));
    assert!(matches!(through, Err(DestError::Obstructed(_))));
    // At the top the name is simply taken.
    commit(&dest, 3, &symlink("top", scene.outside().to_str().unwrap())).unwrap();
    let beside = deliver(&dest, 4, &file("top/x", b"x"), b"x").unwrap();
    assert_eq!(beside.file_path, scene.dest().join("top (2)/x"));
    scene.assert_outside_untouched();
}

#[test]
fn a_file_where_a_folder_must_be_is_refused() {
    let (scene, dest) = Scene::new();
    deliver(&dest, 0, &file("tree/a", b"x"), b"x").unwrap();
    let below = deliver(&dest, 1, &file("tree/a/b", b"x"), b"x");
    assert!(matches!(below, Err(DestError::Obstructed(at)) if at == path("tree/a/b")));
    assert!(matches!(commit(&dest, 2, &folder("tree/a")), Err(DestError::Obstructed(_))));
    dest.abandon().unwrap();
    assert_eq!(names(&scene.dest()), ["tree"]);
}

#[test]
fn what_is_planted_in_the_partial_folder_is_not_used() {
    let (scene, dest) = Scene::new();
    let partial = partial_dir(&scene.dest());
    let secret = scene.outside().join("secret");
    plant_link(&secret, partial.join("0.part")).unwrap();
    assert!(matches!(dest.open_partial(0, 6), Err(DestError::Tampered)));
    dest.write_small(0, b"x", None).unwrap();
    fs::hard_link(&secret, partial.join("1.part")).unwrap();
    assert!(matches!(commit(&dest, 1, &file("x", b"secret")), Err(DestError::Tampered)));
    drop(dest.open_partial(1, 6).unwrap());
    assert_eq!(fs::read(partial.join("1.part")).unwrap(), [0; 6]);
    dest.write_small(1, b"x", None).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, partial.join("2.part"), rustix::fs::Mode::RWXU).unwrap();
    assert!(matches!(dest.open_partial(2, 6), Err(DestError::Tampered)));
    plant_link(&secret, partial.join("3.part")).unwrap();
    commit(&dest, 3, &symlink("link", "target")).unwrap();
    dest.abandon().unwrap();
    scene.assert_outside_untouched();
}

#[test]
fn a_partial_folder_that_is_not_ours_is_not_used() {
    let (scene, dest) = Scene::new();
    dest.finish().unwrap();
    drop(dest);
    plant_link(scene.outside(), partial_dir(&scene.dest())).unwrap();
    let created = Destination::create(&scene.dest(), [1; 16]);
    assert!(matches!(created, Err(DestError::Tampered)));
    fs::remove_file(partial_dir(&scene.dest())).unwrap();
    fs::write(partial_dir(&scene.dest()), "").unwrap();
    let created = Destination::create(&scene.dest(), [1; 16]);
    assert!(matches!(created, Err(DestError::Tampered)));
    scene.assert_outside_untouched();
}

#[test]
fn a_partial_folder_of_another_user_is_not_used() {
    if !rustix::process::geteuid().is_root() {
        crate::transfer::testing::skip("root, to make a folder of another user");
        return;
    }
    let (scene, dest) = Scene::new();
    drop(dest);
    std::os::unix::fs::chown(partial_dir(&scene.dest()), Some(65_534), None).unwrap();
    let created = Destination::create(&scene.dest(), [1; 16]);
    assert!(matches!(created, Err(DestError::Tampered)));
}

#[test]
fn a_top_folder_that_was_replaced_gets_nothing() {
    let (scene, dest) = Scene::new();
    deliver(&dest, 0, &file("tree/x", b"x"), b"x").unwrap();
    deliver(&dest, 1, &file("other/x", b"x"), b"x").unwrap();
    fs::rename(scene.dest().join("tree"), scene.dest().join("moved")).unwrap();
    fs::create_dir(scene.dest().join("tree")).unwrap();
    let into_theirs = deliver(&dest, 2, &file("tree/y", b"x"), b"x");
    assert!(matches!(into_theirs, Err(DestError::Obstructed(_))));
    dest.abandon().unwrap();
    assert!(names(&scene.dest().join("tree")).is_empty());
}

#[test]
fn a_folder_swapped_for_a_link_at_any_moment_leads_nowhere() {
    let (scene, dest) = Scene::new();
    deliver(&dest, 0, &file("tree/sub/x", b"x"), b"x").unwrap();
    deliver(&dest, 1, &file("tree/other/x", b"x"), b"x").unwrap();
    let decoy = scene.dest().join("decoy");
    plant_link(scene.outside(), &decoy).unwrap();
    let swapped = scene.dest().join("tree/sub");
    let (mut beside, mut deep, mut refused, mut index) = (1, 0, 0, 2);
    while_swapping(&swapped, &decoy, || {
        // Files in turn in two folders, so that each is opened anew; until both were met.
        while index < 2_000 || deep == 0 || refused == 0 {
            index += 1;
            assert!(index < 1_000_000, "the race did not happen: {deep} {refused}");
            let sub = if index % 2 == 0 { "sub/deep" } else { "other" };
            match deliver(&dest, index, &file(&format!("tree/{sub}/{index}"), b"x"), b"x") {
                Ok(_) if index % 2 == 0 => deep += 1,
                Ok(_) => beside += 1,
                Err(DestError::Obstructed(_) | DestError::Vanished) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    scene.assert_outside_untouched();
    dest.abandon().unwrap();
    assert_eq!(names(&swapped.join("deep")).len(), deep);
    assert_eq!(names(&scene.dest().join("tree/other")).len(), beside);
}

#[test]
fn a_top_folder_swapped_for_a_link_at_any_moment_leads_nowhere() {
    let (scene, dest) = Scene::new();
    let tree = deliver(&dest, 0, &file("tree/x", b"x"), b"x").unwrap().file_path;
    let decoy = scene.dest().join("decoy");
    plant_link(scene.outside(), &decoy).unwrap();
    while_swapping(tree.parent().unwrap(), &decoy, || {
        for index in 1..1000 {
            let top = if index % 2 == 0 { "tree/sub" } else { "other" };
            let _ = deliver(&dest, index, &file(&format!("{top}/{index}"), b"x"), b"x");
        }
        let _ = commit(&dest, 0, &folder("tree"));
        dest.abandon().unwrap();
    });
    scene.assert_outside_untouched();
}

/// Names that meet each other, on few levels.
fn hostile_entry() -> impl Strategy<Value = Entry> {
    let name = prop::sample::select(vec!["a", "b", "..", ".", "", "a.txt", "outside", "\u{0}"]);
    let kind = prop_oneof![
        3 => Just(EntryKind::File { size: 1 }),
        1 => Just(EntryKind::Directory),
        // Only what lies in the scene: should this test ever fail, nothing else may suffer.
        1 => prop::sample::select(vec!["../outside", "../../outside", "a", "../outside/secret"])
            .prop_map(|target| EntryKind::Symlink { target: target.into() }),
    ];
    let joined = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    (joined, kind).prop_filter_map("not a path", |(joined, kind)| {
        RelPath::decode(joined.as_bytes()).ok().map(|path| Entry {
            path,
            mode: 0o750,
            ..entry("x", kind)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_manifest_stays_inside_and_replaces_nothing(
        entries in prop::collection::vec(hostile_entry(), 1..24),
        as_one_batch: bool,
    ) {
        let (scene, dest) = Scene::new();
        fs::write(scene.dest().join("a"), "mine").unwrap();
        fs::create_dir(scene.dest().join("b")).unwrap();
        for index in 0..entries.len() as u64 {
            dest.write_small(index, &[index as u8], None).unwrap();
        }
        let commits: Vec<_> = (0_u64..).zip(&entries).map(|(index, entry)| Commit { part: index.into(), entry }).collect();
        let size = if as_one_batch { commits.len() } else { 1 };
        let results: Vec<_> = commits.chunks(size).flat_map(|batch| dest.commit(batch, &mut Forgetful)).collect();
        dest.abandon().unwrap();
        scene.assert_outside_untouched();
        prop_assert_eq!(fs::read(scene.dest().join("a")).unwrap(), b"mine");
        prop_assert!(names(&scene.dest().join("b")).is_empty());
        prop_assert!(names(&scene.dest()).iter().all(|name| !name.starts_with('.')));
        for (index, (entry, result)) in entries.iter().zip(results).enumerate() {
            if let (EntryKind::File { .. }, Ok(committed)) = (&entry.kind, result) {
                prop_assert!(committed.file_path.starts_with(scene.dest()));
                prop_assert_eq!(fs::read(committed.file_path).unwrap(), [index as u8]);
            }
        }
    }
}
