//! What there is to show, and what is on the screen. It knows no desktop and no clock: a platform asks
//! for the [`next`](Board::next) change, makes it, and says what came of it and what was clicked.
//!
//! Everything is bounded, whatever peers do: notes of requests by the policy's bound of waiting
//! requests, ends of transfers by [`MAX_ENDS`], and how often new ones appear by the [`Budget`].

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use filefleet_ctl::proto::{
    Direction, Event, RequestView, Setting, StateView, TransferState, TransferView,
};

use super::budget::Budget;
use super::note::{Click, Note, accepts};

/// The setting that says what is shown.
const SETTING: &str = "notifications";
/// Ends of transfers that are shown at one time; the oldest goes first.
const MAX_ENDS: usize = 16;
/// Requests that are shown one by one when the daemon starts and they have waited already.
const MAX_AT_START: usize = 3;
/// The least time between two changes of one note: whoever sends may say how much as often as they
/// like.
const PACE: Duration = Duration::from_secs(1);
/// How long a desktop that could not show a note is left alone at first, and at most: whoever has none
/// is not woken for it, and one that comes late makes itself known.
const FIRST_RETRY: Duration = Duration::from_secs(30);
const LAST_RETRY: Duration = Duration::from_secs(3600);
/// Signals about a note that may come before its handle is known.
const MAX_EARLY: usize = 64;

/// What a note is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Topic {
    /// A request, by id.
    Request(String),
    /// All the requests without a note of their own.
    More,
    /// The end of a transfer, by id.
    End(String),
    Trouble,
}

impl Topic {
    /// Whether it is about something that waits for an answer, not something that has happened.
    fn waits(&self) -> bool {
        matches!(self, Self::Request(_) | Self::More)
    }
}

/// A note on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handle {
    /// Who shows it: another instance of the same program counts anew.
    pub(super) server: String,
    pub(super) id: u32,
}

/// What is to be done on the screen.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// Show this, in the place of another.
    Show { topic: Topic, note: Note, replaces: Option<Handle> },
    /// Take this away.
    Close(Handle),
}

#[derive(Debug)]
struct Entry {
    topic: Topic,
    note: Note,
    shown: Option<Handle>,
    /// Whether it is to be shown (again).
    pending: bool,
    /// Whether a person has closed it.
    dismissed: bool,
    /// Whether its button was clicked and what came of it is not known.
    answered: bool,
    not_before: Option<Instant>,
}

/// What the user wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Scope {
    #[default]
    All,
    Requests,
    Off,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Board {
    scope: Scope,
    /// In the order in which they came.
    entries: Vec<Entry>,
    /// On the screen, and not wanted any more.
    closing: Vec<Handle>,
    /// The transfers that have not ended, and whether they have waited for their receiver.
    open: HashMap<String, bool>,
    /// Requests without a note of their own.
    more: BTreeSet<String>,
    budget: Budget,
    /// Until when nothing is shown, since the desktop could not show the last note. Another note, or
    /// another desktop, ends it at once.
    stalled_until: Option<Instant>,
    /// How often in a row it could not.
    failures: u32,
    /// Whether a note is just being shown, whose handle comes with the desktop's answer.
    showing: bool,
    /// What was said meanwhile about handles that are not known: the key of a click, or that it closed.
    early: Vec<(Handle, Option<String>)>,
}

impl Board {
    /// Takes in what happened. Whether there is something to do on the screen.
    pub(super) fn learn(&mut self, event: &Event, now: Instant) -> bool {
        match event {
            Event::State(state) => self.begin(state, now),
            Event::Request(request) => self.put_request(request, now),
            Event::RequestGone { id } => self.drop_request(id, now),
            Event::Transfer(transfer) => self.put_transfer(transfer, now),
            Event::Setting(setting) => self.set(setting),
            _ => false,
        }
    }

    fn begin(&mut self, state: &StateView, now: Instant) -> bool {
        for setting in &state.settings {
            self.set(setting);
        }
        for transfer in &state.transfers {
            self.put_transfer(transfer, now);
        }
        for (index, request) in state.requests.iter().enumerate() {
            if index < MAX_AT_START {
                self.put_request(request, now);
            } else {
                self.more.insert(request.id.clone());
            }
        }
        self.put_more(now);
        true
    }

    fn set(&mut self, setting: &Setting) -> bool {
        if setting.key != SETTING {
            return false;
        }
        self.scope = match setting.value.as_str() {
            "off" => Scope::Off,
            "requests" => Scope::Requests,
            _ => Scope::All,
        };
        let scope = self.scope;
        self.remove(|entry| match scope {
            Scope::All => false,
            Scope::Requests => !entry.topic.waits(),
            Scope::Off => true,
        });
        if scope == Scope::Off {
            self.more.clear();
        }
        true
    }

