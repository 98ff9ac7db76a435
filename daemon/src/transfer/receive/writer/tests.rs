//! The writing thread, driven by jobs, without a network.
#![allow(clippy::unwrap_used)]

mod again;
mod crash;
mod losses;
mod stalled;
mod update;

use std::fs;
use std::path::Path;

use filefleet_server::protos::certificate::IdentityKey;

use super::*;
use crate::policy::Update;
use crate::store::Store;
use crate::transfer::TransferId;
use crate::transfer::buffer::{Buffer, Pool};
use crate::transfer::hash::{self, BLOCK, Digest};
use crate::transfer::proto::{BlockHeader, Verdict};
use crate::transfer::receive::streams::Share;
use crate::transfer::testing::{entry, file, folder, names, obey_permissions, symlink};

const MIB: usize = 1 << 20;

/// What a thread told that was given these jobs, in a destination of its own.
struct Ran {
    dir: tempfile::TempDir,
    told: Vec<Written>,
    ended: Ended,
}

/// A database, gone when dropped.
struct Journals(Store, #[expect(dead_code, reason = "held, not read")] tempfile::TempDir);

impl Journals {
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self(crate::store::testing::open(dir.path()).0, dir)
    }

    /// The journal of a transfer to this destination.
    fn keeper_of(&self, id: u8, dest: &Destination) -> Keeper {
        let sender = IdentityKey::from_bytes([9; 32]);
        let journal = self.0.journal(&sender, Path::new("/"), TransferId([id; 16])).unwrap();
        Keeper::new(journal, dest).unwrap()
    }

    fn keeper(&self, dest: &Destination) -> Keeper {
        self.keeper_of(1, dest)
    }
}

/// The state that the jobs are for.
const INSTANCE: u64 = 3;

fn run(jobs: Vec<Job>) -> Ran {
    run_in(tempfile::tempdir().unwrap(), None, jobs)
}

fn run_in(dir: tempfile::TempDir, max_bytes: Option<u64>, jobs: Vec<Job>) -> Ran {
    run_on(dir, Terms { max_bytes, ..Terms::default() }, jobs)
}

fn run_on(dir: tempfile::TempDir, terms: Terms, jobs: Vec<Job>) -> Ran {
    let (send_job, job_queue) = mpsc::channel(jobs.len().max(1));
    jobs.into_iter().for_each(|job| send_job.try_send(job).unwrap());
    drop(send_job);
    let (tell, mut told) = mpsc::channel(10_000);
    let dest = Destination::create(dir.path(), [7; 16]).unwrap();
    let keeper = Journals::new().keeper(&dest);
    let (ended, _) = write(dest, keeper, INSTANCE, terms, job_queue, &tell);
    let told = std::iter::from_fn(|| told.try_recv().ok()).collect();
    Ran { dir, told, ended }
}

impl Ran {
    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn completed(&self) -> Option<(u64, u64)> {
        match self.ended {
            Ended::Complete { files, bytes } => Some((files, bytes)),
            _ => None,
        }
    }

    /// The reason of the fault that ended it.
    fn fault(&self) -> Option<Fault> {
        match &self.ended {
            Ended::Failed(fault) => Some(fault.clone()),
            _ => None,
        }
    }

    fn failures(&self) -> Vec<(u64, Reason)> {
        let failed = |written: &Written| match written {
            Written::FileFailed { file, reason, .. } => Some((*file, *reason)),
            _ => None,
        };
        self.told.iter().filter_map(failed).collect()
    }

    /// Bytes that were told as new.
    fn stored(&self) -> u64 {
        let bytes = |written: &Written| match written {
            Written::Stored { bytes, .. } => *bytes,
            _ => 0,
        };
        self.told.iter().map(bytes).sum()
    }

    fn acks(&self) -> usize {
        self.told.iter().filter(|written| matches!(written, Written::Stored { .. })).count()
    }
}

fn protocol_broken(ran: &Ran) -> bool {
    use crate::transfer::progress::Cause;
    let broken = ran.fault().is_some_and(|f| f.cause == Cause::Reason(Reason::Protocol));
    // Nothing half done is left, whatever went wrong.
    broken && names(ran.path()).is_empty()
}

