//! The second crash drill: the writing thread's process dies between any two system calls of its work
//! (see [`crate::crash`]), and another one goes on. Nothing that was acknowledged is lost, nothing is
//! delivered twice, nothing wrong ever has a real name.
//!
//! The test runs itself as another process, which dies in the first place; then in the second; and so
//! on, until one comes to its end. So no place is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::transfer::proto::{MAX_BLOCKS, NO_BLOCK};
use crate::transfer::testing::snapshot;

const TEST: &str = "nothing_is_lost_or_delivered_twice_wherever_a_receiver_dies";
/// Tells the other process where it works, and after how many places it dies.
const SCENE: &str = "FILEFLEET_TEST_CRASH_SCENE";
const PLACES: &str = "FILEFLEET_TEST_CRASH_PLACES";
/// The one file that is sent in blocks: two, of which one is zeros, and a short third.
const LARGE: &str = "top/large";
/// What the receiver has itself under a name that comes.
const MINE: &str = "loose";

/// A destination, the journal, and what was acknowledged.
struct Scene(PathBuf);

impl Scene {
    fn new(dir: &Path) -> Self {
        let scene = Self(dir.to_owned());
        fs::create_dir(scene.dest()).unwrap();
        fs::write(scene.dest().join(MINE), "mine").unwrap();
        scene
    }

    fn dest(&self) -> PathBuf {
        self.0.join("dest")
    }

    fn acknowledged(&self) -> PathBuf {
        self.0.join("acknowledged")
    }

    /// The files that were acknowledged so far, by name.
    fn names_acknowledged(&self) -> BTreeSet<String> {
        let said = fs::read_to_string(self.acknowledged()).unwrap_or_default();
        said.lines().map(str::to_owned).collect()
    }

    /// Receives everything, in a process that dies after so many places; whether it died.
    fn receive_and_die(&self, places: u64) -> bool {
        let name = format!("{}::{TEST}", module_path!().split_once("::").unwrap().1);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &name]).env(SCENE, &self.0).env(PLACES, places.to_string());
        let output = command.output().unwrap();
        let died = output.status.signal() == Some(9);
        assert!(died || output.status.success(), "{output:?}");
        died
    }

    /// Receives what is not there yet, as a sender sends it that has lost the session.
    fn receive(&self) -> Ended {
        let (send_job, job_queue) = mpsc::channel(1_000);
        let (tell, told) = mpsc::channel(10_000);
        let place = self.0.clone();
        let writing = std::thread::spawn(move || {
            let scene = Self(place);
            let dest = Destination::create(&scene.dest(), [1; 16]).unwrap();
            let store = crate::store::testing::open(&scene.0).0;
            let sender = IdentityKey::from_bytes([9; 32]);
            let journal = store.journal(&sender, Path::new("/"), TransferId([1; 16])).unwrap();
            let keeper = Keeper::new(journal, &dest).unwrap();
            write(dest, keeper, INSTANCE, Terms::default(), job_queue, &tell).0
        });
        let acknowledged = fs::File::options().create(true).append(true).open(self.acknowledged());
        let sender = Sender { jobs: send_job, told, acknowledged: acknowledged.unwrap() };
        sender.send_all();
        writing.join().unwrap()
    }

    /// What has its real name: all of it right, and everything among it that was acknowledged.
    fn check(&self, expected: &BTreeMap<PathBuf, String>) {
        let found = snapshot(&self.dest());
        let is_file = |what: &String| what.starts_with("file");
        let real = found.iter().filter(|(at, _)| !is_partial(at) && *at != Path::new(MINE));
        for (at, what) in real.filter(|(_, what)| is_file(what)) {
            assert_eq!(Some(what), expected.get(at), "{at:?}");
        }
        assert_eq!(fs::read_to_string(self.dest().join(MINE)).unwrap(), "mine");
        for name in self.names_acknowledged() {
            // Beside the one that was there.
            let name = if name == MINE { format!("{MINE} (2)") } else { name };
            assert!(found.contains_key(Path::new(&name)), "{name} was acknowledged and is lost");
        }
    }

    /// The inodes of what has its real name.
    fn inodes(&self) -> BTreeMap<PathBuf, u64> {
        let found = snapshot(&self.dest()).into_keys().filter(|at| !is_partial(at));
        let inode = |at: &PathBuf| fs::symlink_metadata(self.dest().join(at)).unwrap().ino();
        found.map(|at| (at.clone(), inode(&at))).collect()
    }
}

