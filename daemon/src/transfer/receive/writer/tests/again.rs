//! What another run finds of the one before: after a stop or a crash, and when things are sent again.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use super::*;
use crate::store::Delivery;

/// One destination and one journal, for several runs.
pub(super) struct Scene {
    dir: Dir,
    journals: Journals,
}

/// Where it receives.
enum Dir {
    Own(tempfile::TempDir),
    Given(std::path::PathBuf),
}

impl Scene {
    pub(super) fn new() -> Self {
        Self { dir: Dir::Own(tempfile::tempdir().unwrap()), journals: Journals::new() }
    }

    /// One that receives in a folder that is there.
    pub(super) fn in_dir(dir: std::path::PathBuf) -> Self {
        Self { dir: Dir::Given(dir), journals: Journals::new() }
    }

    pub(super) fn keeper(&self, id: u8, dest: &Destination) -> Keeper {
        self.journals.keeper_of(id, dest)
    }

    pub(super) fn path(&self) -> &Path {
        match &self.dir {
            Dir::Own(dir) => dir.path(),
            Dir::Given(dir) => dir,
        }
    }

    /// Runs the transfer `id`: what was told, and how it ended.
    pub(super) fn run(&self, id: u8, jobs: Vec<Job>) -> (Vec<Written>, Ended) {
        self.run_with(id, Terms::default(), jobs)
    }

    pub(super) fn run_with(&self, id: u8, terms: Terms, jobs: Vec<Job>) -> (Vec<Written>, Ended) {
        let (send_job, job_queue) = mpsc::channel(jobs.len().max(1));
        jobs.into_iter().for_each(|job| send_job.try_send(job).unwrap());
        drop(send_job);
        let (tell, mut told) = mpsc::channel(10_000);
        let dest = Destination::create(self.path(), [id; 16]).unwrap();
        let keeper = self.journals.keeper_of(id, &dest);
        let (ended, _) = write(dest, keeper, INSTANCE, terms, job_queue, &tell);
        (std::iter::from_fn(|| told.try_recv().ok()).collect(), ended)
    }

    /// What the transfer `id` hears when it offers these, and then leaves.
    fn offer(&self, id: u8, entries: &[Entry]) -> Vec<Verdict> {
        let (told, ended) = self.run(id, vec![offer(entries), Job::Leave]);
        assert_eq!(ended, Ended::Left);
        verdicts(&told)
    }

    /// The transfer `id` delivers a file that holds `x`, and is left.
    pub(super) fn deliver(&self, id: u8, name: &str) -> Entry {
        let entry = file(name, b"x");
        let (_, ended) = self.run(id, vec![pack(0, vec![(0, entry.clone(), b"x")]), Job::Leave]);
        assert_eq!(ended, Ended::Left);
        entry
    }

    /// The one partial file.
    fn partial(&self) -> std::path::PathBuf {
        let hidden = names(self.path()).into_iter().find(|name| name.starts_with('.')).unwrap();
        let hidden = self.path().join(hidden);
        let parts = names(&hidden);
        assert_eq!(parts.len(), 1, "{parts:?}");
        hidden.join(&parts[0])
    }
}

fn offer(entries: &[Entry]) -> Job {
    Job::Offer { number: 0, entries: entries.to_vec(), hashes: Vec::new() }
}

pub(super) fn verdicts(told: &[Written]) -> Vec<Verdict> {
    let of = |written: &Written| match written {
        Written::Verdicts { verdicts, .. } => Some(verdicts.clone()),
        _ => None,
    };
    told.iter().find_map(of).unwrap()
}

fn blocks(told: &[Written]) -> Vec<Digest> {
    let of = |written: &Written| match written {
        Written::Blocks { cvs, .. } => Some(cvs.clone()),
        _ => None,
    };
    told.iter().find_map(of).unwrap()
}

fn stored(told: &[Written]) -> u64 {
    let bytes = |written: &Written| match written {
        Written::Stored { bytes, .. } => *bytes,
        _ => 0,
    };
    told.iter().map(bytes).sum()
}

const QUERY: Job = Job::BlocksQuery { file: 0, revision: 0, first: 0, count: 9 };

#[test]
fn a_file_goes_on_from_the_blocks_that_are_on_the_disk() {
    let (scene, large) = (Scene::new(), Large::new(3 * MIB + 5));
    scene.run(1, vec![large.start(0), large.block(0, 0), large.block(0, 2), Job::Leave]);
    let other = Entry { path: crate::transfer::testing::path("other"), ..large.entry() };
    assert_eq!(scene.offer(1, &[large.entry(), other]), [Verdict::Compare, Verdict::Send]);
    let rest = vec![large.start(0), QUERY, large.block(0, 1), large.block(0, 3), large.end(0)];
    let (told, ended) = scene.run(1, rest.into_iter().chain([FINISH]).collect());
    let (found, sent) = (blocks(&told), large.cvs());
    assert_eq!((found.len(), found[0], found[2]), (4, sent[0], sent[2]));
    assert!(found[1] != sent[1] && found[3] != sent[3]);
    assert_eq!(ended, Ended::Complete { files: 1, bytes: large.size() });
    assert_eq!(fs::read(scene.path().join("large")).unwrap(), large.content);
    assert_eq!(names(scene.path()), ["large"]);
    // Holes were told as blocks of zeros, and so were known.
    assert_eq!(stored(&told), 0);
}