fn buffer(content: &[u8]) -> Buffer {
    let mut buffer = Pool::new(0).take(content.len());
    buffer.as_mut().copy_from_slice(content);
    buffer
}

fn pack(number: u64, entries: Vec<(u64, Entry, &[u8])>) -> Job {
    let content: Vec<u8> = entries.iter().flat_map(|(_, _, content)| content.to_vec()).collect();
    let of_content = |entry: &Entry, content: &[u8]| match entry.kind {
        EntryKind::File { .. } => *blake3::hash(content).as_bytes(),
        _ => [0; 32],
    };
    let entries = entries.into_iter().map(|(index, entry, content)| {
        let hash = of_content(&entry, content);
        PackEntry { index, entry, hash }
    });
    let header = PackHeader { number, entries: entries.collect() };
    let (content, link, share) = (buffer(&content), LinkKind::Direct, Share::none());
    Job::Pack { instance: INSTANCE, header, content, link, share }
}

/// A large file: content that differs from block to block.
struct Large {
    content: Vec<u8>,
}

impl Large {
    fn new(len: usize) -> Self {
        let content = (0..len).map(|at| u8::try_from((at / MIB + at) % 251).unwrap()).collect();
        Self { content }
    }

    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    fn cvs(&self) -> Vec<Digest> {
        let block = |(n, bytes): (usize, &[u8])| hash::block_cv(self.size(), n as u64, bytes);
        self.content
            .chunks(MIB)
            .enumerate()
            .map(|block_bytes| block(block_bytes).unwrap())
            .collect()
    }

    fn entry(&self) -> Entry {
        entry("large", EntryKind::File { size: self.size() })
    }

    fn start(&self, revision: u8) -> Job {
        Job::Start { file: 0, revision, entry: self.entry() }
    }

    fn block(&self, revision: u8, block: u32) -> Job {
        let bytes = self.content.chunks(MIB).nth(block as usize).unwrap();
        let cv = self.cvs()[block as usize];
        block_job(0, revision, block, cv, bytes)
    }

    fn end(&self, revision: u8) -> Job {
        Job::End { file: 0, revision, root: *blake3::hash(&self.content).as_bytes() }
    }
}

fn block_job(file: u64, revision: u8, block: u32, cv: Digest, bytes: &[u8]) -> Job {
    let len = u32::try_from(bytes.len()).unwrap();
    let header = BlockHeader { file, revision, block, len, cv };
    Job::Block(Block {
        instance: INSTANCE,
        header,
        content: buffer(bytes),
        link: LinkKind::Lan,
        came_at: Instant::now(),
        share: Share::none(),
    })
}

const FINISH: Job = Job::Finish { entries: 1 };

#[test]
fn blocks_in_any_order_twice_and_before_their_start_make_the_file_once() {
    let large = Large::new(2 * MIB + 5);
    let ran = run(vec![
        large.block(0, 2),
        large.block(0, 2),
        large.start(0),
        large.end(0),
        large.block(0, 1),
        large.start(0),
        large.block(0, 1),
        FINISH,
        large.block(0, 0),
    ]);
    assert_eq!(ran.completed(), Some((1, large.size())));
    assert_eq!(ran.stored(), large.size());
    assert_eq!(fs::read(ran.path().join("large")).unwrap(), large.content);
    assert_eq!(names(ran.path()), ["large"]);
}

#[test]
fn parked_blocks_that_come_again_are_parked_once() {
    let blocks: Vec<_> = (0..32).collect();
    let header = |n: &u32| block_job(0, 0, *n, [0; 32], b"x");
    // A session is lost with the start in it, and all blocks come again.
    let again: Vec<_> = blocks.iter().chain(&blocks).map(header).collect();
    assert_eq!(run(again).fault(), None);
    let unannounced: Vec<_> = (0..33).map(|n| header(&n)).collect();
    assert!(protocol_broken(&run(unannounced)));
}

#[test]
fn a_late_block_of_a_file_that_is_whole_is_acknowledged_again() {
    let large = Large::new(MIB + 1);
    let jobs = vec![
        large.start(0),
        large.block(0, 0),
        large.block(0, 1),
        large.end(0),
        large.block(0, 0),
        FINISH,
    ];
    let ran = run(jobs);
    assert_eq!((ran.completed(), ran.acks()), (Some((1, large.size())), 3));
    assert_eq!(ran.stored(), large.size());
}