fn is_partial(at: &Path) -> bool {
    at.to_string_lossy().starts_with('.')
}

/// The other side.
struct Sender {
    jobs: mpsc::Sender<Job>,
    told: mpsc::Receiver<Written>,
    acknowledged: fs::File,
}

impl Sender {
    fn send_all(mut self) {
        let (large, entries) = (large(), entries());
        let files: Vec<_> = entries.iter().map(|(entry, _)| entry.clone()).collect();
        self.job(Job::Offer { number: 0, entries: files, hashes: Vec::new() });
        let verdicts = self.until(|written| match written {
            Written::Verdicts { verdicts, .. } => Some(verdicts.clone()),
            _ => None,
        });
        let mut wanted = Vec::new();
        let mut sends_large = false;
        for ((entry, content), verdict) in entries.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Delivered | Verdict::There => {}
                _ if entry.path == large.entry.path => sends_large = true,
                Verdict::Send | Verdict::Compare => wanted.push((entry, content)),
            }
        }
        wanted.extend(["top", "top/empty", "top/sub"].map(|name| (folder(name), "")));
        // One pack for each kind of thing that can happen to it, and one for all the rest.
        let (first, rest) = wanted.split_at(wanted.len().min(2));
        let mut index = 0;
        let mut packs = Vec::new();
        for (number, entries) in (0..).zip([first, rest]) {
            let entries = entries.iter().map(|(entry, content)| {
                index += 1;
                (index - 1, entry.clone(), content.as_bytes())
            });
            let entries: Vec<_> = entries.collect();
            let names = entries.iter().map(|(_, entry, _)| entry).filter(|entry| is_packed(entry));
            packs.push((number, names.map(|entry| entry.path.to_string()).collect::<Vec<_>>()));
            self.job(pack(number, entries));
        }
        if sends_large {
            self.send_large(&large, index);
            index += 1;
        }
        self.job(Job::Finish { entries: index });
        self.note_acknowledged(&packs);
    }

    fn send_large(&mut self, large: &LargeFile, file: u64) {
        self.job(Job::Start { file, revision: 0, entry: large.entry.clone() });
        self.job(Job::BlocksQuery { file, revision: 0, first: 0, count: MAX_BLOCKS });
        let there = self.until(|written| match written {
            Written::Blocks { cvs, .. } => Some(cvs.clone()),
            _ => None,
        });
        for (number, (cv, bytes)) in (0..).zip(large.blocks()) {
            if there.get(number as usize).unwrap_or(&NO_BLOCK) != &cv {
                self.job(block_job(file, 0, number, cv, bytes));
            }
        }
        let root = *blake3::hash(&large.content).as_bytes();
        self.job(Job::End { file, revision: 0, root });
    }

    fn job(&self, job: Job) {
        self.jobs.try_send(job).unwrap();
    }

    /// Waits for the answer to a question; nothing else is told before it that matters.
    fn until<T>(&mut self, wanted: impl Fn(&Written) -> Option<T>) -> T {
        loop {
            let written = self.told.blocking_recv().expect("the writing thread goes on");
            if let Some(found) = wanted(&written) {
                return found;
            }
        }
    }

    /// Writes down what is acknowledged, until the thread has ended.
    fn note_acknowledged(mut self, packs: &[(u64, Vec<String>)]) {
        while let Some(written) = self.told.blocking_recv() {
            match written {
                Written::Stored { ack: Ack::Pack { number }, .. } => {
                    let (_, names) = &packs[usize::try_from(number).unwrap()];
                    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
                    self.acknowledged.write_all(lines.as_bytes()).unwrap();
                }
                Written::FileFailed { path, text, .. } => panic!("{path}: {text}"),
                _ => {}
            }
        }
    }
}

