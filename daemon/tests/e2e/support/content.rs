//! Folders for a test's time, and files with content.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::ops::Deref;
use std::path::Path;

use tempfile::TempDir;

/// A folder that goes with the test.
#[derive(Debug)]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// A folder in memory, where no writer ever waits for a disk.
    #[cfg(target_os = "linux")]
    pub(crate) fn in_memory() -> Self {
        Self::within(Path::new("/dev/shm"))
    }

    fn within(dir: &Path) -> Self {
        Self(tempfile::Builder::new().prefix("ff-e2e-").tempdir_in(dir).unwrap())
    }
}

impl Deref for Scratch {
    type Target = TempDir;

    fn deref(&self) -> &TempDir {
        &self.0
    }
}

/// Writes `len` bytes that no compression and no hole makes shorter; other bytes for other names.
pub(crate) fn write_random(file_path: &Path, len: u64) {
    let mut stream =
        blake3::Hasher::new().update(file_path.as_os_str().as_encoded_bytes()).finalize_xof();
    let mut file = File::create_new(file_path).unwrap();
    let mut rest = len;
    let mut buffer = vec![0; 1 << 20];
    while rest > 0 {
        let part = rest.min(1 << 20);
        let part = &mut buffer[..usize::try_from(part).unwrap()];
        stream.fill(part);
        file.write_all(part).unwrap();
        rest -= u64::try_from(part.len()).unwrap();
    }
}

/// Makes a file of `len` bytes that costs nearly nothing but must be sent like any other: zeros but for
/// one byte in each block.
pub(crate) fn write_zeros(file_path: &Path, len: u64) {
    let mut file = File::create_new(file_path).unwrap();
    file.set_len(len).unwrap();
    for block in (0..len).step_by(1 << 20) {
        file.seek(SeekFrom::Start(block)).unwrap();
        file.write_all(b"1").unwrap();
    }
}

/// The BLAKE3 of a file's content.
#[track_caller]
pub(crate) fn hash_of(file_path: &Path) -> blake3::Hash {
    let file = fs::File::open(file_path).unwrap_or_else(|error| panic!("{file_path:?}: {error}"));
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).unwrap();
    hasher.finalize()
}
