//! What replaces a file of an earlier transfer, and what does not.

use std::os::unix::fs::MetadataExt;

use super::again::{Scene, verdicts};
use super::*;

const ALLOWED: Terms = Terms { max_bytes: None, agreed: None, update: Update::Allowed };

/// Counts of files that replaced something, and that lie beside what they were to replace.
fn placed(told: &[Written]) -> (u64, u64) {
    let of = |written: &Written| match written {
        Written::Placed { replaced, beside } => Some((*replaced, *beside)),
        _ => None,
    };
    told.iter().rev().find_map(of).unwrap_or_default()
}

/// What lies in the destination, but for what the first transfer left to go on with.
fn shown(scene: &Scene) -> Vec<String> {
    names(scene.path()).into_iter().filter(|name| !name.starts_with('.')).collect()
}

/// Waits until the file system's clock, which goes in ticks, has passed this moment.
fn pass_a_tick(dir: &Path) {
    let (now, probe) = (std::time::SystemTime::now(), dir.join(".tick"));
    let ticked = || {
        fs::write(&probe, "x").unwrap();
        fs::metadata(&probe).unwrap().modified().unwrap() > now
    };
    while !ticked() {
        std::thread::yield_now();
    }
}

/// A transfer brings `name` with other content.
fn again(scene: &Scene, terms: Terms, name: &str) -> (u64, u64) {
    let jobs = vec![pack(0, vec![(0, file(name, b"other"), b"other")]), FINISH];
    let (told, ended) = scene.run_with(2, terms, jobs);
    assert_eq!(ended, Ended::Complete { files: 1, bytes: 5 });
    placed(&told)
}

#[test]
fn what_is_as_it_was_delivered_is_replaced_and_delivered_once() {
    let scene = Scene::new();
    scene.deliver(1, "d/a");
    let at = scene.path().join("d/a");
    let inode = fs::metadata(&at).unwrap().ino();
    assert_eq!(again(&scene, ALLOWED, "d/a"), (1, 0));
    assert_eq!(
        (fs::read(&at).unwrap(), names(&scene.path().join("d"))),
        (b"other".into(), vec!["a".into()])
    );
    assert_ne!(fs::metadata(&at).unwrap().ino(), inode);
    assert_eq!(shown(&scene), ["d"]);
    // A third transfer replaces what the second brought.
    let jobs = vec![pack(0, vec![(0, file("d/a", b"third"), b"third")]), FINISH];
    assert_eq!(placed(&scene.run_with(3, ALLOWED, jobs).0), (1, 0));
    assert_eq!(fs::read(&at).unwrap(), b"third");
}

#[test]
fn a_large_file_is_replaced_as_well() {
    let (scene, large) = (Scene::new(), Large::new(2 * MIB + 5));
    scene.deliver(1, "large");
    let jobs = vec![
        large.start(0),
        large.block(0, 0),
        large.block(0, 1),
        large.block(0, 2),
        large.end(0),
        FINISH,
    ];
    assert_eq!(placed(&scene.run_with(2, ALLOWED, jobs).0), (1, 0));
    assert_eq!(fs::read(scene.path().join("large")).unwrap(), large.content);
    assert_eq!(shown(&scene), ["large"]);
}

#[test]
fn without_leave_or_wish_nothing_is_replaced() {
    for (update, beside) in [(Update::Refused, 1), (Update::Unwanted, 0)] {
        let scene = Scene::new();
        scene.deliver(1, "a");
        assert_eq!(again(&scene, Terms { update, ..ALLOWED }, "a"), (0, beside));
        assert_eq!(fs::read(scene.path().join("a")).unwrap(), b"x");
        assert_eq!(shown(&scene), ["a", "a (2)"]);
    }
}

