//! What clients are shown of the daemon's state.

use std::path::PathBuf;

use filefleet_ctl::proto::{
    Direction, EntryKind, EntryView, FileFailure, LinkKind, StatusView, SurveyView, TransferState,
    TransferView, WirePath,
};
use filefleet_server::client::State as Registration;
use filefleet_server::protos::address::ServerAddress;
use filefleet_server::protos::certificate::IdentityKey;
use filefleet_server::protos::name::Name;

use super::{error, link};
use crate::connect::obstacle::Obstacle;
use crate::transfer::TransferId;
use crate::transfer::progress::{Progress, State, add_arrived};
use crate::transfer::proto::{Preview, PreviewKind, Totals};
use crate::transfer::source::Tally;

/// Top-level names that a label or a request shows.
const MAX_NAMES: usize = 10;
/// Top-level names in a label.
const LABEL_NAMES: usize = 2;

/// What a status is made of.
pub(crate) struct StatusParts {
    pub(crate) name: Option<Name>,
    pub(crate) identity: IdentityKey,
    pub(crate) device: String,
    pub(crate) server: Option<ServerAddress>,
    pub(crate) state: Option<Registration>,
    pub(crate) transfers: Vec<TransferView>,
    pub(crate) requests: u64,
    pub(crate) received_dir: PathBuf,
    pub(crate) lan_discovery: bool,
    pub(crate) warnings: Vec<String>,
}

pub(crate) fn status(parts: StatusParts) -> StatusView {
    let state = parts.state.unwrap_or_default();
    StatusView {
        name: parts.name.map(|name| name.to_string()),
        identity: parts.identity.fingerprint(),
        device: parts.device,
        server: parts.server.map(|server| server.to_string()),
        registered: state.registered,
        registration_error: state.last_error.as_ref().map(|error| crate::error::chain(error)),
        transfers: parts.transfers,
        requests: parts.requests,
        received_dir: WirePath::from(parts.received_dir),
        lan_discovery: parts.lan_discovery,
        warnings: parts.warnings,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
    }
}

/// The first of what is sent, as a transfer's view shows them.
pub(crate) fn first_paths(paths: &[WirePath]) -> Vec<WirePath> {
    paths.iter().take(MAX_NAMES).cloned().collect()
}

/// What would be sent.
pub(crate) fn survey(tally: Tally) -> SurveyView {
    let skip = |(file_path, message): (PathBuf, String)| FileFailure {
        path: file_path.to_string_lossy().into_owned(),
        message,
    };
    SurveyView {
        files: tally.files,
        bytes: tally.bytes,
        folders: tally.folders,
        links: tally.links,
        excluded: tally.excluded,
        excluded_paths: tally.excluded_paths.into_iter().map(WirePath::from).collect(),
        skipped: tally.skipped,
        skips: tally.skips.into_iter().map(skip).collect(),
    }
}

/// A transfer that starts now.
pub(crate) fn new_transfer(
    id: TransferId,
    direction: Direction,
    peer: String,
    label: String,
    started_at: u64,
) -> TransferView {
    TransferView {
        id: id.to_string(),
        direction,
        peer,
        state: TransferState::Queued,
        label,
        text: None,
        files: 0,
        files_done: 0,
        bytes: 0,
        bytes_done: 0,
        files_there: 0,
        bytes_there: 0,
        files_replaced: 0,
        files_beside: 0,
        sent_bytes: 0,
        received_bytes: 0,
        total_known: false,
        update: false,
        limit: None,
        rate: 0,
        link: None,
        links: std::collections::BTreeMap::new(),
        seconds: 0.0,
        started_at,
        detail: None,
        why_relayed: None,
        error: None,
        reason: None,
        next_try: None,
        failures: Vec::new(),
        failures_more: 0,
        losses: Vec::new(),
        dest: None,
        paths: Vec::new(),
    }
}

/// What earlier runs of a transfer count for in its view.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before {
    seconds: f64,
    links: std::collections::BTreeMap<LinkKind, u64>,
    sent_bytes: u64,
    received_bytes: u64,
    files_replaced: u64,
    files_beside: u64,
}

impl Before {
    /// Everything that a view shows at the end of a run.
    pub(crate) fn of(view: &TransferView) -> Self {
        let (seconds, links) = (view.seconds, view.links.clone());
        let (sent_bytes, received_bytes) = (view.sent_bytes, view.received_bytes);
        let (files_replaced, files_beside) = (view.files_replaced, view.files_beside);
        Self { seconds, links, sent_bytes, received_bytes, files_replaced, files_beside }
    }
}

