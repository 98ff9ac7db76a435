//! The reading thread against a temporary folder, its steps taken one by one.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::transfer::buffer::Supply;
use crate::transfer::proto::{NO_BLOCK, Verdict};
use crate::transfer::testing::{keeps_attributes, names, obey_permissions};

const MIB: usize = 1 << 20;

/// A reading thread and what it has said.
struct Reading {
    steps: mpsc::Receiver<Step>,
}

impl Reading {
    /// Everything is read as fast as it is taken: one step waits, one is being made.
    fn start(sources: &[PathBuf]) -> Self {
        let source = Arc::new(Source::new(sources).unwrap());
        Self::of(source)
    }

    fn of(source: Arc<Source>) -> Self {
        let (send_step, steps) = mpsc::channel(1);
        std::thread::spawn(move || {
            obey_permissions();
            read(TransferId([1; 16]), 2, source, Supply::new(1_000).ration(), send_step, None);
        });
        Self { steps }
    }

    fn next(&mut self) -> Option<Step> {
        self.steps.blocking_recv()
    }

    fn rest(mut self) -> Vec<Step> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

fn read_all(dir: &Path, names: &[&str]) -> Vec<Step> {
    let sources: Vec<_> = names.iter().map(|name| dir.join(name)).collect();
    Reading::start(&sources).rest()
}

fn header_of(chunk: &Chunk) -> &[u8] {
    &chunk.head[crate::transfer::proto::PREFIX_LEN..]
}

/// What the packs among the steps hold: path, and content where there is any.
fn packed(steps: &[Step]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for step in steps {
        let Step::Chunk(chunk @ Chunk { id: ChunkId::Pack(number), .. }) = step else { continue };
        let header = PackHeader::decode(header_of(chunk)).unwrap();
        assert_eq!(header.number, *number);
        let mut rest: &[u8] = &chunk.content;
        for entry in header.entries {
            let (content, tail) = rest.split_at(usize::try_from(entry.content_len()).unwrap());
            rest = tail;
            if let EntryKind::File { .. } = entry.entry.kind {
                assert_eq!(entry.hash, *blake3::hash(content).as_bytes());
            }
            found.push((entry.entry.path.to_string(), content.to_vec()));
        }
        assert!(rest.is_empty());
    }
    found
}

/// File, revision and block of the blocks among the steps.
fn blocks(steps: &[Step]) -> Vec<(u64, u8, u32)> {
    let id = |step: &Step| match step {
        Step::Chunk(Chunk { id: ChunkId::Block { file, revision, block }, .. }) => {
            Some((*file, *revision, *block))
        }
        _ => None,
    };
    steps.iter().filter_map(id).collect()
}

fn roots(steps: &[Step]) -> Vec<[u8; 32]> {
    let root = |step: &Step| match step {
        Step::End { root, .. } => Some(*root),
        _ => None,
    };
    steps.iter().filter_map(root).collect()
}

fn failures(steps: &[Step]) -> Vec<(Option<u64>, Reason)> {
    let failed = |step: &Step| match step {
        Step::Failed { file, reason, .. } => Some((*file, *reason)),
        _ => None,
    };
    steps.iter().filter_map(failed).collect()
}

fn entries(steps: &[Step]) -> u64 {
    let Some(Step::Finish { entries, .. }) = steps.last() else { panic!("no end: {steps:?}") };
    *entries
}

fn root_of(content: &[u8]) -> [u8; 32] {
    *blake3::hash(content).as_bytes()
}

#[test]
fn small_entries_of_all_kinds_go_in_one_pack() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("empty"), b"").unwrap();
    fs::write(tree.join("f"), b"hello").unwrap();
    std::os::unix::fs::symlink("f", tree.join("link")).unwrap();
    let steps = read_all(dir.path(), &["tree"]);
    let mut found = packed(&steps);
    found.sort();
    let names: Vec<_> =
        found.iter().map(|(path, content)| (path.as_str(), content.len())).collect();
    assert_eq!(names, [("tree", 0), ("tree/empty", 0), ("tree/f", 5), ("tree/link", 0)]);
    assert_eq!((steps.len(), entries(&steps)), (2, 4));
}

#[test]
fn a_file_of_one_mebibyte_is_packed_and_one_byte_more_makes_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let content = vec![7; MIB + 1];
    fs::write(dir.path().join("packed"), &content[..MIB]).unwrap();
    fs::write(dir.path().join("blocks"), &content).unwrap();
    let steps = read_all(dir.path(), &["packed", "blocks"]);
    assert_eq!(packed(&steps), [("packed".to_owned(), content[..MIB].to_vec())]);
    assert_eq!(blocks(&steps), [(1, 0, 0), (1, 0, 1)]);
    assert_eq!(roots(&steps), [root_of(&content)]);
    assert_eq!(entries(&steps), 2);
}

