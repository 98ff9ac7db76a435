//! A million file names against the path checker, and the accepted ones against the file system.
//!
//! 100,000 names are tried, or as many as `FILEFLEET_FUZZ_NAMES` says. What the checker says of each is
//! compared with a second, naive reading of the rules. One accepted name in [`MADE`] is really received
//! into a scratch folder that lies beside one that nobody may touch; in between, symbolic links that
//! point there are received under the same names.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use proptest::prelude::Rng;
use proptest::test_runner::TestRng;

use super::engine::{below, rng};
use crate::transfer::dest::{Commit, Destination, Forgetful};
use crate::transfer::entry::{Entry, EntryKind, RelPath};
use crate::transfer::testing::{entry, fast_dir, names, snapshot};

const NAMES: u64 = 100_000;
/// One accepted name in so many is received.
const MADE: u64 = 50;
/// One in so many of these is a link that leads outside.
const LINKS: u64 = 8;
/// How many entries are committed at once.
const BATCH: usize = 64;
/// The bytes of all components that mean something somewhere.
const ODD_NAMES: &[&[u8]] = &[
    b"",
    b".",
    b"..",
    b"...",
    b"/",
    b"\\",
    b"..\\..",
    b"~",
    b"a",
    b"b",
    b"c:",
    b"CON",
    b"nul.txt",
    b"outside",
    b"secret",
    b"\0",
    b"a\0b",
    b"..\0",
    b"\xc0\xae\xc0\xae",
    b"\xe2\x80\xae",
    b"\xff",
    b".filefleet-partial-00",
    b".FILEFLEET-PARTIAL-",
    b"%2e%2e",
    b" ",
    b"-rf",
    b"\n",
    b"proc",
    b"self",
];

#[test]
fn no_name_leads_outside() {
    let count = std::env::var("FILEFLEET_FUZZ_NAMES").map_or(NAMES, |text| text.parse().unwrap());
    let scene = Scene::new();
    let dest = Destination::create(&scene.dir.path().join("dest"), [1; 16]).unwrap();
    let mut rng = rng("names", count > NAMES);
    let (mut accepted, mut batch) = (0_u64, Vec::new());
    for _ in 0..count {
        let bytes = name(&mut rng);
        let Ok(path) = RelPath::decode(&bytes) else {
            assert!(!is_harmless(&bytes), "refused: {}", bytes.escape_ascii());
            continue;
        };
        assert!(is_harmless(&bytes), "accepted: {}", bytes.escape_ascii());
        assert_eq!(RelPath::new(path.components()).as_ref(), Ok(&path));
        accepted += 1;
        if accepted.is_multiple_of(MADE) {
            batch.push(scene.entry(path, accepted.is_multiple_of(MADE * LINKS)));
        }
        if batch.len() == BATCH {
            receive(&dest, &std::mem::take(&mut batch), accepted);
        }
    }
    receive(&dest, &batch, accepted);
    dest.finish().unwrap();
    scene.assert_outside_untouched();
    let made = count_files(&scene.dir.path().join("dest"));
    println!("names: {count} tried, {accepted} accepted, {made} lie in the destination");
    assert!(accepted > count / 10 && made > accepted / MADE / 4);
}

/// A destination, and beside it what nobody may touch.
struct Scene {
    dir: tempfile::TempDir,
    before: std::collections::BTreeMap<std::path::PathBuf, String>,
}

impl Scene {
    fn new() -> Self {
        let dir = fast_dir();
        for folder in ["dest", "outside"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("outside/secret"), "mine").unwrap();
        let before = snapshot(&dir.path().join("outside"));
        Self { dir, before }
    }

    fn entry(&self, path: RelPath, is_link: bool) -> Entry {
        let target = self.dir.path().join("outside").into_os_string().into_encoded_bytes();
        let kind =
            if is_link { EntryKind::Symlink { target } } else { EntryKind::File { size: 1 } };
        Entry { path, ..entry("x", kind) }
    }

    fn assert_outside_untouched(&self) {
        assert_eq!(snapshot(&self.dir.path().join("outside")), self.before);
        assert_eq!(names(self.dir.path()), ["dest", "outside"]);
    }
}

/// Receives these entries under fresh numbers; what is refused is refused.
fn receive(dest: &Destination, batch: &[Entry], number: u64) {
    let commits: Vec<_> = (number * 100..)
        .zip(batch)
        .map(|(index, entry)| Commit { part: index.into(), entry })
        .collect();
    for commit in &commits {
        if matches!(commit.entry.kind, EntryKind::File { .. }) {
            dest.write_small(commit.part, b"x", Some(commit.entry)).unwrap();
        }
    }
    dest.commit(&commits, &mut Forgetful);
}

/// The rules once more, as one would say them: plain names and nothing else, within bounds.
fn is_harmless(bytes: &[u8]) -> bool {
    let text: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').collect();
    let as_path = Path::new(OsStr::from_bytes(bytes));
    let plain: Vec<_> = as_path.components().collect();
    plain.iter().all(|component| matches!(component, Component::Normal(_)))
        && plain.len() == text.len()
        && text.len() <= 128
        && bytes.len() <= 4096
        && !bytes.contains(&0)
        && text.iter().all(|name| name.len() <= 255)
        && !text[0].to_ascii_lowercase().starts_with(b".filefleet-partial-")
}

/// A name that tries to be trouble.
fn name(rng: &mut TestRng) -> Vec<u8> {
    let depth = match below(rng, 64) {
        0 => 100 + below(rng, 60),
        _ => 1 + below(rng, 5),
    };
    let mut names = Vec::new();
    for _ in 0..depth {
        names.push(component(rng));
    }
    let mut joined = names.join(&b'/');
    match below(rng, 24) {
        0 => joined.insert(0, b'/'),
        1 => joined.push(b'/'),
        2 => {
            let at = below(rng, joined.len());
            joined.splice(at..at, *b"/../");
        }
        _ => {}
    }
    joined
}

fn component(rng: &mut TestRng) -> Vec<u8> {
    match below(rng, 12) {
        0 => ODD_NAMES[below(rng, ODD_NAMES.len())].to_vec(),
        1 => {
            let mut noise = vec![0; 1 + below(rng, 12)];
            rng.fill_bytes(&mut noise);
            noise
        }
        2 => vec![b'x'; 250 + below(rng, 8)],
        _ => vec![b'a' + u8::try_from(below(rng, 26)).unwrap(); 1 + below(rng, 3)],
    }
}

fn count_files(dir: &Path) -> u64 {
    let mut count = 0;
    for found in fs::read_dir(dir).unwrap() {
        let found = found.unwrap();
        let is_folder = found.file_type().unwrap().is_dir();
        count += if is_folder { count_files(&found.path()) } else { 1 };
    }
    count
}