#[test]
fn a_block_that_was_damaged_on_the_disk_is_told_as_what_it_is_and_replaced() {
    let (scene, large) = (Scene::new(), Large::new(2 * MIB));
    scene.run(1, vec![large.start(0), large.block(0, 0), large.block(0, 1), Job::Leave]);
    let partial = fs::File::options().write(true).open(scene.partial()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&partial, b"damage", 77).unwrap();
    let (told, ended) =
        scene.run(1, vec![large.start(0), QUERY, large.block(0, 0), large.end(0), FINISH]);
    let (found, sent) = (blocks(&told), large.cvs());
    assert!(found[0] != sent[0] && found[1] == sent[1]);
    assert_eq!(ended, Ended::Complete { files: 1, bytes: large.size() });
    assert_eq!(fs::read(scene.path().join("large")).unwrap(), large.content);
}

#[test]
fn a_damaged_block_that_is_not_sent_again_never_gets_a_name() {
    let (scene, large) = (Scene::new(), Large::new(2 * MIB));
    scene.run(1, vec![large.start(0), large.block(0, 0), large.block(0, 1), Job::Leave]);
    let partial = fs::File::options().write(true).open(scene.partial()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&partial, b"damage", 77).unwrap();
    let (told, _) = scene.run(1, vec![large.start(0), QUERY, large.end(0), FINISH]);
    let corrupt =
        |written: &Written| matches!(written, Written::FileFailed { reason: Reason::Corrupt, .. });
    assert!(told.iter().any(corrupt), "{told:?}");
    assert!(names(scene.path()).is_empty());
}

#[test]
fn a_question_for_blocks_of_a_file_that_is_not_open_is_answered_with_none() {
    let scene = Scene::new();
    let (told, _) = scene.run(1, vec![QUERY, Job::Leave]);
    assert!(blocks(&told).is_empty());
}

#[test]
fn what_this_transfer_delivered_is_not_wanted_again_whatever_became_of_it() {
    let scene = Scene::new();
    let entry = scene.deliver(1, "f");
    assert_eq!(scene.offer(1, std::slice::from_ref(&entry)), [Verdict::Delivered]);
    fs::remove_file(scene.path().join("f")).unwrap();
    let same = std::slice::from_ref(&entry);
    let twice = vec![offer(same), offer(same)];
    let (_, ended) = scene.run(1, twice.into_iter().chain([Job::Finish { entries: 0 }]).collect());
    assert_eq!(ended, Ended::Complete { files: 1, bytes: 1 }, "counted once");
    assert!(names(scene.path()).is_empty());
    let changed = Entry { mtime: crate::transfer::entry::Timestamp::default(), ..entry };
    assert_eq!(scene.offer(1, &[changed, file("f", b"longer")]), [Verdict::Send; 2]);
}

#[test]
fn what_an_earlier_transfer_delivered_is_there_as_long_as_nobody_alters_it() {
    let scene = Scene::new();
    let f = scene.deliver(1, "d/f");
    let ended = SystemTime::now();
    let verdict = |entry: &Entry| scene.offer(2, std::slice::from_ref(entry));
    assert_eq!(verdict(&f), [Verdict::There]);
    let changed = Entry { mtime: crate::transfer::entry::Timestamp::default(), ..f.clone() };
    assert_eq!(verdict(&changed), [Verdict::Send], "the source has changed");
    assert_eq!(verdict(&file("d/g", b"x")), [Verdict::Send], "unknown");
    let at = scene.path().join("d/f");
    let modified = fs::metadata(&at).unwrap().modified().unwrap();
    let file = fs::File::options().write(true).open(&at).unwrap();
    std::io::Write::write_all(&mut &file, b"y").unwrap();
    file.set_modified(modified).unwrap();
    // What is altered in the very tick of the clock in which it was delivered passes as delivered.
    while changed_at(&at) <= ended {
        file.set_modified(modified).unwrap();
    }
    drop(file);
    assert_eq!(verdict(&f), [Verdict::Send], "altered, though size and time are the same");
    fs::remove_file(&at).unwrap();
    assert_eq!(verdict(&f), [Verdict::Send], "removed");
}

/// When anything about a file changed last.
fn changed_at(at: &Path) -> SystemTime {
    let found = fs::metadata(at).unwrap();
    let since = Duration::new(found.ctime().cast_unsigned(), found.ctime_nsec() as u32);
    SystemTime::UNIX_EPOCH + since
}