#[test]
fn packs_hold_no_more_than_a_block_and_no_more_entries_than_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("t");
    fs::create_dir(&tree).unwrap();
    (0..1_100).for_each(|n| fs::write(tree.join(n.to_string()), b"x").unwrap());
    fs::write(dir.path().join("big"), vec![1; MIB]).unwrap();
    let steps = read_all(dir.path(), &["t", "big"]);
    let packs = steps.iter().filter(|step| matches!(step, Step::Chunk(_))).count();
    assert_eq!((packs, packed(&steps).len(), entries(&steps)), (3, 1_102, 1_102));
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_has_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    for (name, len) in [("secret", 1), ("great secret", MIB + 1)] {
        fs::write(dir.path().join(name), vec![0; len]).unwrap();
        fs::set_permissions(dir.path().join(name), mode(0)).unwrap();
    }
    fs::write(dir.path().join("public"), b"x").unwrap();
    let steps = read_all(dir.path(), &["secret", "great secret", "public"]);
    assert_eq!(failures(&steps), [(None, Reason::SourceUnreadable); 2]);
    assert_eq!((packed(&steps).len(), entries(&steps)), (1, 1));
    assert_eq!(names(dir.path()).len(), 3);
}

/// A file of `before` is read; once its last block but one is out it is made `after`.
fn change_under_way(before: &[u8], after: &[u8]) -> Vec<Step> {
    let dir = tempfile::tempdir().unwrap();
    let file_path = dir.path().join("f");
    fs::write(&file_path, before).unwrap();
    let mut reading = Reading::start(std::slice::from_ref(&file_path));
    let mut steps = vec![reading.next().unwrap()];
    assert!(matches!(steps[0], Step::Start { revision: 0, .. }));
    // At most one more block waits and one is held: the last ones are not read yet.
    fs::write(&file_path, after).unwrap();
    steps.extend(reading.rest());
    steps
}

#[test]
fn a_file_that_changes_is_read_again_and_only_what_changed_is_sent_again() {
    let before = vec![1; 6 * MIB + 1];
    let mut after = before.clone();
    after[5 * MIB] = 2;
    let steps = change_under_way(&before, &after);
    let (first, again): (Vec<_>, Vec<_>) =
        blocks(&steps).into_iter().partition(|(_, revision, _)| *revision == 0);
    assert_eq!(roots(&steps), [root_of(&after)]);
    assert!(first.len() + again.len() <= 8, "{first:?} {again:?}");
    assert_eq!((failures(&steps).len(), entries(&steps)), (0, 1));
}

#[test]
fn a_file_that_is_emptied_while_it_is_read_is_sent_as_an_empty_one() {
    let steps = change_under_way(&vec![1; 6 * MIB], b"");
    assert_eq!(roots(&steps), [root_of(b"")]);
    assert_eq!((failures(&steps).len(), entries(&steps)), (0, 1));
}

#[test]
fn a_large_file_that_is_emptied_before_it_is_opened_is_sent_as_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("a"), dir.path().join("b"));
    fs::write(&first, vec![1; 6 * MIB]).unwrap();
    fs::write(&second, vec![1; 2 * MIB]).unwrap();
    let source = Arc::new(Source::new(std::slice::from_ref(&second)).unwrap());
    let (send_step, steps) = mpsc::channel(16);
    let entry = source.walk().next().unwrap().unwrap();
    fs::write(&second, b"").unwrap();
    let mut reader = Reader {
        transfer: TransferId([1; 16]),
        instance: 2,
        source,
        buffers: Supply::new(1_000).ration(),
        steps: send_step,
        next_index: 0,
        next_pack: 0,
        pack: None,
        offers: None,
        losses: Losses::default(),
    };
    reader.large(entry, false).unwrap();
    drop(reader);
    let steps = Reading { steps }.rest();
    assert_eq!((blocks(&steps).len(), roots(&steps)), (0, vec![root_of(b"")]));
}

