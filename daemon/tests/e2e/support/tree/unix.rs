//! What file systems of Unix can hold beyond files and folders.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

pub(super) const FOLDERS_KEEP_TIMES: bool = true;
/// In bytes of an ASCII name.
pub(super) const LONGEST_NAME: usize = 255;

/// Symbolic links, and permissions of what lies there.
pub(super) fn make_odd_things(dir: &Path) {
    symlink("script.sh", dir.join("link")).unwrap();
    symlink("../no where", dir.join("dangling")).unwrap();
    symlink("deep", dir.join("link to a folder")).unwrap();
    for (name, mode) in [("script.sh", 0o755), ("secret", 0o400), ("large", 0o640), ("deep", 0o700)]
    {
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Names that no other system has.
pub(super) fn odd_names() -> impl Iterator<Item = &'static Path> {
    let names: [&[u8]; 7] =
        [b" a b ", b"\"quoted\"", b"two\nlines\t", b"back\\slash", b"...", b"CON", b"\x1b[31mred"];
    // macOS refuses it.
    let not_unicode = cfg!(target_os = "linux").then_some(&b"not \xff\xfe unicode \xc3"[..]);
    names.into_iter().chain(not_unicode).map(|name| Path::new(OsStr::from_bytes(name)))
}

/// Of a symbolic link, too; the time is one since the epoch.
pub(super) fn set_modified(file_path: &Path, time: Duration) {
    let time = Timespec::try_from(time).unwrap();
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, file_path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub(super) fn mode(metadata: &Metadata) -> Option<u32> {
    (!metadata.is_symlink()).then(|| metadata.permissions().mode() & 0o7777)
}
