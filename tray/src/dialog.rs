//! File dialogs of the desktop.

use std::path::PathBuf;

use rfd::FileDialog;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    Files,
    Folders,
}

/// Shows a dialog and waits until it is closed. Empty if it was cancelled; `None` if no dialog can
/// be shown: rfd tells the two apart in this way on Linux, and on macOS and Windows there always is
/// a dialog, where `None` means that it was cancelled.
pub(crate) fn pick(what: Pick, to: Option<&str>) -> Option<Vec<PathBuf>> {
    let noun = match what {
        Pick::Files => "files",
        Pick::Folders => "folders",
    };
    let title = match to {
        Some(to) => format!("Send {noun} to {to}"),
        None => format!("Send {noun}"),
    };
    let dialog = FileDialog::new().set_title(title);
    let picked = match what {
        Pick::Files => dialog.pick_files(),
        Pick::Folders => dialog.pick_folders(),
    };
    if cfg!(target_os = "linux") { picked } else { Some(picked.unwrap_or_default()) }
}
