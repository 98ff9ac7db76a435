//! What of a folder travels between computers with Windows: no symbolic links, which take a
//! privilege to make, no permission bits, and no times of folders.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::{Duration, SystemTime};

pub(super) const FOLDERS_KEEP_TIMES: bool = false;
/// Paths as a whole have 260 characters, unless the system was told otherwise.
pub(super) const LONGEST_NAME: usize = 100;

pub(super) fn make_odd_things(_dir: &Path) {}

pub(super) fn odd_names() -> impl Iterator<Item = &'static Path> {
    std::iter::empty()
}

/// Of files; folders keep the time at which they were made.
pub(super) fn set_modified(file_path: &Path, time: Duration) {
    if file_path.is_file() {
        let file = fs::File::options().write(true).open(file_path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + time).unwrap();
    }
}

pub(super) fn mode(_metadata: &Metadata) -> Option<u32> {
    None
}
