//! What a notification says and what its buttons do.
//!
//! A summary holds no text from strangers: names of people are plain by themselves, and desktops differ
//! in what they make of a summary. A body is plain text of several lines, in which what strangers wrote
//! has gone through [`text`]; a desktop that takes markup gets it escaped by its platform.

use std::path::PathBuf;

use filefleet_ctl::proto::{Call, Direction, Offer, RequestView, TransferState, TransferView};
use filefleet_ctl::{format, text};

/// Names of files that a request shows.
const MAX_NAMES: usize = 5;
/// Characters of a name.
const MAX_NAME: usize = 48;
/// Characters of a message.
const MAX_WORDS: usize = 200;
/// Characters of a reason.
const MAX_REASON: usize = 200;

/// One notification.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Note {
    /// One line.
    pub(super) summary: String,
    pub(super) body: String,
    pub(super) buttons: Vec<Button>,
    /// Whether it stays until a person has dealt with it.
    pub(super) stays: bool,
}

/// What can be clicked. The key names the request or transfer, so that a click that reaches the wrong
/// notification means nothing. The one that accepts says how much was shown as well: a click on a note
/// that another is just taking the place of means no more than what stood there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Button {
    pub(super) key: String,
    pub(super) label: &'static str,
    pub(super) click: Click,
}

/// What a click asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Click {
    Call(Call),
    /// Open it with what the desktop has for it.
    Open(PathBuf),
    /// Show these where they lie.
    Show(Vec<PathBuf>),
}

impl Note {
    /// Somebody wants to send something.
    pub(super) fn request(request: &RequestView) -> Self {
        let id = &request.id;
        let amount = format::amount(request.files, request.bytes, request.total_known);
        let offer = request.offer();
        let accept = Call::Accept { id: id.clone(), to: None, always: false, seen: Some(offer) };
        let device = text::brief(&request.device, MAX_NAME);
        let what = request.text.as_deref().map_or_else(|| names(request), words);
        Self {
            summary: format!("{} wants to send {amount}", name(&request.from)),
            body: format!("{what}\n{} at {device}", format::standing(request)),
            buttons: vec![
                Button { key: accept_key(id, offer), label: "Accept", click: Click::Call(accept) },
                Button::new("decline", id, "Decline", {
                    Click::Call(Call::Decline { id: id.clone() })
                }),
            ],
            stays: true,
        }
    }

    /// More requests wait than are shown one by one.
    pub(super) fn more(count: usize) -> Self {
        let (requests, wait) = if count == 1 { ("request", "waits") } else { ("requests", "wait") };
        Self {
            summary: format!("{count} more {requests} {wait} for your answer"),
            body: "The menu of the tray shows them, and \"ffctl requests\".".to_owned(),
            buttons: Vec::new(),
            stays: true,
        }
    }

    /// A transfer has ended; `was_queued` says whether it had waited for the receiver. `None` if that
    /// is no news.
    pub(super) fn end(transfer: &TransferView, was_queued: bool) -> Option<Self> {
        let peer = name(&transfer.peer);
        let amount = format::amount(transfer.files_done, transfer.bytes_done, true);
        let outgoing = transfer.direction == Direction::Outgoing;
        let (summary, buttons) = match (transfer.state, outgoing) {
            (TransferState::Done, false) => (format!("{peer} sent you {amount}"), places(transfer)),
            (TransferState::Done, true) if was_queued => {
                (format!("{peer} has got {amount} that had waited"), Vec::new())
            }
            (TransferState::Failed, true) => {
                let retry = Click::Call(Call::Retry { id: transfer.id.clone() });
                let retry = Button::new("retry", &transfer.id, "Retry", retry);
                (format!("Sending to {peer} failed"), vec![retry])
            }
            (TransferState::Failed, false) => (format!("Receiving from {peer} failed"), Vec::new()),
            (TransferState::Declined, true) => (format!("{peer} declined"), Vec::new()),
            _ => return None,
        };
        let label = || text::brief(&transfer.label, 2 * MAX_NAME);
        let mut body = transfer.text.as_deref().map_or_else(label, words);
        let failed = transfer.state == TransferState::Failed;
        if let Some(error) = transfer.error.as_ref().filter(|_| failed) {
            body += &format!("\n{}", text::brief(&error.message, MAX_REASON));
        }
        Some(Self { summary, body, buttons, stays: false })
    }