#[test]
fn links_are_delivered_once_too() {
    let scene = Scene::new();
    let link = symlink("link", "target");
    let jobs = vec![pack(0, vec![(0, link.clone(), b"")]), FINISH];
    let (_, ended) = scene.run(1, jobs);
    assert!(matches!(ended, Ended::Complete { .. }));
    let elsewhere = symlink("link", "elsewhere");
    assert_eq!(scene.offer(2, &[link, elsewhere]), [Verdict::There, Verdict::Send]);
}

#[test]
fn the_top_folder_keeps_its_name_in_another_run() {
    let scene = Scene::new();
    fs::create_dir(scene.path().join("d")).unwrap();
    scene.deliver(1, "d/one");
    scene.deliver(1, "d/two");
    scene.deliver(2, "d/three");
    assert_eq!(names(&scene.path().join("d (2)")), ["one", "three", "two"]);
    assert!(names(&scene.path().join("d")).is_empty());
    // Whoever takes its place gets nothing of it.
    fs::rename(scene.path().join("d (2)"), scene.path().join("mine")).unwrap();
    fs::create_dir(scene.path().join("d (2)")).unwrap();
    scene.deliver(1, "d/four");
    assert_eq!(names(&scene.path().join("d (3)")), ["four"]);
    assert!(names(&scene.path().join("d (2)")).is_empty());
}

/// A commit is cut short by a crash between the journal and the renames.
#[test]
fn after_a_crash_the_inode_says_what_has_its_name() {
    let scene = Scene::new();
    let dest = Destination::create(scene.path(), [1; 16]).unwrap();
    let delivery = |name: &str, inode| Delivery {
        path: name.into(),
        final_path: name.into(),
        is_link: false,
        size: 1,
        mtime: (file(name, b"x").mtime.secs(), file(name, b"x").mtime.nanos()),
        hash: *blake3::hash(b"x").as_bytes(),
        id: Some((fs::metadata(scene.path()).unwrap().dev(), inode)),
    };
    for name in ["renamed", "somebodys"] {
        fs::write(scene.path().join(name), "x").unwrap();
    }
    let inode = |name: &str| fs::metadata(scene.path().join(name)).unwrap().ino();
    let intents = vec![
        delivery("renamed", inode("renamed")),
        delivery("somebodys", inode("somebodys") + 1_000_000),
        delivery("not", 1),
    ];
    scene.journals.keeper_of(1, &dest).journal.intend(None, intents, None, None, 9).unwrap();
    drop(dest);
    let entries = ["renamed", "somebodys", "not"].map(|name| file(name, b"x"));
    let expected = [Verdict::Delivered, Verdict::Send, Verdict::Send];
    assert_eq!(scene.offer(1, &entries), expected);
}

#[test]
fn two_files_of_one_name_do_not_write_to_each_others_content() {
    let large = Large::new(2 * MIB);
    let second = Job::Start { file: 1, revision: 0, entry: large.entry() };
    assert!(protocol_broken(&run(vec![large.start(0), large.block(0, 0), second])));
    // One after the other, each gets a name of its own.
    let Job::End { revision, root, .. } = large.end(0) else { unreachable!() };
    let block = |n: u32| {
        let bytes = large.content.chunks(MIB).nth(n as usize).unwrap();
        block_job(1, 0, n, large.cvs()[n as usize], bytes)
    };
    let ran = run(vec![
        large.start(0),
        large.block(0, 0),
        large.block(0, 1),
        large.end(0),
        Job::Start { file: 1, revision: 0, entry: large.entry() },
        block(0),
        block(1),
        Job::End { file: 1, revision, root },
        Job::Finish { entries: 2 },
    ]);
    assert_eq!(ran.completed(), Some((2, 2 * large.size())));
    assert_eq!(names(ran.path()), ["large", "large (2)"]);
}

#[test]
fn further_names_of_a_file_go_on_in_another_run_and_are_given_once() {
    let scene = Scene::new();
    let shared = Entry { is_shared: true, ..file("x", b"x") };
    let target = EntryKind::HardLink { target: shared.path.clone() };
    let (one, two) = (entry("one", target.clone()), entry("two", target));
    let jobs = vec![pack(0, vec![(0, shared.clone(), b"x"), (1, one.clone(), b"")])];
    let (_, ended) = scene.run(1, jobs.into_iter().chain([Job::Finish { entries: 2 }]).collect());
    assert_eq!(ended, Ended::Complete { files: 1, bytes: 1 });
    let entries = [shared, one, two.clone()];
    let expected = [Verdict::There, Verdict::There, Verdict::Send];
    let jobs = vec![offer(&entries), pack(0, vec![(0, two, b"")]), FINISH];
    let (told, ended) = scene.run(2, jobs);
    assert_eq!(verdicts(&told), expected);
    assert!(matches!(ended, Ended::Complete { .. }), "{told:?}");
    let inode = |name: &str| fs::metadata(scene.path().join(name)).unwrap().ino();
    assert_eq!([inode("one"), inode("two")], [inode("x"); 2]);
    assert_eq!(names(scene.path()), ["one", "two", "x"]);
}