/// Brings a transfer's view up to date. `resting` is its state while nothing is going on.
pub(crate) fn update(
    view: &mut TransferView,
    progress: &Progress,
    before: &Before,
    resting: TransferState,
) {
    let totals = progress.totals;
    view.state = state(progress.state).unwrap_or(resting);
    // A run that has not counted yet knows less than the one before.
    if totals != Default::default() {
        view.files = totals.files;
        view.bytes = totals.bytes;
        view.total_known = totals.exact;
    }
    view.files_done = progress.files_done;
    view.bytes_done = progress.bytes_done;
    (view.files_there, view.bytes_there) = (progress.files_there, progress.bytes_there);
    view.sent_bytes = before.sent_bytes + progress.sent_bytes;
    view.files_replaced = before.files_replaced + progress.files_replaced;
    view.files_beside = before.files_beside + progress.files_beside;
    view.received_bytes = before.received_bytes + progress.received_bytes;
    view.files = view.files.max(view.files_done);
    view.bytes = view.bytes.max(view.bytes_done);
    view.rate = if progress.state.is_over() { 0 } else { progress.rate };
    view.seconds = before.seconds + progress.active.as_secs_f64();
    view.links = before.links.clone();
    for (kind, bytes) in [
        (LinkKind::Lan, progress.links.lan),
        (LinkKind::Direct, progress.links.direct),
        (LinkKind::Relayed, progress.links.relayed),
    ] {
        if bytes > 0 {
            *view.links.entry(kind).or_default() += bytes;
        }
    }
    let shown = if progress.state.is_final() { progress.links.most() } else { progress.link };
    view.link = shown.or(progress.link).map(link::kind);
    let is_relayed = view.link == Some(LinkKind::Relayed) && !progress.state.is_over();
    let obstacle = progress.obstacle.filter(|_| is_relayed).map(|obstacle| match obstacle {
        // It has been accepted, and the peer is about to say where it is.
        Obstacle::NotAcceptedYet if progress.state == State::Active => Obstacle::Searching,
        obstacle => obstacle,
    });
    view.why_relayed = obstacle.map(|obstacle| link::why_relayed(&view.peer, obstacle));
    view.detail = progress.detail.clone().filter(|_| !progress.state.is_over());
    if !matches!(progress.state, State::Queued | State::Interrupted | State::Paused) {
        (view.reason, view.next_try) = (None, None);
    }
    let fault = progress.fault.as_ref().filter(|_| progress.state.is_final());
    view.error = fault.map(|fault| error::of_fault(&view.peer, fault));
    let failure = |fault: &crate::transfer::progress::FileFault| FileFailure {
        path: fault.path.clone(),
        message: match fault.text.as_str() {
            "" => fault.reason.to_string(),
            text => format!("{} ({text})", fault.reason),
        },
    };
    // A run that has not come so far knows less than the one before.
    if !progress.losses.is_empty() {
        view.losses = progress.losses.views();
    }
    view.failures = progress.file_faults.iter().map(failure).collect();
    view.failures_more = progress.failed_files.saturating_sub(view.failures.len() as u64);
    // What arrived before a restart is in the view alone.
    add_arrived(&mut view.paths, progress.arrived.iter().cloned().map(WirePath::from));
}

/// Transfers as a list shows them: briefly, and once that has taken `room` bytes as JSON, without
/// whatever else other people may have said.
pub(crate) fn list(views: Vec<TransferView>, room: usize) -> Vec<TransferView> {
    let mut left = room;
    let fit = |view: TransferView| {
        let view = view.brief();
        let len = serde_json::to_vec(&view).map_or(usize::MAX, |json| json.len());
        match left.checked_sub(len) {
            Some(rest) => {
                left = rest;
                view
            }
            // Whatever comes behind it is bare, too.
            None => {
                left = 0;
                view.bare()
            }
        }
    };
    views.into_iter().map(fit).collect()
}