#[test]
fn what_the_user_has_altered_in_any_way_stays() {
    let alterations: [fn(&Path); 5] = [
        |at| fs::write(at, "mine").unwrap(),
        // Content of the same size, and its time as it was.
        |at| {
            let time = fs::metadata(at).unwrap().modified().unwrap();
            fs::write(at, "y").unwrap();
            let file = fs::File::options().write(true).open(at).unwrap();
            file.set_times(fs::FileTimes::new().set_modified(time)).unwrap();
        },
        |at| fs::hard_link(at, at.with_extension("mine")).unwrap(),
        |at| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode;
            fs::set_permissions(at, mode(0o640)).unwrap();
        },
        // Another file in its place, which looks the same.
        |at| {
            let time = fs::metadata(at).unwrap().modified().unwrap();
            fs::rename(at, at.with_extension("mine")).unwrap();
            fs::write(at, "x").unwrap();
            let file = fs::File::options().write(true).open(at).unwrap();
            file.set_times(fs::FileTimes::new().set_modified(time)).unwrap();
        },
    ];
    for (number, alter) in alterations.iter().enumerate() {
        let scene = Scene::new();
        scene.deliver(1, "a");
        let at = scene.path().join("a");
        pass_a_tick(scene.path());
        alter(&at);
        let before = (fs::read(&at).unwrap(), fs::metadata(&at).unwrap().ino());
        assert_eq!(again(&scene, ALLOWED, "a"), (0, 1), "{number}");
        assert_eq!((fs::read(&at).unwrap(), fs::metadata(&at).unwrap().ino()), before, "{number}");
        assert_eq!(fs::read(scene.path().join("a (2)")).unwrap(), b"other", "{number}");
    }
}

#[test]
fn what_nobody_sent_before_is_never_replaced_and_what_is_gone_comes_back() {
    let scene = Scene::new();
    fs::write(scene.path().join("a"), "mine").unwrap();
    assert_eq!(again(&scene, ALLOWED, "a"), (0, 0));
    assert_eq!(shown(&scene), ["a", "a (2)"]);
    let scene = Scene::new();
    scene.deliver(1, "a");
    fs::remove_file(scene.path().join("a")).unwrap();
    assert_eq!(again(&scene, ALLOWED, "a"), (0, 0));
    assert_eq!(fs::read(scene.path().join("a")).unwrap(), b"other");
}

#[test]
fn a_hash_is_compared_with_what_lies_there_whatever_its_time_is() {
    let scene = Scene::new();
    let entry = scene.deliver(1, "a");
    let touched = Entry { mtime: crate::transfer::entry::Timestamp::default(), ..entry.clone() };
    let offer = |entry: &Entry, hash: Digest| {
        let hashes = vec![hash];
        Job::Offer { number: 0, entries: vec![entry.clone()], hashes }
    };
    let verdict = |id, entry: &Entry, hash| {
        verdicts(&scene.run(id, vec![offer(entry, hash), Job::Leave]).0)[0]
    };
    let hash = *blake3::hash(b"x").as_bytes();
    assert_eq!(verdict(2, &touched, hash), Verdict::There);
    assert_eq!(verdict(2, &entry, [1; 32]), Verdict::Send);
    assert_eq!(verdict(1, &touched, hash), Verdict::Delivered);
    fs::write(scene.path().join("a"), "y").unwrap();
    assert_eq!(verdict(2, &entry, hash), Verdict::Send);
    assert_eq!(verdict(1, &entry, hash), Verdict::Delivered, "the user's, whatever became of it");
}

#[test]
fn an_old_folder_that_cannot_be_read_fails_what_lies_in_it_and_nothing_else() {
    use std::os::unix::fs::PermissionsExt;
    obey_permissions();
    let scene = Scene::new();
    scene.deliver(1, "locked/a");
    scene.deliver(2, "b");
    pass_a_tick(scene.path());
    let locked = scene.path().join("locked");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o0)).unwrap();
    let entries =
        vec![(0, file("locked/a", b"other"), &b"other"[..]), (1, file("b", b"other"), b"other")];
    let (told, ended) =
        scene.run_with(3, ALLOWED, vec![pack(0, entries), Job::Finish { entries: 2 }]);
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(ended, Ended::Complete { files: 1, bytes: 5 });
    assert_eq!(placed(&told), (1, 0));
    let failed = told.iter().any(|written| {
        matches!(written, Written::FileFailed { file: 0, reason: Reason::PermissionDenied, .. })
    });
    assert!(failed, "{told:?}");
    assert_eq!(fs::read(locked.join("a")).unwrap(), b"x");
}

#[test]
fn what_a_clock_that_was_set_back_makes_doubtful_stays_and_the_new_lies_beside_it() {
    let scene = Scene::new();
    scene.deliver(1, "a");
    // The commit seems to have ended long before its file was made.
    let dest = Destination::create(scene.path(), [1; 16]).unwrap();
    scene.keeper(1, &dest).journal.end(1, (1, 0)).unwrap();
    drop(dest);
    assert_eq!(again(&scene, ALLOWED, "a"), (0, 1));
    assert_eq!(fs::read(scene.path().join("a")).unwrap(), b"x");
    assert_eq!(fs::read(scene.path().join("a (2)")).unwrap(), b"other");
}
