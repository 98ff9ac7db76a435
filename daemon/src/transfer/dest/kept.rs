//! What a file system did not keep of what an entry was to be.

use std::time::Duration;

use crate::transfer::entry::{Entry, EntryKind, Timestamp};
use crate::transfer::folder::{FileId, Stat, keeps_mode};
use crate::transfer::loss::{LossKind, Lost};

/// Times that are closer are alike: NTFS counts in tenths of a microsecond.
const NO_MATTER: Duration = Duration::from_micros(1);

/// Something that waits for its name.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// What it is, where the system says so.
    pub(super) id: Option<FileId>,
    pub(super) lost: Vec<Lost>,
}

impl Staged {
    /// What `stat` shows of `entry`.
    pub(super) fn new(stat: &Stat, entry: &Entry) -> Self {
        Self { id: stat.id, lost: lost(stat, entry) }
    }
}

/// What is not as the entry says, of its permission bits and time.
pub(super) fn lost(stat: &Stat, entry: &Entry) -> Vec<Lost> {
    let mut lost = Vec::new();
    let is_link = matches!(entry.kind, EntryKind::Symlink { .. });
    if !is_link && !keeps_mode(stat, entry.mode) {
        let detail = format!("{:03o} became {:03o}", entry.mode & 0o777, stat.mode);
        lost.push(Lost::new(LossKind::Permissions, detail));
    }
    let off = difference(stat.mtime, entry.mtime);
    if off >= NO_MATTER {
        lost.push(Lost::new(LossKind::Time, format!("off by {off:?}")));
    }
    lost
}

/// How far two times lie apart.
fn difference(found: Timestamp, wanted: Timestamp) -> Duration {
    let (early, late) = if found < wanted { (found, wanted) } else { (wanted, found) };
    let nanos = |time: Timestamp| Duration::from_nanos(time.nanos().into());
    let secs = Duration::from_secs(early.secs().abs_diff(late.secs()));
    secs.saturating_add(nanos(late)).saturating_sub(nanos(early))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::transfer::folder::Kind;
    use crate::transfer::testing::{MTIME, file, symlink};

    fn stat(mode: u32, mtime: Timestamp) -> Stat {
        Stat {
            kind: Kind::File,
            id: None,
            size: 0,
            mode,
            has_special_bits: false,
            mtime,
            ctime: mtime,
            links: 1,
            allocated: None,
        }
    }

    #[test]
    fn what_differs_is_told() {
        let earlier = Timestamp::new(MTIME.secs() - 1, 900_000_000).unwrap();
        let of_ntfs = Timestamp::new(MTIME.secs(), MTIME.nanos() / 100 * 100).unwrap();
        assert_eq!(lost(&stat(0o640, MTIME), &file("a", b"")), []);
        assert_eq!(lost(&stat(0o640, of_ntfs), &file("a", b"")), []);
        assert_eq!(
            lost(&stat(0o755, earlier), &file("a", b"")),
            [
                Lost::new(LossKind::Permissions, "640 became 755"),
                Lost::new(LossKind::Time, "off by 223.456789ms"),
            ]
        );
        assert_eq!(lost(&stat(0o777, MTIME), &symlink("a", "b")), [], "links have none");
    }

    #[test]
    fn times_that_are_far_apart_are_no_matter() {
        let [first, last] =
            [i64::MIN, i64::MAX].map(|secs| Timestamp::new(secs, 999_999_999).unwrap());
        assert_eq!(difference(first, last), Duration::from_secs(u64::MAX));
        let earlier = Timestamp::new(i64::MAX, 0).unwrap();
        assert_eq!(difference(last, earlier), Duration::from_nanos(999_999_999));
    }
}