    fn put_request(&mut self, request: &RequestView, now: Instant) -> bool {
        if self.scope == Scope::Off || self.more.contains(&request.id) {
            return false;
        }
        let (topic, note) = (Topic::Request(request.id.clone()), Note::request(request));
        if let Some(entry) = self.entry(&topic) {
            // An answer that did not reach the sender: the person is to know that it still waits.
            let again = std::mem::take(&mut entry.answered);
            entry.dismissed &= !again;
            entry.pending |= !entry.dismissed && (again || entry.note != note);
            entry.note = note;
            return entry.pending;
        }
        if self.budget.takes_request(request, now) {
            return self.add(topic, note);
        }
        self.more.insert(request.id.clone());
        self.put_more(now)
    }

    fn drop_request(&mut self, id: &str, now: Instant) -> bool {
        self.remove(|entry| matches!(&entry.topic, Topic::Request(of) if of == id));
        if self.more.remove(id) {
            self.put_more(now);
        }
        true
    }

    /// Brings the note of the requests that have none of their own up to date.
    fn put_more(&mut self, now: Instant) -> bool {
        let count = self.more.len();
        if count == 0 {
            self.remove(|entry| entry.topic == Topic::More);
            return true;
        }
        let note = Note::more(count);
        if let Some(entry) = self.entry(&Topic::More) {
            entry.pending |= !entry.dismissed && entry.note != note;
            entry.note = note;
            return entry.pending;
        }
        self.budget.takes_more(now) && self.add(Topic::More, note)
    }

    fn put_transfer(&mut self, transfer: &TransferView, now: Instant) -> bool {
        if !transfer.state.is_final() {
            let was_queued = self.open.entry(transfer.id.clone()).or_default();
            *was_queued |= is_queued(transfer);
            return false;
        }
        // What had ended before is no news.
        let Some(was_queued) = self.open.remove(&transfer.id) else { return false };
        let Some(note) = Note::end(transfer, was_queued) else { return false };
        if self.scope != Scope::All || !self.budget.takes_end(transfer, now) {
            return false;
        }
        self.add_end(Topic::End(transfer.id.clone()), note)
    }

    /// Shows that what was clicked could not be done.
    pub(super) fn add_trouble(&mut self, trouble: &str) -> bool {
        self.add_end(Topic::Trouble, Note::trouble(trouble))
    }

    fn add_end(&mut self, topic: Topic, note: Note) -> bool {
        // The next trouble takes the place of the last one.
        self.remove(|entry| entry.topic == topic);
        let ends = self.entries.iter().filter(|entry| !entry.topic.waits()).count();
        if ends >= MAX_ENDS
            && let Some(oldest) = self.entries.iter().position(|entry| !entry.topic.waits())
        {
            self.closing.extend(self.entries.remove(oldest).shown);
        }
        self.add(topic, note)
    }

    fn add(&mut self, topic: Topic, note: Note) -> bool {
        self.stalled_until = None;
        self.entries.push(Entry {
            topic,
            note,
            shown: None,
            pending: true,
            dismissed: false,
            answered: false,
            not_before: None,
        });
        true
    }