#[test]
fn a_later_revision_keeps_the_blocks_that_did_not_change() {
    let (before, mut after) = (Large::new(2 * MIB + 5), Large::new(3 * MIB));
    after.content[..MIB].copy_from_slice(&before.content[..MIB]);
    after.content[MIB] ^= 1;
    let ran = run(vec![
        before.start(0),
        before.block(0, 0),
        before.block(0, 1),
        before.block(0, 2),
        after.start(1),
        // One of the earlier revision that was still on its way.
        before.block(0, 1),
        after.block(1, 1),
        after.block(1, 2),
        after.end(1),
        FINISH,
    ]);
    assert_eq!(ran.completed(), Some((1, after.size())));
    assert_eq!(fs::read(ran.path().join("large")).unwrap(), after.content);
}

#[test]
fn a_file_that_became_empty_while_it_was_sent_is_whole_without_blocks() {
    let (before, empty) = (Large::new(MIB + 1), Large::new(0));
    let ran = run(vec![before.start(0), before.block(0, 1), empty.start(1), empty.end(1), FINISH]);
    assert_eq!(ran.completed(), Some((1, 0)));
    assert_eq!(fs::read(ran.path().join("large")).unwrap(), b"");
}

#[test]
fn a_block_that_is_not_what_its_header_says_is_asked_for_again_and_not_counted() {
    let large = Large::new(MIB + 1);
    let damaged = block_job(0, 0, 1, large.cvs()[1], b"?");
    let jobs = vec![large.start(0), damaged, large.block(0, 0), large.end(0), Job::Abandon];
    let ran = run(jobs);
    assert_eq!(ran.stored(), BLOCK);
    let acked = ran.told.iter().find_map(|written| match written {
        Written::Stored { ack: Ack::Block { block: 1, cv, .. }, .. } => Some(*cv),
        _ => None,
    });
    assert!(acked.is_some_and(|cv| cv != large.cvs()[1]));
    assert!(names(ran.path()).is_empty(), "nothing that is not whole gets a name");
}

#[test]
fn a_file_whose_blocks_do_not_make_up_its_hash_gets_no_name() {
    let large = Large::new(MIB + 1);
    let wrong = Job::End { file: 0, revision: 0, root: [1; 32] };
    let ran = run(vec![large.start(0), large.block(0, 0), large.block(0, 1), wrong, FINISH]);
    assert_eq!(ran.failures(), [(0, Reason::Corrupt)]);
    assert_eq!(ran.completed(), Some((0, 0)));
    assert!(names(ran.path()).is_empty());
}

#[test]
fn a_block_that_does_not_fit_its_file_ends_the_transfer() {
    let large = Large::new(MIB + 1);
    let (short, beyond) = (block_job(0, 0, 0, [0; 32], b"x"), block_job(0, 0, 9, [0; 32], b"x"));
    for block in [short, beyond] {
        assert!(protocol_broken(&run(vec![large.start(0), block])));
    }
}

#[test]
fn a_pack_is_delivered_and_its_folders_and_links_come_last() {
    let read_only = Entry { mode: 0o500, ..folder("d") };
    let jobs = vec![
        pack(0, vec![(0, read_only, b""), (2, symlink("d/link", "f"), b"")]),
        pack(1, vec![(1, file("d/f", b"hello"), b"hello"), (3, file("e", b""), b"")]),
        pack(1, Vec::new()),
        Job::Finish { entries: 4 },
    ];
    let ran = run(jobs);
    assert_eq!(ran.completed(), Some((2, 5)));
    assert_eq!((ran.acks(), ran.stored()), (3, 5));
    assert_eq!(names(&ran.path().join("d")), ["f", "link"]);
    assert_eq!(fs::read(ran.path().join("d/link")).unwrap(), b"hello");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(ran.path().join("d")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o500);
}

