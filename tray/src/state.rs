//! What the tray knows: what the daemon said last, and what the person is about to do.

use std::path::PathBuf;

use filefleet_ctl::proto::{ContactView, Event, RequestView, Setting, StateView, TransferView};

/// Transfers that are kept; the daemon tells of more, and the menu shows fewer.
const MAX_TRANSFERS: usize = 200;

/// Everything that the menu is made of.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) daemon: Daemon,
    /// Files that wait for a person to say who gets them.
    pub(crate) picked: Vec<PathBuf>,
    /// What did not work, or what a person should know.
    pub(crate) notice: Option<String>,
}

/// How things stand with the daemon.
#[derive(Debug, Default)]
pub(crate) enum Daemon {
    /// It is being started, or found.
    #[default]
    Starting,
    /// It told everything, and tells what changes.
    Up(Box<StateView>),
    /// It does not answer.
    Gone(String),
}

impl State {
    /// What the daemon last said, while it is there.
    pub(crate) fn known(&self) -> Option<&StateView> {
        match &self.daemon {
            Daemon::Up(view) => Some(view),
            Daemon::Starting | Daemon::Gone(_) => None,
        }
    }

    /// Takes in what the daemon says.
    pub(crate) fn learn(&mut self, event: Event) {
        let known = match (&mut self.daemon, event) {
            (daemon, Event::State(view)) => {
                *daemon = Daemon::Up(view);
                return;
            }
            (_, Event::Warning { message }) => {
                self.notice = Some(message);
                return;
            }
            (Daemon::Up(known), event) => (known, event),
            // Changes of what is not known mean nothing.
            (Daemon::Starting | Daemon::Gone(_), _) => return,
        };
        match known {
            (known, Event::Transfer(view)) => put_transfer(&mut known.transfers, view),
            (known, Event::Request(view)) => put_request(&mut known.requests, view),
            (known, Event::RequestGone { id }) => known.requests.retain(|it| it.id != id),
            (known, Event::Contact(view)) => put_contact(&mut known.contacts, view),
            (known, Event::ContactGone { name }) => known.contacts.retain(|it| it.name != name),
            (known, Event::Setting(setting)) => put_setting(&mut known.settings, setting),
            (known, Event::Registration { name, server, registered, error }) => {
                let status = &mut known.status;
                (status.name, status.server, status.registered) = (name, server, registered);
                status.registration_error = error;
            }
            // The transfers themselves say over which link they go.
            (_, Event::State(_) | Event::Warning { .. } | Event::Link(_)) => {}
        }
    }
}

/// Newest first, as the daemon lists them.
fn put_transfer(transfers: &mut Vec<TransferView>, view: TransferView) {
    match transfers.iter_mut().find(|it| it.id == view.id) {
        Some(old) => *old = view,
        None => transfers.insert(0, view),
    }
    while transfers.len() > MAX_TRANSFERS
        && let Some(oldest) = transfers.iter().rposition(|it| it.state.is_final())
    {
        transfers.remove(oldest);
    }
}

fn put_request(requests: &mut Vec<RequestView>, view: RequestView) {
    match requests.iter_mut().find(|it| it.id == view.id) {
        Some(old) => *old = view,
        None => requests.push(view),
    }
}

/// By name, as the daemon lists them.
fn put_contact(contacts: &mut Vec<ContactView>, view: ContactView) {
    match contacts.binary_search_by(|it| it.name.cmp(&view.name)) {
        Ok(index) => contacts[index] = view,
        Err(index) => contacts.insert(index, view),
    }
}

fn put_setting(settings: &mut Vec<Setting>, setting: Setting) {
    match settings.iter_mut().find(|it| it.key == setting.key) {
        Some(old) => *old = setting,
        None => settings.push(setting),
    }
}

#[cfg(test)]
#[path = "state/tests.rs"]
mod tests;
