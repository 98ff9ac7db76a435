//! Counts what is going to be sent, beside the sending: the request says "at least" until this is
//! through. It also answers the receiver's questions for pages of the manifest.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::transfer::entry::{Entry, EntryKind};
use crate::transfer::proto::{
    MAX_PREVIEW, MAX_PREVIEW_BYTES, Message, Preview, PreviewKind, Totals,
};
use crate::transfer::source::{Source, Walk};

/// How long a request is held back for the count to end: too short for a person to notice.
const FIRST_REPORT: Duration = Duration::from_millis(30);

/// What the count found so far.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) totals: Totals,
    /// The first entries; empty in all reports but the first.
    pub(crate) preview: Vec<Preview>,
}

/// Counts what `walk` finds: one report after [`FIRST_REPORT`] or at the end, and the exact totals at
/// the end. Runs on a blocking thread; ends early when nobody listens.
pub(crate) fn count(walk: Walk, reports: mpsc::Sender<Report>) {
    let started = Instant::now();
    let mut totals = Totals::default();
    let mut preview = Previews::default();
    let mut reported = false;
    for item in walk {
        if let Ok(entry) = item {
            if let EntryKind::File { size } = entry.kind {
                totals.files += 1;
                totals.bytes = totals.bytes.saturating_add(size);
            }
            preview.offer(entry);
        }
        if !reported && started.elapsed() > FIRST_REPORT {
            reported = true;
            let report = Report { totals, preview: std::mem::take(&mut preview).entries };
            if reports.blocking_send(report).is_err() {
                return;
            }
        }
    }
    totals.exact = true;
    // Nobody may be listening any more; then the count does not matter.
    let _ = reports.blocking_send(Report { totals, preview: preview.entries });
}

/// One page of the manifest, found by walking again: pages are asked for by people, rarely.
pub(crate) fn page(source: &Source, offset: u64, limit: u16) -> Message {
    let mut page = Previews::default();
    let mut last = true;
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    for entry in source.walk().filter_map(Result::ok).skip(skip) {
        if page.entries.len() >= usize::from(limit) || !page.offer(entry) {
            last = false;
            break;
        }
    }
    Message::Page { offset, last, entries: page.entries }
}

/// Previews within the bounds of one message.
#[derive(Default)]
struct Previews {
    entries: Vec<Preview>,
    bytes: usize,
}

impl Previews {
    /// Adds an entry; false when there is no room for it.
    fn offer(&mut self, entry: Entry) -> bool {
        let (kind, size) = match entry.kind {
            EntryKind::File { size } => (PreviewKind::File, size),
            EntryKind::HardLink { .. } => (PreviewKind::File, 0),
            EntryKind::Directory => (PreviewKind::Directory, 0),
            EntryKind::Symlink { .. } => (PreviewKind::Symlink, 0),
        };
        let bytes = self.bytes + entry.path.as_bytes().len() + 11;
        if self.entries.len() >= usize::from(MAX_PREVIEW) || bytes > MAX_PREVIEW_BYTES {
            return false;
        }
        self.bytes = bytes;
        self.entries.push(Preview { path: entry.path, kind, size });
        true
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    fn tree(files: usize) -> (tempfile::TempDir, Source) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("t");
        fs::create_dir(&top).unwrap();
        (0..files).for_each(|n| fs::write(top.join(format!("{n:0200}")), b"abc").unwrap());
        let source = Source::new(&[top]).unwrap();
        (dir, source)
    }

    #[test]
    fn the_last_report_is_exact_and_only_the_first_has_a_preview() {
        let (_dir, source) = tree(5);
        let (send, mut reports) = mpsc::channel(2);
        count(source.walk(), send);
        let reports: Vec<_> = std::iter::from_fn(|| reports.try_recv().ok()).collect();
        let last = reports.last().unwrap();
        assert_eq!(last.totals, Totals { files: 5, bytes: 15, exact: true });
        let previewed: usize = reports.iter().map(|report| report.preview.len()).sum();
        assert!(reports.len() == 2 || previewed == 6, "{reports:?}");
    }

    #[test]
    fn pages_follow_each_other_to_the_last_one_and_fit_a_message() {
        let (_dir, source) = tree(400);
        let mut seen = Vec::new();
        loop {
            let offset = seen.len() as u64;
            let Message::Page { offset: at, last, entries } = page(&source, offset, 1_000) else {
                panic!("no page");
            };
            assert!(at == offset && !entries.is_empty());
            let bytes: usize = entries.iter().map(|entry| entry.path.as_bytes().len()).sum();
            assert!(bytes <= MAX_PREVIEW_BYTES);
            seen.extend(entries);
            if last {
                break;
            }
        }
        assert_eq!(seen.len(), 401);
        let Message::Page { last, entries, .. } = page(&source, 9_999, 10) else {
            panic!("no page");
        };
        assert!(last && entries.is_empty());
    }
}