#[test]
fn a_packed_file_with_a_wrong_hash_is_given_up_and_the_rest_goes_on() {
    let mut job = pack(0, vec![(0, file("bad", b"ab"), b"ab"), (1, file("good", b"cd"), b"cd")]);
    if let Job::Pack { header, .. } = &mut job {
        header.entries[0].hash = [0; 32];
    }
    let ran = run(vec![job, Job::Finish { entries: 2 }]);
    assert_eq!(ran.failures(), [(0, Reason::Corrupt)]);
    assert_eq!((ran.completed(), names(ran.path())), (Some((1, 2)), vec!["good".to_owned()]));
}

#[test]
fn packs_that_lie_end_the_transfer() {
    let length = |content: &[u8]| {
        let mut job = pack(0, vec![(0, file("f", b"abc"), b"abc")]);
        if let Job::Pack { content: held, .. } = &mut job {
            *held = buffer(content);
        }
        job
    };
    let twice = |number| pack(number, vec![(0, file("f", b"x"), b"x")]);
    assert!(protocol_broken(&run(vec![length(b"ab")])));
    assert!(protocol_broken(&run(vec![length(b"abcd")])));
    assert!(protocol_broken(&run(vec![twice(0), twice(1)])));
    let beyond = pack(0, vec![(MAX_ENTRIES, file("f", b"x"), b"x")]);
    assert!(protocol_broken(&run(vec![beyond])));
}

#[test]
fn no_more_bytes_than_allowed_are_taken_whatever_was_said() {
    let dir = || tempfile::tempdir().unwrap();
    let large = Large::new(MIB + 1);
    let jobs = || vec![large.start(0), large.block(0, 1), large.block(0, 0), large.end(0), FINISH];
    assert_eq!(run_in(dir(), Some(large.size()), jobs()).completed(), Some((1, large.size())));
    let ran = run_in(dir(), Some(large.size() - 1), jobs());
    use crate::transfer::progress::Cause;
    assert!(ran.fault().is_some_and(|fault| fault.cause == Cause::Reason(Reason::TooLarge)));
    assert!(names(ran.path()).is_empty());
}

#[test]
fn far_more_than_a_person_has_agreed_to_is_not_taken() {
    use crate::transfer::progress::Cause;
    let agreed_to = |files, jobs| {
        let agreed = Some(Agreed { files, bytes: 1 });
        run_on(tempfile::tempdir().unwrap(), Terms { agreed, ..Terms::default() }, jobs)
    };
    let names: Vec<_> = (0..=1_000).map(|n| n.to_string()).collect();
    let entries: Vec<_> = (0..).zip(&names).map(|(n, it)| (n, file(it, b""), &b""[..])).collect();
    let many = || vec![pack(0, entries.clone()), FINISH];
    assert_eq!(agreed_to(1, many()).completed(), Some((1_001, 0)), "it may grow a little");
    let fault = agreed_to(0, many()).fault().unwrap();
    assert_eq!(fault.cause, Cause::Reason(Reason::TooLarge));
    assert!(fault.text.starts_with("0 files and 1 bytes were accepted"), "{}", fault.text);
    let large = Large::new(65 * MIB);
    let blocks = (0..65).map(|block| large.block(0, block));
    let jobs = std::iter::once(large.start(0)).chain(blocks).collect();
    let fault = agreed_to(1, jobs).fault().unwrap();
    assert_eq!(fault.cause, Cause::Reason(Reason::TooLarge));
}

#[test]
fn a_file_that_the_sender_gives_up_is_told_once_and_the_rest_is_complete() {
    let large = Large::new(MIB + 1);
    let give_up = || Job::GiveUp {
        file: 0,
        reason: Reason::SourceChanged,
        text: String::new(),
        name: String::new(),
    };
    let ran = run(vec![large.start(0), large.block(0, 0), give_up(), give_up(), FINISH]);
    assert_eq!(ran.completed(), Some((0, 0)));
    let told =
        ran.told.iter().filter(|w| matches!(w, Written::GivenUp { path, .. } if path == "large"));
    assert_eq!(told.count(), 1);
}

#[test]
fn a_file_given_up_whose_start_was_lost_does_not_hold_up_the_end() {
    let give_up = Job::GiveUp {
        file: 0,
        reason: Reason::SourceChanged,
        text: String::new(),
        name: String::new(),
    };
    let large = Large::new(MIB + 1);
    let ran = run(vec![large.block(0, 0), give_up, FINISH]);
    assert_eq!(ran.completed(), Some((0, 0)));
}