/// Bytes of names and texts in a view.
pub(crate) fn weight(view: &TransferView) -> usize {
    let text = view.text.as_ref().map_or(0, String::len);
    let failures = view.failures.iter().map(|failure| failure.path.len() + failure.message.len());
    let losses = view.losses.iter().flat_map(|loss| &loss.examples);
    let losses = losses.map(|example| example.path.len() + example.detail.len());
    let paths = view.paths.iter().map(|path| path.as_path().as_os_str().len());
    text + view.label.len() + failures.chain(losses).chain(paths).sum::<usize>()
}

/// The state as it is shown; `None` while nothing is going on, yet or for the moment.
fn state(state: State) -> Option<TransferState> {
    Some(match state {
        State::Queued | State::Interrupted => return None,
        State::Waiting => TransferState::Waiting,
        State::Active => TransferState::Active,
        State::Paused => TransferState::Paused,
        State::Done => TransferState::Done,
        State::Failed => TransferState::Failed,
        State::Declined => TransferState::Declined,
        State::Cancelled => TransferState::Cancelled,
    })
}

/// One entry of a manifest.
pub(crate) fn entry(preview: &Preview) -> EntryView {
    EntryView {
        path: preview.path.to_string(),
        kind: match preview.kind {
            PreviewKind::File => EntryKind::File,
            PreviewKind::Directory => EntryKind::Dir,
            PreviewKind::Symlink => EntryKind::Symlink,
        },
        size: preview.size,
    }
}

/// The first top-level names of a request.
pub(crate) fn names_of_preview(preview: &[Preview]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in preview {
        let top = entry.path.components().next().unwrap_or_default();
        let top = String::from_utf8_lossy(top).into_owned();
        if names.last() != Some(&top) && names.len() < MAX_NAMES {
            names.push(top);
        }
    }
    names
}

/// The names at the top of a transfer, as they were sent, if its preview shows all that there is.
pub(crate) fn tops_of_preview(preview: &[Preview], totals: Totals) -> Option<Vec<Vec<u8>>> {
    let files = preview.iter().filter(|entry| entry.kind == PreviewKind::File).count();
    let is_whole = totals.exact && totals.files == files as u64;
    let mut tops: Vec<_> = preview.iter().map(|entry| entry.path.top().to_vec()).collect();
    tops.dedup();
    is_whole.then_some(tops)
}

pub(crate) fn label_of_preview(preview: &[Preview]) -> String {
    label_of_names(&names_of_preview(preview))
}

