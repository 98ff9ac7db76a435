//! The menu, made of the state alone: what stands there, and what each line does.
//!
//! Labels are finished text for people: what strangers wrote has gone through
//! [`text`] and is cut to a bearable length. Nothing here knows how a desktop
//! marks mnemonics; [`platform`](crate::platform) escapes those.

#[cfg(any(not(target_os = "linux"), test))]
pub(crate) mod diff;
mod recent;
mod requests;
mod sending;
mod transfers;

use filefleet_ctl::proto::{StateView, StatusView};
use filefleet_ctl::text;

use crate::action::Action;
use crate::state::{Daemon, State};

/// The longest piece of text from outside that a line shows, in characters.
const MAX_TEXT: usize = 48;

/// One line of a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// Something to read.
    Text(String),
    /// Something to click.
    Button {
        label: String,
        action: Action,
    },
    /// A tick; clicking it asks for the change, and the daemon's word shows it.
    Tick {
        label: String,
        ticked: bool,
        action: Action,
    },
    /// A menu in the menu.
    Menu {
        label: String,
        items: Vec<Self>,
    },
    Separator,
}

impl Item {
    fn text(label: impl Into<String>) -> Self {
        Self::Text(label.into())
    }

    fn button(label: impl Into<String>, action: Action) -> Self {
        Self::Button { label: label.into(), action }
    }

    fn menu(label: impl Into<String>, items: Vec<Self>) -> Self {
        Self::Menu { label: label.into(), items }
    }
}

/// The menu for this state.
pub(crate) fn of(state: &State) -> Vec<Item> {
    let mut groups = vec![head(state)];
    if let Some(known) = state.known() {
        groups.push(sending::choice(&state.picked, &known.contacts));
        groups.push(requests::items(&known.requests));
        groups.push(sending::items(&known.contacts));
        groups.push(transfers::items(&known.transfers));
        groups.push(vec![recent::menu(&known.transfers)]);
        groups.push(switches(known));
    }
    groups.push(files(state));
    groups.push(vec![Item::button("Quit tray", Action::Quit)]);
    let groups: Vec<_> = groups.into_iter().filter(|group| !group.is_empty()).collect();
    groups.join(&Item::Separator)
}

/// How things stand, and what a person should know.
fn head(state: &State) -> Vec<Item> {
    let mut items = match &state.daemon {
        Daemon::Starting => vec![Item::text("Starting FileFleet …")],
        Daemon::Gone(reason) => vec![
            Item::text("FileFleet does not run"),
            Item::text(shown(reason)),
            Item::button("Start FileFleet", Action::StartDaemon),
        ],
        Daemon::Up(known) => vec![Item::text(registration(&known.status))],
    };
    if let Some(notice) = &state.notice {
        let lines = wrapped(&text::display(notice).to_string());
        items.extend(lines.into_iter().map(|line| Item::button(line, Action::Dismiss)));
    }
    items
}

/// Who this is, and whether the server knows.
pub(crate) fn registration(status: &StatusView) -> String {
    let name = status.name.as_deref().map(shown);
    match (name, &status.registration_error) {
        (None, _) => "no name yet: use ffctl register".to_owned(),
        (Some(name), _) if status.registered => format!("{name}: connected"),
        (Some(name), None) => format!("{name}: not connected"),
        (Some(name), Some(error)) => format!("{name}: not connected ({})", shown(error)),
    }
}

fn switches(known: &StateView) -> Vec<Item> {
    let tick = |label: &str, key: &'static str, on: &'static str, off: &'static str| {
        let setting = known.settings.iter().find(|it| it.key == key)?;
        let ticked = setting.value == on;
        let action = Action::Set { key, value: if ticked { off } else { on } };
        Some(Item::Tick { label: label.to_owned(), ticked, action })
    };
    let items = [
        tick("Auto-accept from contacts", "accept-contacts", "always", "ask"),
        tick("Pause receiving", "receiving", "paused", "on"),
    ];
    items.into_iter().flatten().collect()
}

fn files(state: &State) -> Vec<Item> {
    let received = state.known().map(|known| {
        let folder = known.status.received_dir.as_path().to_owned();
        Item::button("Open received files", Action::Open(folder))
    });
    let settings = Item::button("Settings file", Action::OpenSettings);
    received.into_iter().chain([settings]).collect()
}

/// Text from outside on one line, made harmless and cut.
fn shown(text: &str) -> String {
    text::brief(text, MAX_TEXT)
}

/// A sentence on as many lines as it needs, at most [`MAX_LINES`].
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < MAX_TEXT => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(shown(word)),
        }
    }
    lines.truncate(MAX_LINES);
    lines
}

/// The most lines of a notice.
const MAX_LINES: usize = 6;

/// At the end of a list that was cut: how many more there are, and where.
fn more(all: usize, limit: usize, command: &str) -> Option<Item> {
    let hidden = all.checked_sub(limit).filter(|hidden| *hidden > 0)?;
    Some(Item::text(format!("and {hidden} more: {command}")))
}

#[cfg(test)]
mod tests;