#[test]
fn too_many_files_at_once_end_the_transfer() {
    let start = |file| Job::Start { file, revision: 0, entry: Large::new(0).entry() };
    assert!(protocol_broken(&run((0..300).map(start).collect())));
    let link = Job::Start { file: 0, revision: 0, entry: symlink("l", "t") };
    assert!(protocol_broken(&run(vec![link])));
}

#[test]
fn a_destination_that_cannot_be_written_ends_the_transfer_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let dest_dir = dir.path().to_path_buf();
    let ended = std::thread::spawn(move || {
        obey_permissions();
        let (send_job, job_queue) = mpsc::channel(4);
        let (tell, mut told) = mpsc::channel(100);
        let dest = Destination::create(&dest_dir, [7; 16]).unwrap();
        let keeper = Journals::new().keeper(&dest);
        let mode = std::os::unix::fs::PermissionsExt::from_mode;
        fs::set_permissions(&dest_dir, mode(0o500)).unwrap();
        send_job.try_send(pack(0, vec![(0, file("f", b"x"), b"x")])).unwrap();
        send_job.try_send(FINISH).unwrap();
        let (ended, _) = write(dest, keeper, INSTANCE, Terms::default(), job_queue, &tell);
        fs::set_permissions(&dest_dir, mode(0o700)).unwrap();
        (std::iter::from_fn(|| told.try_recv().ok()).collect::<Vec<_>>(), ended)
    });
    let (told, ended) = ended.join().unwrap();
    let ran = Ran { dir, told, ended };
    assert_eq!(ran.failures(), [(0, Reason::PermissionDenied)]);
    assert!(ran.completed().is_some_and(|(files, _)| files == 0));
}

#[test]
fn what_was_not_committed_is_gone_when_the_transfer_is_abandoned() {
    let large = Large::new(MIB + 1);
    let ran = run(vec![large.start(0), large.block(0, 0), Job::Abandon, large.block(0, 1)]);
    assert!(ran.completed().is_none() && ran.fault().is_none());
    assert!(names(ran.path()).is_empty());
}

#[test]
fn content_for_another_state_is_nobodys() {
    let Job::Pack { header, content, link, share, .. } =
        pack(0, vec![(0, file("before", b"x"), b"x")])
    else {
        unreachable!()
    };
    let stale = Job::Pack { instance: INSTANCE + 1, header, content, link, share };
    let ran = run(vec![stale, pack(0, vec![(0, file("now", b"x"), b"x")]), FINISH]);
    assert_eq!(ran.completed(), Some((1, 1)));
    assert_eq!(names(ran.path()), ["now"]);
}

#[test]
fn a_thread_that_is_left_commits_what_is_whole_and_keeps_the_rest() {
    let large = Large::new(2 * MIB);
    let small = pack(0, vec![(1, file("whole", b"x"), b"x")]);
    let ran = run(vec![large.start(0), large.block(0, 0), small, Job::Leave, large.block(0, 1)]);
    assert_eq!(ran.ended, Ended::Left);
    assert_eq!(fs::read(ran.path().join("whole")).unwrap(), b"x");
    assert_eq!(names(ran.path()).len(), 2, "the file and the partial folder");
}

#[test]
fn what_is_all_delivered_stays_so_when_nobody_listens_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (send_job, job_queue) = mpsc::channel(4);
    send_job.try_send(FINISH).unwrap();
    send_job.try_send(pack(0, vec![(0, file("f", b"x"), b"x")])).unwrap();
    // Room to say that it is stored, and then nobody hears that it is delivered.
    let (tell, told) = mpsc::channel(1);
    let listener = std::thread::spawn(move || {
        let mut told = told;
        assert!(matches!(told.blocking_recv(), Some(Written::Stored { .. })));
        told.close();
    });
    let dest = Destination::create(dir.path(), [7; 16]).unwrap();
    let keeper = Journals::new().keeper(&dest);
    let (ended, _) = write(dest, keeper, INSTANCE, Terms::default(), job_queue, &tell);
    listener.join().unwrap();
    assert_eq!(ended, Ended::Complete { files: 1, bytes: 1 });
    assert_eq!(names(dir.path()), ["f"]);
}
