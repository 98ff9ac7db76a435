//! What an event leads to: a change of the state, or something to be done outside.

use std::path::PathBuf;

use filefleet_ctl::Home;
use filefleet_ctl::proto::{Call, SendOptions};

use crate::action::Action;
use crate::dialog::Pick;
use crate::event::Event;
use crate::state::{Daemon, State};
use crate::view::View;

/// The tray without its desktop.
#[derive(Debug)]
pub(crate) struct App {
    home: Home,
    state: State,
}

/// What is to be done outside; none of it blocks the loop.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Ask the daemon.
    Call(Call),
    /// Show a file dialog.
    Pick { what: Pick, to: Option<String> },
    /// Open a file or folder with what the desktop has for it.
    Open(PathBuf),
    /// Show a file where it lies.
    Show(PathBuf),
    /// Open the settings file, made first if there is none.
    OpenSettings(PathBuf),
    /// Start the daemon.
    StartDaemon,
    /// Tell whoever started the tray.
    #[cfg(target_os = "linux")]
    Say(&'static str),
    /// End, for a reason other than a person's wish if there is one.
    End(Option<&'static str>),
}

impl App {
    pub(crate) fn new(home: Home) -> Self {
        Self { home, state: State::default() }
    }

    /// What is to be shown now.
    pub(crate) fn view(&self) -> View {
        View::of(&self.state)
    }

    /// Takes in an event; what is to be done about it.
    pub(crate) fn handle(&mut self, event: Event) -> Option<Effect> {
        match event {
            Event::Daemon(event) => self.state.learn(*event),
            Event::DaemonGone(reason) => self.state.daemon = Daemon::Gone(reason),
            Event::Clicked(action) => return self.click(action),
            Event::Picked { to, paths } => return self.picked(to, paths),
            Event::Failed(text) => self.state.notice = Some(text),
            #[cfg(target_os = "linux")]
            Event::Panel { shown: true } => return Some(Effect::Say("a panel shows the icon")),
            #[cfg(target_os = "linux")]
            Event::Panel { shown: false } => return Some(Effect::Say(NO_PANEL)),
            #[cfg(target_os = "linux")]
            Event::SessionEnded => return Some(Effect::End(Some("the session has ended"))),
        }
        None
    }

    fn click(&mut self, action: Action) -> Option<Effect> {
        let effect = match action {
            Action::Accept { id, always, seen } => {
                Effect::Call(Call::Accept { id, to: None, always, seen: Some(seen) })
            }
            Action::Decline { id } => Effect::Call(Call::Decline { id }),
            Action::Cancel { id } => Effect::Call(Call::Cancel { id }),
            Action::Set { key, value } => {
                Effect::Call(Call::ConfigSet { key: key.to_owned(), value: value.to_owned() })
            }
            Action::SendFiles { to } => Effect::Pick { what: Pick::Files, to },
            Action::SendFolders => Effect::Pick { what: Pick::Folders, to: None },
            Action::Choose { to } => {
                let paths = std::mem::take(&mut self.state.picked);
                return send(to, paths);
            }
            Action::ChooseNobody => {
                self.state.picked.clear();
                return None;
            }
            Action::Dismiss => {
                self.state.notice = None;
                return None;
            }
            Action::Open(file_path) => Effect::Open(file_path),
            Action::Show(file_path) => Effect::Show(file_path),
            Action::OpenSettings => Effect::OpenSettings(self.home.settings_file()),
            Action::StartDaemon => {
                self.state.daemon = Daemon::Starting;
                Effect::StartDaemon
            }
            Action::Quit => Effect::End(None),
        };
        Some(effect)
    }

    fn picked(&mut self, to: Option<String>, paths: Option<Vec<PathBuf>>) -> Option<Effect> {
        match (to, paths) {
            (_, None) => {
                self.state.notice = Some(NO_DIALOG.to_owned());
                None
            }
            (Some(to), Some(paths)) => send(to, paths),
            // A dialog that was cancelled changes nothing that was picked before.
            (None, Some(paths)) => {
                if !paths.is_empty() {
                    self.state.picked = paths;
                }
                None
            }
        }
    }
}

/// What a person is told who has no panel for icons.
#[cfg(target_os = "linux")]
const NO_PANEL: &str = "nothing on this desktop shows tray icons at present; waiting for a panel \
                        that does (GNOME needs the AppIndicator extension)";

/// What a person is told whose desktop has no file dialog.
const NO_DIALOG: &str = "no file dialog can be shown: install xdg-desktop-portal and its part for \
                         your desktop, or zenity";

fn send(to: String, paths: Vec<PathBuf>) -> Option<Effect> {
    let paths: Vec<_> = paths.into_iter().map(Into::into).collect();
    (!paths.is_empty()).then_some(Effect::Call(Call::Send {
        to,
        paths,
        no_queue: false,
        options: SendOptions::default(),
    }))
}

#[cfg(test)]
#[path = "app/tests.rs"]
mod tests;
