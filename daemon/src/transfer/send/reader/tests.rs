//! The reading thread against a temporary folder, its steps taken one by one.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::transfer::testing::{names, obey_permissions};

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
            read(TransferId([1; 16]), 2, source, Pool::new(4), send_step);
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
    let Some(Step::Finish { entries }) = steps.last() else { panic!("no end: {steps:?}") };
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
        pool: Pool::new(4),
        steps: send_step,
        next_index: 0,
        next_pack: 0,
        pack: None,
    };
    reader.large(entry).unwrap();
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
