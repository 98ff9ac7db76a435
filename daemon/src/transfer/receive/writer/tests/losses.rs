//! What could not be kept is counted, noted with the commit, and told to the end.

use super::again::Scene;
use super::*;
use crate::transfer::entry::{Attribute, Attributes, EntryKind};
use crate::transfer::folder::attributes;
use crate::transfer::loss::{LossKind, Losses};
use crate::transfer::testing::Mounted;

/// All that was told last.
fn lost(told: &[Written]) -> Losses {
    let of = |written: &Written| match written {
        Written::Lost(losses) => Some(losses.clone()),
        _ => None,
    };
    told.iter().rev().find_map(of).unwrap_or_default()
}

fn counts(losses: &Losses) -> Vec<(LossKind, u64, String)> {
    let first = |examples: &[(String, String)]| {
        examples.first().map(|(path, detail)| format!("{path}: {detail}")).unwrap_or_default()
    };
    losses.iter().map(|(kind, lost)| (kind, lost.count, first(&lost.examples))).collect()
}

fn attributed(entry: Entry) -> Entry {
    let mut attributes = Attributes::default();
    attributes.push(Attribute { name: b"user.origin".to_vec(), value: b"here".to_vec() }).unwrap();
    Entry { attributes, ..entry }
}

/// A file of 2 MiB and a byte, all zeros but the last, as it comes in blocks.
fn sparse(entry: Entry) -> Vec<Job> {
    let mut large = Large::new(2 * MIB + 1);
    large.content[..2 * MIB].fill(0);
    let mut start = large.start(0);
    if let Job::Start { entry: started, .. } = &mut start {
        let EntryKind::File { size } = started.kind else { panic!("no file") };
        *started = Entry { kind: EntryKind::File { size }, has_holes: true, ..entry };
    }
    vec![start, large.block(0, 0), large.block(0, 1), large.block(0, 2), large.end(0)]
}

/// What a destination of ramfs, which has neither holes nor attributes, loses of what comes.
#[test]
fn what_the_file_system_does_not_have_is_told_and_everything_arrives() {
    let Some(ramfs) = Mounted::ramfs() else { return };
    let scene = Scene::in_dir(ramfs.0.path().to_owned());
    let small = attributed(file("tree/small", b"x"));
    let jobs = sparse(attributed(file("tree/large", b"")))
        .into_iter()
        .chain([
            pack(0, vec![(1, small, b"x"), (2, attributed(folder("tree")), b"")]),
            Job::Finish { entries: 3 },
        ])
        .collect();
    let (told, ended) = scene.run(1, jobs);
    assert_eq!(ended, Ended::Complete { files: 2, bytes: 2 * MIB as u64 + 2 });
    let found = counts(&lost(&told));
    assert_eq!((found[0].0, found[0].1), (LossKind::Attributes, 3), "{found:?}");
    assert!(found[0].2.ends_with(": user.origin"), "{found:?}");
    assert_eq!(found[1], (LossKind::Holes, 1, "tree/large: ".to_owned()));
    assert_eq!(found.len(), 2);
}

#[test]
fn what_the_file_system_has_is_kept() {
    let scene = Scene::new();
    let small = attributed(Entry { mode: 0o400, ..file("tree/small", b"x") });
    let jobs = sparse(attributed(Entry { mode: 0o444, ..file("tree/large", b"") }))
        .into_iter()
        .chain([
            pack(0, vec![(1, small, b"x"), (2, attributed(folder("tree")), b"")]),
            Job::Finish { entries: 3 },
        ])
        .collect();
    let (told, ended) = scene.run(1, jobs);
    assert!(matches!(ended, Ended::Complete { files: 2, .. }), "{ended:?}");
    assert_eq!(counts(&lost(&told)), []);
    for name in ["tree", "tree/small", "tree/large"] {
        let file = fs::File::open(scene.path().join(name)).unwrap();
        let found = attributes::read(&file, true);
        assert_eq!(found.attributes, attributed(file_entry()).attributes, "{name}");
    }
}

fn file_entry() -> Entry {
    file("any", b"")
}

#[test]
fn names_that_were_taken_are_told_with_those_that_were_given() {
    let scene = Scene::new();
    for name in ["a", "tree"] {
        fs::write(scene.path().join(name), "mine").unwrap();
    }
    let entries = vec![
        (0, file("a", b"x"), &b"x"[..]),
        (1, file("tree/b", b"y"), b"y"),
        (2, folder("tree"), b""),
    ];
    let (told, _) = scene.run(1, vec![pack(0, entries), Job::Finish { entries: 3 }]);
    let losses = lost(&told);
    assert_eq!(counts(&losses), [(LossKind::Name, 2, "a: a (2)".to_owned())]);
    assert_eq!(losses.views()[0].examples[1].detail, "tree (2)");
}

#[test]
fn what_was_lost_before_a_thread_was_left_or_killed_is_known_to_the_next() {
    let scene = Scene::new();
    fs::write(scene.path().join("a"), "mine").unwrap();
    let (told, ended) = scene.run(1, vec![pack(0, vec![(0, file("a", b"x"), b"x")]), Job::Leave]);
    assert_eq!(ended, Ended::Left);
    let expected = [(LossKind::Name, 1, "a: a (2)".to_owned())];
    assert_eq!(counts(&lost(&told)), expected);
    // What the file system took is offered again and not sent again, so nobody would notice it again.
    let (told, ended) = scene.run(1, vec![Job::Finish { entries: 0 }]);
    assert_eq!(ended, Ended::Complete { files: 0, bytes: 0 });
    assert_eq!(counts(&lost(&told)), expected);
    // Another transfer has lost nothing.
    let (told, _) = scene.run(2, vec![Job::Finish { entries: 0 }]);
    assert_eq!(counts(&lost(&told)), []);
}

#[test]
fn a_hard_link_that_became_a_copy_is_told() {
    let mut losses = Losses::default();
    let scene = Scene::new();
    let dest = Destination::create(scene.path(), [1; 16]).unwrap();
    let mut keeper = scene.keeper(1, &dest);
    let shared = Entry { is_shared: true, ..attributed(file("x", b"x")) };
    dest.write_small(0, b"x", Some(&shared)).unwrap();
    let batch = [Whole { index: 0, part: 0.into(), entry: shared.clone(), hash: [0; 32] }];
    keeper.commit(&dest, &batch, &[]).remove(0).unwrap();
    let link = entry("y", EntryKind::HardLink { target: shared.path.clone() });
    let whole = Whole { index: 1, part: 1.into(), entry: link, hash: [0; 32] };
    keeper.commit_copy(&dest, &whole, &shared.path).unwrap();
    keeper.untold().into_iter().for_each(|untold| losses = untold);
    assert_eq!(counts(&losses), [(LossKind::HardLink, 1, "y: x".to_owned())]);
    let copy = fs::File::open(scene.path().join("y")).unwrap();
    assert_eq!(attributes::read(&copy, true).attributes, shared.attributes);
}
