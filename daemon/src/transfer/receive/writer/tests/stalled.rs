//! Disks on which nothing can be stored for the moment: nothing is acknowledged that is not there, what
//! is there stays, and another thread goes on from it.

use rustix::mount::MountFlags;

use super::*;
use crate::transfer::progress::Cause;
use crate::transfer::testing::Tmpfs;

/// A small disk and a journal elsewhere, for several runs of one transfer.
struct Scene {
    disk: Tmpfs,
    journals: Journals,
}

/// One of these runs, under way.
struct Running {
    jobs: mpsc::Sender<Job>,
    told: mpsc::Receiver<Written>,
    writing: std::thread::JoinHandle<Ended>,
}

impl Scene {
    fn new(options: &str) -> Option<Self> {
        let disk = Tmpfs::mount(MountFlags::empty(), options)?;
        Some(Self { disk, journals: Journals::new() })
    }

    fn path(&self) -> &Path {
        self.disk.0.path()
    }

    fn start(&self) -> Running {
        let dest = Destination::create(self.path(), [1; 16]).unwrap();
        let keeper = self.journals.keeper(&dest);
        let (jobs, queue) = mpsc::channel(100);
        let (tell, told) = mpsc::channel(10_000);
        let write = move || write(dest, keeper, INSTANCE, Terms::default(), queue, &tell).0;
        Running { jobs, told, writing: std::thread::spawn(write) }
    }
}

impl Running {
    /// Gives it these jobs; what comes after its end is nobody's.
    fn give(&self, jobs: impl IntoIterator<Item = Job>) {
        jobs.into_iter().for_each(|job| drop(self.jobs.try_send(job)));
    }

    /// Waits until `wanted` finds what it looks for.
    fn until<T>(&mut self, wanted: impl Fn(&Written) -> Option<T>) -> T {
        loop {
            let written = self.told.blocking_recv().expect("it goes on");
            if let Some(found) = wanted(&written) {
                return found;
            }
        }
    }

    fn verdicts(&mut self) -> Vec<Verdict> {
        self.until(|written| match written {
            Written::Verdicts { verdicts, .. } => Some(verdicts.clone()),
            _ => None,
        })
    }

    /// Waits for the end: whether anything was acknowledged before, and how it ended.
    fn end(mut self) -> (bool, Ended) {
        let mut acknowledged = false;
        while let Some(written) = self.told.blocking_recv() {
            acknowledged |= matches!(written, Written::Stored { .. });
        }
        (acknowledged, self.writing.join().unwrap())
    }
}

#[track_caller]
fn assert_stalled(ended: &Ended, reason: Reason) {
    match ended {
        Ended::Stalled(fault) => assert_eq!(fault.cause, Cause::Reason(reason)),
        other => panic!("{other:?}"),
    }
}

fn offer(entries: &[Entry]) -> Job {
    Job::Offer { number: 0, entries: entries.to_vec(), hashes: Vec::new() }
}

#[test]
fn a_file_that_fills_the_disk_goes_on_from_what_is_there() {
    let Some(scene) = Scene::new("size=4m") else { return };
    let (small, large) = (file("small", b"x"), Large::new(6 * MIB));
    let mut first = scene.start();
    first.give([pack(0, vec![(1, small.clone(), b"x")])]);
    first.until(|written| matches!(written, Written::Stored { .. }).then_some(()));
    first.give([large.start(0)].into_iter().chain((0..6).map(|n| large.block(0, n))));
    let (_, ended) = first.end();
    assert_stalled(&ended, Reason::NoSpace);
    assert!(scene.path().join("small").exists() && !scene.path().join("large").exists());

    let dest = Destination::create(scene.path(), [1; 16]).unwrap();
    assert!(matches!(dest.check_room(2 << 20), Err(DestError::NoSpace)));
    scene.disk.remount(MountFlags::empty(), "size=16m");
    dest.check_room(2 << 20).unwrap();
    drop(dest);

    let mut second = scene.start();
    second.give([offer(&[small, large.entry()])]);
    assert_eq!(second.verdicts(), [Verdict::Delivered, Verdict::Compare]);
    second.give([large.start(0), Job::BlocksQuery { file: 0, revision: 0, first: 0, count: 9 }]);
    let found = second.until(|written| match written {
        Written::Blocks { cvs, .. } => Some(cvs.clone()),
        _ => None,
    });
    let missing: Vec<_> =
        (0..6).filter(|n| found[*n as usize] != large.cvs()[*n as usize]).collect();
    assert!((2..6).contains(&missing.len()), "{missing:?}");
    second.give(missing.into_iter().map(|n| large.block(0, n)).chain([large.end(0), FINISH]));
    assert_eq!(second.end().1, Ended::Complete { files: 2, bytes: 1 + large.size() });
    assert_eq!(fs::read(scene.path().join("large")).unwrap(), large.content);
    assert_eq!(names(scene.path()), ["large", "small"]);
}