#[test]
fn a_block_of_zeros_carries_nothing_but_its_header() {
    let dir = tempfile::tempdir().unwrap();
    let mut content = vec![0; 3 * MIB];
    content[MIB] = 1;
    fs::write(dir.path().join("x"), &content).unwrap();
    let steps = read_all(dir.path(), &["x"]);
    assert_eq!(blocks(&steps), [(0, 0, 0), (0, 0, 1), (0, 0, 2)]);
    assert_eq!(roots(&steps), [root_of(&content)]);
    let carried = steps.iter().filter_map(|step| match step {
        Step::Chunk(chunk) => Some((chunk.head[0], chunk.content.len(), chunk.len)),
        _ => None,
    });
    let mib = MIB as u64;
    assert_eq!(carried.collect::<Vec<_>>(), [(3, 0, mib), (1, MIB, mib), (3, 0, mib)]);
}

/// A reading thread that offers, and what it is answered.
struct Offering {
    reading: Reading,
    answer: mpsc::Sender<(Question, Reply)>,
}

impl Offering {
    fn start(sources: &[PathBuf]) -> Self {
        let source = Arc::new(Source::new(sources).unwrap());
        let (send_step, steps) = mpsc::channel(1);
        let (answer, replies) = mpsc::channel(MAX_QUESTIONS);
        std::thread::spawn(move || {
            let asking = Some(Asking { replies, checksum: false });
            let buffers = Supply::new(1_000).ration();
            read(TransferId([1; 16]), 2, source, buffers, send_step, asking);
        });
        Self { reading: Reading { steps }, answer }
    }

    /// Takes all steps; questions are answered with what `reply` makes of them.
    fn rest(mut self, mut reply: impl FnMut(&Message) -> Reply) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(step) = self.reading.next() {
            match step {
                Step::Ask { question, message } => {
                    self.answer.try_send((question, reply(&message))).unwrap();
                }
                step => steps.push(step),
            }
        }
        steps
    }
}

/// Bytes and origin of the files that the receiver was said to have.
fn present(steps: &[Step]) -> Vec<(u64, bool)> {
    let of = |step: &Step| match step {
        Step::Present { bytes, there } => Some((*bytes, *there)),
        _ => None,
    };
    steps.iter().filter_map(of).collect()
}

fn kept(steps: &[Step]) -> u64 {
    let of = |step: &Step| match step {
        Step::Kept { bytes } => *bytes,
        _ => 0,
    };
    steps.iter().map(of).sum()
}

#[test]
fn what_is_offered_is_sent_as_far_as_it_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    fs::create_dir(&top).unwrap();
    for n in 0..2_000 {
        fs::write(top.join(format!("{n:04}")), vec![b'x'; n]).unwrap();
    }
    let mut offered = 0;
    let steps = Offering::start(&[top]).rest(|message| {
        let Message::Offer { entries, .. } = message else { panic!("{message:?}") };
        offered += entries.len();
        let verdict = |entry: &Entry| match entry.path.name().last() {
            Some(b'0') => Verdict::Send,
            Some(b'1') => Verdict::Delivered,
            _ => Verdict::There,
        };
        Reply::Verdicts(entries.iter().map(verdict).collect())
    });
    assert_eq!(offered, 2_000);
    let sent: Vec<_> = packed(&steps).into_iter().map(|(path, _)| path).collect();
    assert_eq!(sent.len(), 201, "the folder and every tenth file");
    assert!(sent.iter().all(|path| path == "top" || path.ends_with('0')));
    let (there, delivered): (Vec<_>, Vec<_>) =
        present(&steps).into_iter().partition(|(_, there)| *there);
    assert_eq!((there.len(), delivered.len()), (1_600, 200));
    assert_eq!(delivered.iter().map(|(bytes, _)| bytes).sum::<u64>(), 199_200);
    assert_eq!(entries(&steps), 201);
}

#[test]
fn of_a_file_that_is_there_in_part_only_what_differs_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (large, size) = (dir.path().join("large"), 600 * MIB as u64 + 7);
    fs::File::create(&large).unwrap().set_len(size).unwrap();
    let differs = |block: u64| block == 3 || block >= 590;
    let steps = Offering::start(&[large]).rest(|message| match message {
        Message::Offer { .. } => Reply::Verdicts(vec![Verdict::Compare]),
        Message::BlocksQuery { first, count, .. } => {
            let blocks = u64::from(*first)..u64::from(*first) + u64::from(*count);
            let cv = |block| match differs(block) {
                true => NO_BLOCK,
                false => {
                    let len = hash::block_len(size, block).unwrap();
                    hash::block_cv(size, block, &vec![0; len]).unwrap()
                }
            };
            Reply::Blocks(blocks.map(cv).collect())
        }
        other => panic!("{other:?}"),
    });
    let sent: Vec<_> = blocks(&steps).into_iter().map(|(_, _, block)| u64::from(block)).collect();
    assert_eq!(sent, std::iter::once(3).chain(590..=600).collect::<Vec<_>>());
    assert_eq!(kept(&steps), 589 * MIB as u64);
    assert_eq!(roots(&steps).len(), 1);
}

