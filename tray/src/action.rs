//! What can be clicked.

use std::path::PathBuf;

use filefleet_ctl::proto::Offer;

/// One thing that a person can ask for in the menu. It carries the ids it is about, and how much
/// was shown, so that a click on a menu that has changed meanwhile never means something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take what a request offers; with `always`, everything from its sender from now on.
    Accept { id: String, always: bool, seen: Offer },
    /// Refuse a request.
    Decline { id: String },
    /// Ask for files, then for a contact unless there is one already.
    SendFiles { to: Option<String> },
    /// The same with folders.
    SendFolders,
    /// Send what was picked to this contact.
    Choose { to: String },
    /// Send what was picked to nobody.
    ChooseNobody,
    /// Stop a transfer.
    Cancel { id: String },
    /// Open a file or folder.
    Open(PathBuf),
    /// Show a file where it lies.
    Show(PathBuf),
    /// Change a setting of the daemon.
    Set { key: &'static str, value: &'static str },
    /// Open the settings file.
    OpenSettings,
    /// Start the daemon, which was stopped.
    StartDaemon,
    /// Take a notice away.
    Dismiss,
    /// End the tray; the daemon goes on.
    Quit,
}