#[test]
fn what_finds_no_room_for_its_name_is_not_acknowledged_and_comes_again() {
    // The disk itself, our folder, and three files: none is left for the folder that two need.
    let Some(scene) = Scene::new("nr_inodes=5") else { return };
    let entries = [file("tree/a", b"1"), file("tree/b", b"2"), file("c", b"3")];
    let contents: [&[u8]; 3] = [b"1", b"2", b"3"];
    let sent = || (0..).zip(&entries).zip(contents).map(|((n, it), bytes)| (n, it.clone(), bytes));
    let first = scene.start();
    first.give([pack(0, sent().collect())]);
    let (acknowledged, ended) = first.end();
    assert_stalled(&ended, Reason::NoSpace);
    assert!(!acknowledged);

    scene.disk.remount(MountFlags::empty(), "nr_inodes=100");
    let mut second = scene.start();
    second.give([offer(&entries)]);
    let verdicts = second.verdicts();
    let wanted = sent().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Send);
    let wanted: Vec<_> = (0..).zip(wanted).map(|(n, ((_, it, bytes), _))| (n, it, bytes)).collect();
    let count = wanted.len() as u64;
    assert!(count >= 2, "{verdicts:?}");
    second.give([pack(0, wanted), Job::Finish { entries: count }]);
    assert!(matches!(second.end().1, Ended::Complete { files: 3, bytes: 3 }));
    assert_eq!(names(scene.path()), ["c", "tree"]);
    assert_eq!(names(&scene.path().join("tree")), ["a", "b"]);
}

#[test]
fn a_disk_that_becomes_read_only_is_waited_for() {
    let Some(scene) = Scene::new("size=4m") else { return };
    let mut first = scene.start();
    first.give([pack(0, vec![(0, file("a", b"1"), b"1")])]);
    first.until(|written| matches!(written, Written::Stored { .. }).then_some(()));
    scene.disk.remount(MountFlags::RDONLY, "");
    first.give([pack(1, vec![(1, file("b", b"2"), b"2")])]);
    let (acknowledged, ended) = first.end();
    assert_stalled(&ended, Reason::PermissionDenied);
    assert!(!acknowledged);
    scene.disk.remount(MountFlags::empty(), "");
    let second = scene.start();
    second.give([pack(0, vec![(0, file("b", b"2"), b"2")]), FINISH]);
    assert!(matches!(second.end().1, Ended::Complete { .. }));
    assert_eq!(names(scene.path()), ["a", "b"]);
}

#[test]
fn links_that_find_no_room_come_again() {
    let Some(scene) = Scene::new("nr_inodes=5") else { return };
    let links = ["a", "b", "c", "d", "e", "f"].map(|name| symlink(name, "target"));
    let sent = || (0..).zip(&links).map(|(n, link)| (n, link.clone(), &b""[..])).collect();
    let all = || [pack(0, sent()), Job::Finish { entries: 6 }];
    let first = scene.start();
    first.give(all());
    let (_, ended) = first.end();
    assert_stalled(&ended, Reason::NoSpace);
    scene.disk.remount(MountFlags::empty(), "nr_inodes=100");
    let mut second = scene.start();
    second.give([offer(&links)]);
    let verdicts = second.verdicts();
    let wanted = links.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Send);
    let wanted: Vec<_> =
        (0..).zip(wanted).map(|(n, (link, _))| (n, link.clone(), &b""[..])).collect();
    let entries = wanted.len() as u64;
    assert!(entries >= 1);
    second.give([pack(0, wanted), Job::Finish { entries }]);
    assert!(matches!(second.end().1, Ended::Complete { .. }));
    assert_eq!(names(scene.path()), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn a_quota_that_is_used_up_is_waited_for_like_a_full_disk() {
    let quota = || DestError::from(std::io::Error::from_raw_os_error(122));
    assert!(matches!(quota(), DestError::QuotaExceeded));
    assert_stalled(&ended_by(&quota()), Reason::NoSpace);
    assert!(matches!(super::super::Stop::from(quota()), super::super::Stop::Stalled(_)));
    assert!(matches!(ended_by(&DestError::Vanished), Ended::Failed(_)));
}