/// Whether an acknowledged pack says that this has its name.
fn is_packed(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::File { .. })
}

struct LargeFile {
    entry: Entry,
    content: Vec<u8>,
}

impl LargeFile {
    fn blocks(&self) -> impl Iterator<Item = (Digest, &[u8])> {
        let size = self.content.len() as u64;
        let block = move |(n, bytes)| (hash::block_cv(size, n, bytes).unwrap(), bytes);
        (0..).zip(self.content.chunks(MIB)).map(block)
    }
}

fn large() -> LargeFile {
    let mut content = vec![7; 2 * MIB + 5];
    content[MIB..2 * MIB].fill(0);
    LargeFile { entry: entry(LARGE, EntryKind::File { size: content.len() as u64 }), content }
}

/// Everything that is offered, with its content if it comes in a pack.
fn entries() -> Vec<(Entry, &'static str)> {
    let shared = Entry { is_shared: true, ..file("top/shared", b"shared") };
    let target = EntryKind::HardLink { target: shared.path.clone() };
    vec![
        (file(MINE, b"theirs"), "theirs"),
        (file("top/a", b"1"), "1"),
        (Entry { mode: 0o400, ..file("top/sub/b", b"22") }, "22"),
        (shared, "shared"),
        (file("top/nothing", b""), ""),
        (entry("top/further name", target), ""),
        (symlink("top/link", "a"), ""),
        (large().entry, ""),
    ]
}

#[test]
fn nothing_is_lost_or_delivered_twice_wherever_a_receiver_dies() {
    if let (Some(dir), Ok(places)) = (std::env::var_os(SCENE), std::env::var(PLACES)) {
        crate::crash::testing::die_after(places.parse().unwrap());
        let ended = Scene(dir.into()).receive();
        return assert!(matches!(ended, Ended::Complete { .. }), "{ended:?}");
    }
    let scratch = crate::transfer::testing::fast_dir();
    let scene = |name: String| {
        let dir = scratch.path().join(name);
        fs::create_dir(&dir).unwrap();
        Scene::new(&dir)
    };
    let undisturbed = scene("undisturbed".to_owned());
    assert!(matches!(undisturbed.receive(), Ended::Complete { .. }));
    let expected = snapshot(&undisturbed.dest());
    let secret = fs::metadata(undisturbed.dest().join("top/sub/b")).unwrap();
    assert_eq!(secret.permissions().mode() & 0o777, 0o400);
    let mut places = 0;
    loop {
        let scene = scene(format!("dies after {places}"));
        let died = scene.receive_and_die(places);
        scene.check(&expected);
        let there = scene.inodes();
        // The next one dies, too, somewhere.
        if died && scene.receive_and_die(places * 7 % 40) {
            scene.check(&expected);
        }
        if died {
            assert!(matches!(scene.receive(), Ended::Complete { .. }), "after {places}");
        }
        assert_eq!(without_mine(snapshot(&scene.dest())), without_mine(expected.clone()));
        let kept = scene.inodes();
        assert!(there.iter().all(|(at, inode)| kept.get(at) == Some(inode)), "after {places}");
        fs::remove_dir_all(&scene.0).unwrap();
        if !died {
            break;
        }
        places += 1;
    }
    // Far fewer would say that the places are not passed.
    assert!(places > 60, "{places}");
}

/// Without what was there before, whose time is its own.
fn without_mine(mut found: BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    found.remove(Path::new(MINE));
    found
}