pub(crate) fn label_of_sources(sources: &[PathBuf]) -> String {
    let name = |source: &PathBuf| {
        source.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    label_of_names(&sources.iter().map(name).collect::<Vec<_>>())
}

/// The first names, and how many more there are.
pub(crate) fn label_of_names(names: &[String]) -> String {
    let shown = names.iter().take(LABEL_NAMES).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LABEL_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use filefleet_ctl::proto::RelayedCode;

    use super::*;
    use crate::peer;
    use crate::transfer::Reason;
    use crate::transfer::progress::{Cause, Fault};

    fn view() -> TransferView {
        new_transfer(TransferId([1; 16]), Direction::Outgoing, "bob".to_owned(), "f".to_owned(), 7)
    }

    fn updated(view: &mut TransferView, progress: &Progress) {
        update(view, progress, &Before::default(), TransferState::Queued);
    }

    #[test]
    fn a_run_counts_on_from_the_runs_before_and_keeps_their_totals_until_it_has_its_own() {
        let mut view = view();
        (view.files, view.bytes, view.total_known, view.seconds) = (7, 70, true, 1.5);
        view.links = [(LinkKind::Lan, 5)].into();
        let before = Before::of(&view);
        let mut progress = Progress { state: State::Interrupted, ..Progress::default() };
        progress.links.add(peer::LinkKind::Lan, 3);
        progress.links.add(peer::LinkKind::Relayed, 1);
        progress.active = std::time::Duration::from_secs(2);
        for _ in 0..2 {
            update(&mut view, &progress, &before, TransferState::Paused);
        }
        assert_eq!((view.files, view.bytes, view.total_known, view.seconds), (7, 70, true, 3.5));
        assert_eq!(view.links, [(LinkKind::Lan, 8), (LinkKind::Relayed, 1)].into());
        assert_eq!((view.state, view.error), (TransferState::Paused, None));
    }

    fn preview(path: &[u8]) -> Preview {
        let path = crate::transfer::entry::RelPath::decode(path).unwrap();
        Preview { path, kind: PreviewKind::File, size: 3 }
    }

    #[test]
    fn an_ended_transfer_shows_the_link_that_carried_most_and_no_detail() {
        let mut progress = Progress {
            state: State::Active,
            link: Some(peer::LinkKind::Direct),
            detail: Some("looking".to_owned()),
            ..Progress::default()
        };
        progress.links.add(peer::LinkKind::Relayed, 10);
        let mut view = view();
        updated(&mut view, &progress);
        assert_eq!((view.link, view.detail.is_some()), (Some(LinkKind::Direct), true));
        assert_eq!(view.links, [(LinkKind::Relayed, 10)].into());
        progress.state = State::Done;
        updated(&mut view, &progress);
        assert_eq!((view.link, view.detail), (Some(LinkKind::Relayed), None));
    }

    #[test]
    fn a_relayed_transfer_says_why_until_it_ends() {
        let mut progress = Progress {
            state: State::Active,
            link: Some(peer::LinkKind::Relayed),
            obstacle: Some(Obstacle::NotAcceptedYet),
            ..Progress::default()
        };
        let mut view = view();
        let mut code = |progress: &Progress| {
            updated(&mut view, progress);
            view.why_relayed.as_ref().map(|why| why.code)
        };
        assert_eq!(code(&progress), Some(RelayedCode::Searching), "it has been accepted");
        progress.link = Some(peer::LinkKind::Direct);
        assert_eq!(code(&progress), None);
        progress.link = Some(peer::LinkKind::Relayed);
        progress.state = State::Waiting;
        assert_eq!(code(&progress), Some(RelayedCode::NotAcceptedYet));
        progress.state = State::Interrupted;
        assert_eq!(code(&progress), None);
    }

    #[test]
    fn never_more_is_done_than_there_is() {
        let mut view = view();
        updated(&mut view, &Progress { files_done: 2, bytes_done: 9, ..Progress::default() });
        assert_eq!((view.files, view.bytes, view.total_known), (2, 9, false));
    }

    #[test]
    fn a_fault_becomes_an_error_and_file_faults_say_why() {
        let fault = Fault::new(Cause::SomeFilesFailed, "2 of the files could not be sent");
        let mut progress =
            Progress { state: State::Failed, fault: Some(fault), ..Progress::default() };
        progress.file_failed("a".to_owned(), Reason::Io, String::new());
        progress.file_failed("b".to_owned(), Reason::Io, "why".to_owned());
        let mut view = view();
        updated(&mut view, &progress);
        assert_eq!(view.error.unwrap().message, "2 of the files could not be sent");
        let messages: Vec<_> =
            view.failures.iter().map(|failure| failure.message.as_str()).collect();
        assert_eq!(messages, [Reason::Io.to_string(), format!("{} (why)", Reason::Io)]);
    }

    #[test]
    fn a_list_has_room_for_every_transfer_and_for_the_details_of_the_first() {
        let path = "\u{1}".repeat(512);
        let failure = FileFailure { path: path.clone(), message: path };
        let loud = TransferView { failures: vec![failure; 100], ..view() };
        let listed = list(vec![loud; 1_000], 1 << 20);
        let len = |view: &TransferView| serde_json::to_string(view).unwrap().len();
        assert!(listed.iter().map(len).sum::<usize>() < 2 << 20);
        assert!(listed.iter().all(|it| it.failures.len() as u64 + it.failures_more == 100));
        assert_eq!((listed[0].failures.len(), listed[999].failures.len()), (3, 0));
    }

    #[test]
    fn labels_name_the_first_and_count_the_rest() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(label_of_names(&[]), "");
        assert_eq!(label_of_names(&names(&["a", "b"])), "a, b");
        assert_eq!(label_of_names(&names(&["a", "b", "c"])), "a, b and 1 more");
        assert_eq!(label_of_sources(&["/x/a".into(), "/".into()]), "a, ");
        let tree = [preview(b"d"), preview(b"d/e"), preview(b"d/f"), preview(b"g")];
        assert_eq!(names_of_preview(&tree), ["d", "g"]);
        #[cfg(unix)] // names of Windows are Unicode
        assert_eq!(names_of_preview(&[preview(b"\xff")]), ["\u{fffd}"]);
        let many: Vec<_> = (0..50_u8).map(|n| preview(n.to_string().as_bytes())).collect();
        assert_eq!(names_of_preview(&many).len(), MAX_NAMES);
    }
}