#[test]
fn answers_that_are_too_short_want_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (small, large) = (dir.path().join("small"), dir.path().join("large"));
    fs::write(&small, "x").unwrap();
    fs::write(&large, vec![1; 3 * MIB]).unwrap();
    let mut offers = 0;
    let steps = Offering::start(&[large, small]).rest(|message| match message {
        Message::Offer { .. } => {
            offers += 1;
            Reply::Verdicts(vec![Verdict::Compare])
        }
        _ => Reply::Blocks(Vec::new()),
    });
    assert_eq!((offers, blocks(&steps).len(), packed(&steps).len()), (1, 3, 1));
}

fn losses(steps: &[Step]) -> Vec<(LossKind, u64, String)> {
    let Some(Step::Finish { losses, .. }) = steps.last() else { panic!("no end: {steps:?}") };
    let first = |examples: &[(String, String)]| {
        examples.first().map(|(path, detail)| format!("{path}: {detail}")).unwrap_or_default()
    };
    losses.iter().map(|(kind, lost)| (kind, lost.count, first(&lost.examples))).collect()
}

/// Files, and a folder, with attributes, with one that only the superuser has, and with a set-id bit.
fn make_special(tree: &std::path::Path) {
    fs::create_dir(tree).unwrap();
    fs::write(tree.join("small"), b"x").unwrap();
    fs::write(tree.join("large"), vec![7; MIB + 1]).unwrap();
    for at in [tree.to_owned(), tree.join("small"), tree.join("large")] {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&at, "user.origin", b"here", flags).unwrap();
    }
    fs::set_permissions(tree.join("small"), fs::Permissions::from_mode(0o4755)).unwrap();
}

/// Whether the entries of this reading have an attribute, by path.
fn attributed(steps: &[Step]) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for step in steps {
        match step {
            Step::Start { entry, .. } => found.push(entry.clone()),
            Step::Chunk(chunk @ Chunk { id: ChunkId::Pack(_), .. }) => {
                let header = PackHeader::decode(header_of(chunk)).unwrap();
                found.extend(header.entries.into_iter().map(|packed| packed.entry));
            }
            _ => {}
        }
    }
    let mut found: Vec<_> =
        found.iter().map(|entry| (entry.path.to_string(), !entry.attributes.is_empty())).collect();
    found.sort();
    found
}

#[test]
fn attributes_are_sent_on_request_and_else_named_as_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    if !keeps_attributes(&tempfile::tempfile_in(dir.path()).unwrap()) {
        return;
    }
    let tree = dir.path().join("tree");
    make_special(&tree);
    for (wanted, expected) in [(true, 0), (false, 3)] {
        let source = Source::new(std::slice::from_ref(&tree)).unwrap().with_attributes(wanted);
        let steps = Reading::of(Arc::new(source)).rest();
        let names = ["tree", "tree/large", "tree/small"].map(|name| (name.to_owned(), wanted));
        assert_eq!(attributed(&steps), names);
        let losses = losses(&steps);
        let of = |kind| losses.iter().find(|loss| loss.0 == kind).cloned();
        assert_eq!(of(LossKind::SpecialBits).unwrap().1, 1);
        let attributes = of(LossKind::AttributesNotSent);
        assert_eq!(attributes.as_ref().map_or(0, |loss| loss.1), expected, "{losses:?}");
        assert!(attributes.is_none_or(|loss| loss.2.ends_with(": user.origin")));
    }
}

#[test]
fn holes_and_what_is_never_sent_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::File::create(tree.join("sparse")).unwrap().set_len(3 * MIB as u64).unwrap();
    fs::write(tree.join("dense"), vec![0; 2 * MIB]).unwrap();
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, tree.join("pipe"), rustix::fs::FileType::Fifo, mode, 0)
        .unwrap();
    let steps = read_all(dir.path(), &["tree"]);
    let mut sparse: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Start { entry, .. } => Some((entry.path.to_string(), entry.has_holes)),
            _ => None,
        })
        .collect();
    sparse.sort();
    assert_eq!(sparse, [("tree/dense".to_owned(), false), ("tree/sparse".to_owned(), true)]);
    let losses = losses(&steps);
    assert_eq!((losses[0].0, losses[0].1, losses.len()), (LossKind::NotSent, 1, 1), "{losses:?}");
    assert_eq!(losses[0].2, "tree/pipe: ");
}