    /// What was clicked could not be done.
    pub(super) fn trouble(trouble: &str) -> Self {
        let lines: Vec<_> =
            trouble.lines().take(2).map(|line| text::brief(line, MAX_REASON)).collect();
        Self {
            summary: "FileFleet could not do that".to_owned(),
            body: lines.join("\n"),
            buttons: Vec::new(),
            stays: false,
        }
    }
}

impl Button {
    fn new(kind: &str, id: &str, label: &'static str, click: Click) -> Self {
        Self { key: format!("{kind}:{id}"), label, click }
    }
}

const ACCEPT: &str = "accept:";

fn accept_key(id: &str, Offer { files, bytes, total_known }: Offer) -> String {
    let extent = if total_known { "all" } else { "more" };
    format!("{ACCEPT}{id}:{files}:{bytes}:{extent}")
}

/// Whether a key is that of a button that accepts this request, however much was shown of it.
pub(super) fn accepts(key: &str, id: &str) -> bool {
    let seen = key.strip_prefix(ACCEPT).and_then(|rest| rest.strip_prefix(id));
    seen.is_some_and(|seen| seen.starts_with(':'))
}

fn name(name: &str) -> String {
    text::brief(name, MAX_NAME)
}

/// A few words that were sent as such.
fn words(words: &str) -> String {
    text::quoted(&text::brief(words, MAX_WORDS)).to_string()
}

/// The first names of a request.
fn names(request: &RequestView) -> String {
    let shown = request.names.iter().take(MAX_NAMES).map(|name| text::brief(name, MAX_NAME));
    let mut names = shown.collect::<Vec<_>>().join(", ");
    if request.names.len() > MAX_NAMES {
        names += ", …";
    }
    names
}

/// Where what has arrived can be seen.
fn places(transfer: &TransferView) -> Vec<Button> {
    let paths: Vec<_> = transfer.paths.iter().map(|path| path.as_path().to_owned()).collect();
    let folder = transfer.dest.as_ref().map(|dest| dest.as_path().to_owned());
    let whole = match paths.as_slice() {
        [only] => Some(only.clone()),
        _ => folder,
    };
    let open = whole.map(|whole| Button::new("open", &transfer.id, "Open", Click::Open(whole)));
    let show = (!paths.is_empty())
        .then(|| Button::new("show", &transfer.id, "Show in folder", Click::Show(paths)));
    open.into_iter().chain(show).collect()
}

#[cfg(test)]
mod tests {
    use filefleet_ctl::testing;

    use super::*;

    #[test]
    fn a_request_says_who_what_and_how_well_they_are_known() {
        let names = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec();
        let request = RequestView { names, total_known: true, ..testing::request("1", "bob") };
        let note = Note::request(&request);
        assert_eq!(note.summary, "bob wants to send 2 files, 10 B");
        assert_eq!(note.body, "a, b, c, d, e, …\na stranger at desk");
        let known = RequestView { known: true, verified: true, ..request.clone() };
        assert!(Note::request(&known).body.ends_with("a contact, verified at desk"));
        let text = Some("it is \"4711\"\nbye".to_owned());
        let body = Note::request(&RequestView { text, ..request }).body;
        assert_eq!(body.lines().next(), Some(r#""it is \"4711\"\nbye""#));
    }

    #[test]
    fn what_strangers_write_stays_in_its_line_and_is_cut() {
        let hostile = "x\n\u{202e}\x1b[1m".to_owned();
        let request = RequestView {
            names: vec![hostile.clone(), "y".repeat(10_000)],
            device: hostile,
            ..testing::request("1", "bob")
        };
        let body = Note::request(&request).body;
        assert_eq!(body.lines().count(), 2);
        assert!(body.starts_with(r"x\n\u{202e}\u{1b}[1m, yyy"), "{body}");
        assert!(body.chars().count() < 200, "{body}");
    }
}
