//! Everything that the tray reacts to.

use std::path::PathBuf;

use filefleet_ctl::proto;

use crate::action::Action;

/// Events that may wait for the loop: clicks, and what the daemon says, which is read no faster than
/// the loop takes it. Full: the daemon's link waits, and so does a dialog.
pub(crate) const EVENTS: usize = 64;

#[derive(Debug)]
pub(crate) enum Event {
    /// The daemon says something; the first thing that a link brings is `proto::Event::State`.
    Daemon(Box<proto::Event>),
    /// There is no link to the daemon, and why.
    DaemonGone(String),
    /// Somebody chose something in the menu.
    Clicked(Action),
    /// A file dialog was closed.
    Picked {
        /// For whom it was opened, if that was clear already.
        to: Option<String>,
        /// Empty if it was cancelled; `None` if no dialog could be shown.
        paths: Option<Vec<PathBuf>>,
    },
    /// Something did not work, for people.
    Failed(String),
    /// A panel that shows icons has come or gone.
    #[cfg(target_os = "linux")]
    Panel {
        /// Whether it is there.
        shown: bool,
    },
    /// The desktop's session has ended.
    #[cfg(target_os = "linux")]
    SessionEnded,
}
