//! What the tests of the file side share: entries, hostile neighbours, full disks.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, XattrFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::dest::{Commit, Committed, DestError, Destination, Forgetful, Part};
use super::entry::{Attributes, Entry, EntryKind, RelPath, Timestamp};

pub(super) const MTIME: Timestamp = Timestamp::new(1_600_000_000, 123_456_789).unwrap();

pub(super) fn path(path: &str) -> RelPath {
    RelPath::decode(path.as_bytes()).unwrap()
}

pub(crate) fn entry(at: &str, kind: EntryKind) -> Entry {
    Entry {
        path: path(at),
        kind,
        mode: 0o640,
        mtime: MTIME,
        is_shared: false,
        has_holes: false,
        attributes: Attributes::default(),
    }
}

pub(super) fn file(at: &str, content: &[u8]) -> Entry {
    entry(at, EntryKind::File { size: content.len() as u64 })
}

pub(super) fn folder(at: &str) -> Entry {
    Entry { mode: 0o750, ..entry(at, EntryKind::Directory) }
}

pub(super) fn symlink(at: &str, target: &str) -> Entry {
    entry(at, EntryKind::Symlink { target: target.into() })
}

/// Writes and commits one file, by itself.
pub(super) fn deliver(
    dest: &Destination,
    part: u64,
    entry: &Entry,
    content: &[u8],
) -> Result<Committed, DestError> {
    dest.write_small(part, content, Some(entry))?;
    commit(dest, part, entry)
}

pub(super) fn commit(
    dest: &Destination,
    part: impl Into<Part>,
    entry: &Entry,
) -> Result<Committed, DestError> {
    let commit = Commit { part: part.into(), entry };
    let mut committed = dest.commit(&[commit], &mut Forgetful);
    assert_eq!(committed.len(), 1);
    committed.remove(0)
}

/// All that lies below `dir`: kind, permission bits, time and content or target by file path.
pub(crate) fn snapshot(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let at = entry.unwrap().path();
            let meta = at.symlink_metadata().unwrap();
            let what = if meta.is_symlink() {
                format!("link {:?}", fs::read_link(&at).unwrap())
            } else if meta.is_dir() {
                folders.push(at.clone());
                format!("folder {:o}", meta.permissions().mode())
            } else {
                let content = blake3::hash(&fs::read(&at).unwrap());
                format!("file {:o} {content}", meta.permissions().mode())
            };
            let time = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
            found.insert(at.strip_prefix(dir).unwrap().to_path_buf(), format!("{what} {time}"));
        }
    }
    found
}

/// The names in `dir`, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A folder in memory if the machine has one, for tests that do more than a disk takes quickly.
pub(crate) fn fast_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Says that a test cannot run here; fails it where none may be skipped.
pub(super) fn skip(needed: &str) {
    eprintln!("skipped: needs {needed}");
    let may_skip = std::env::var_os("FILEFLEET_TEST_NO_SKIP").is_none();
    assert!(may_skip, "skipped: needs {needed}");
}

/// Whether the file system of `file` keeps attributes of the user; says so where it does not.
pub(super) fn keeps_attributes(file: &fs::File) -> bool {
    let probed = rustix::fs::fsetxattr(file, "user.probe", b"", XattrFlags::CREATE);
    if probed == Err(Errno::OPNOTSUPP) {
        skip("a file system with user attributes (on tmpfs: Linux 6.6)");
        return false;
    }
    rustix::fs::fremovexattr(file, "user.probe").unwrap();
    true
}

/// A small tmpfs, gone when dropped.
#[derive(Debug)]
pub(super) struct Tmpfs(pub(super) tempfile::TempDir);

impl Tmpfs {
    /// `None`, with the word for it that CI takes for a failure, where this user may not mount.
    pub(super) fn mount(flags: MountFlags, options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = CString::new(options).unwrap();
        match rustix::mount::mount("tmpfs", dir.path(), "tmpfs", flags, options.as_c_str()) {
            Err(Errno::PERM | Errno::ACCESS) => {
                skip("root, to mount a small tmpfs");
                None
            }
            mounted => {
                mounted.unwrap();
                Some(Self(dir))
            }
        }
    }
}

impl Tmpfs {
    /// Changes its flags and options.
    pub(super) fn remount(&self, flags: MountFlags, options: &str) {
        let options = CString::new(options).unwrap();
        rustix::mount::mount_remount(self.0.path(), flags, options.as_c_str()).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0.path(), UnmountFlags::DETACH).unwrap();
    }
}

/// A small file system of another kind, gone when dropped.
#[derive(Debug)]
pub(super) struct Mounted(pub(super) tempfile::TempDir);

impl Mounted {
    /// One that has neither holes nor extended attributes.
    pub(super) fn ramfs() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        match rustix::mount::mount("ramfs", dir.path(), "ramfs", MountFlags::empty(), None) {
            Err(Errno::PERM | Errno::ACCESS) => {
                skip("root, to mount ramfs");
                None
            }
            mounted => {
                mounted.unwrap();
                Some(Self(dir))
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0.path(), UnmountFlags::DETACH).unwrap();
    }
}

/// Makes this thread, and no other, subject to file permissions, even if the user is root.
pub(super) fn obey_permissions() {
    let mut sets = capabilities(None).unwrap();
    sets.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    set_capabilities(None, sets).unwrap();
}

/// Runs `work` while a thread swaps `folder` with `decoy`, back and forth, as fast as it can.
/// The swaps are atomic: each name always stands for one of the two.
pub(super) fn while_swapping<T>(folder: &Path, decoy: &Path, work: impl FnOnce() -> T) -> T {
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) || swaps.load(Ordering::Relaxed) % 2 == 1 {
                let swap = RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(CWD, folder, CWD, decoy, swap).unwrap();
                swaps.fetch_add(1, Ordering::Release);
            }
        });
        while swaps.load(Ordering::Acquire) < 2 {
            std::thread::yield_now();
        }
        let stop = StopOnDrop(&stop);
        let result = work();
        drop(stop);
        result
    })
}

/// Stops a neighbour even if the work panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A name of `length` bytes that ends in `ending`.
pub(super) fn long_name(length: usize, ending: &str) -> String {
    format!("{}{ending}", "x".repeat(length - ending.len()))
}

/// The bytes of a path's last name.
pub(super) fn name_of(path: &Path) -> &[u8] {
    path.file_name().unwrap().as_bytes()
}