    fn entry(&mut self, topic: &Topic) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.topic == *topic)
    }

    fn remove(&mut self, unwanted: impl Fn(&Entry) -> bool) {
        let removed = self.entries.extract_if(.., |entry| unwanted(entry));
        self.closing.extend(removed.filter_map(|entry| entry.shown));
    }

    /// What is to be done now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Change> {
        if let Some(handle) = self.closing.pop() {
            return Some(Change::Close(handle));
        }
        if self.stalled_until > Some(now) {
            return None;
        }
        let is_due = |entry: &&mut Entry| entry.pending && entry.not_before <= Some(now);
        let entry = self.entries.iter_mut().find(is_due)?;
        (entry.pending, entry.not_before) = (false, Some(now + PACE));
        self.showing = true;
        let (topic, note) = (entry.topic.clone(), entry.note.clone());
        Some(Change::Show { topic, note, replaces: entry.shown.clone() })
    }

    /// When there will be something to do, if nothing happens before.
    pub(super) fn due(&self) -> Option<Instant> {
        let pending = self.entries.iter().filter(|entry| entry.pending);
        pending.filter_map(|entry| entry.not_before.max(self.stalled_until)).min()
    }

    /// It is on the screen. What was clicked already, before the desktop's answer was here.
    pub(super) fn shown(&mut self, topic: &Topic, handle: Handle) -> Vec<Click> {
        match self.entry(topic) {
            Some(entry) => entry.shown = Some(handle),
            None => self.closing.push(handle),
        }
        (self.showing, self.failures) = (false, 0);
        let mut clicks = Vec::new();
        for (handle, key) in std::mem::take(&mut self.early) {
            match key {
                Some(key) => clicks.extend(self.clicked(&handle, &key)),
                None => self.closed(&handle),
            }
        }
        clicks
    }

    /// It could not be shown. What waits for an answer is tried again, more and more seldom.
    pub(super) fn not_shown(&mut self, topic: &Topic, now: Instant) {
        self.showing = false;
        self.stall(now);
        self.early.clear();
        if let Some(entry) = self.entry(topic) {
            entry.pending = true;
        }
        self.entries.retain(|entry| entry.topic.waits() || entry.shown.is_some());
    }

    fn stall(&mut self, now: Instant) {
        let pause = FIRST_RETRY.saturating_mul(1 << self.failures.min(u32::BITS - 1));
        self.stalled_until = Some(now + pause.min(LAST_RETRY));
        self.failures = self.failures.saturating_add(1);
    }

    /// It has gone from the screen: a person closed it, or its time was over.
    #[cfg_attr(target_os = "macos", allow(dead_code, reason = "a note there says nothing"))]
    pub(super) fn closed(&mut self, handle: &Handle) {
        if self.is_early(handle, None) {
            return;
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.shown.as_ref() == Some(handle)) {
            entry.shown = None;
            (entry.dismissed, entry.pending) = (true, false);
        }
        self.entries.retain(|entry| entry.topic.waits() || !entry.dismissed);
    }

    /// Whether this is about a note whose handle may be about to come; then it is kept until that has.
    fn is_early(&mut self, handle: &Handle, key: Option<&str>) -> bool {
        let known = self.entries.iter().any(|entry| entry.shown.as_ref() == Some(handle));
        let early = self.showing && !known;
        if early && self.early.len() < MAX_EARLY {
            self.early.push((handle.clone(), key.map(str::to_owned)));
        }
        early
    }

    /// From now on this one shows notes, or nobody if it is empty; what others showed is gone.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only there it can change"))]
    pub(super) fn served_by(&mut self, server: &str, now: Instant) -> bool {
        let elsewhere = |handle: &Handle| handle.server != server;
        self.closing.retain(|handle| !elsewhere(handle));
        self.entries
            .retain(|entry| entry.topic.waits() || !entry.shown.as_ref().is_some_and(elsewhere));
        for entry in &mut self.entries {
            if entry.shown.as_ref().is_some_and(elsewhere) {
                (entry.shown, entry.pending, entry.not_before) = (None, true, None);
            }
        }
        match server.is_empty() {
            true => self.stall(now),
            false => (self.stalled_until, self.failures) = (None, 0),
        }
        true
    }

    /// What a click means: nothing unless this very note is on the screen with this very button. Who
    /// accepts more than was shown, or less, is shown how it stands instead.
    pub(super) fn clicked(&mut self, handle: &Handle, key: &str) -> Option<Click> {
        if self.is_early(handle, Some(key)) {
            return None;
        }
        let shown = |entry: &&mut Entry| entry.shown.as_ref() == Some(handle);
        let entry = self.entries.iter_mut().find(shown)?;
        let Some(button) = entry.note.buttons.iter().find(|button| button.key == key) else {
            if matches!(&entry.topic, Topic::Request(id) if accepts(key, id)) {
                (entry.pending, entry.not_before) = (true, None);
                self.closing.extend(entry.shown.take());
            }
            return None;
        };
        // One answer to one request; what has arrived can be opened again and again.
        let is_first = !std::mem::replace(&mut entry.answered, true);
        (is_first || !entry.topic.waits()).then(|| button.click.clone())
    }

    /// Everything that is on the screen, which is to be left empty.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "others keep what is shown"))]
    pub(super) fn take_all(&mut self) -> Vec<Handle> {
        let entries = std::mem::take(&mut self.entries);
        let mut handles = std::mem::take(&mut self.closing);
        handles.extend(entries.into_iter().filter_map(|entry| entry.shown));
        handles
    }
}

/// Whether something is to be sent and its receiver cannot be reached.
fn is_queued(transfer: &TransferView) -> bool {
    transfer.direction == Direction::Outgoing
        && matches!(transfer.state, TransferState::Queued | TransferState::Paused)
        && transfer.reason.is_some()
}

#[cfg(test)]
#[path = "board/tests.rs"]
mod tests;
