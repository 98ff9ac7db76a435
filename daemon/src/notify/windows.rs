//! Windows: toasts, through `notify-rust`. Each waits for its click in a small thread of its own. A
//! toast cannot be taken away or changed from here: a click on one whose request is gone finds nothing
//! on the board, and does nothing.

use std::time::Instant;

use notify_rust::{Notification, NotificationResponse, Urgency};
use tokio::sync::mpsc;
use winreg::RegKey;
use winreg::enums::HKEY_CURRENT_USER;

use super::Outside;
use super::board::{Change, Handle};
use super::note::Note;
use super::unconfined::off_the_loop;
pub(super) use super::unconfined::{open, show};

/// Who shows them; Windows shows none of an application that it does not know.
const APP_ID: &str = "FileFleet.FileFleet";
/// Where a user's applications without a package make themselves known (Windows App SDK, "register the
/// AppUserModelId").
const APPS: &str = r"Software\Classes\AppUserModelId";
/// A thread that only waits.
const STACK: usize = 128 * 1024;
/// Clicks that may wait. Full: the toast's thread waits.
const CLICKS: usize = 16;

/// What became of a toast.
struct Response {
    handle: Handle,
    /// The button, if one was clicked.
    key: Option<String>,
}

/// Shows what the board has until the daemon ends.
pub(super) async fn run(outside: Outside) {
    let (sender, mut responses) = mpsc::channel(CLICKS);
    let mut last_id = 0;
    loop {
        while let Some(change) = outside.notifier.with(|board| board.next(Instant::now())) {
            let Change::Show { topic, note, replaces } = change else { continue };
            if let Some(handle) = replaces {
                outside.shown(&topic, handle);
                continue;
            }
            last_id += 1;
            let handle = Handle { server: String::new(), id: last_id };
            let shown = show_toast(note, handle.clone(), sender.clone()).await;
            match shown {
                Ok(()) => outside.shown(&topic, handle),
                Err(error) => {
                    tracing::debug!(error, "Windows shows no notifications");
                    outside.not_shown(&topic);
                }
            }
        }
        tokio::select! {
            biased;
            () = outside.stop.cancelled() => return,
            Some(response) = responses.recv() => on_response(&outside, &response),
            () = outside.work() => {}
        }
    }
}

fn on_response(outside: &Outside, Response { handle, key }: &Response) {
    if let Some(key) = key {
        outside.clicked(handle, key);
    }
    outside.notifier.with(|board| board.closed(handle));
}

/// Shows a toast, and leaves a thread that waits for what becomes of it.
async fn show_toast(
    note: Note,
    handle: Handle,
    responses: mpsc::Sender<Response>,
) -> Result<(), String> {
    off_the_loop(move || {
        introduce().map_err(|error| error.to_string())?;
        let mut toast = Notification::new();
        toast.app_id(APP_ID).summary(&note.summary).body(&note.body);
        if note.stays {
            // Stays on the screen until somebody has dealt with it.
            toast.urgency(Urgency::Critical);
        }
        for button in &note.buttons {
            toast.action(&button.key, button.label);
        }
        let shown = toast.show().map_err(|error| error.to_string())?;
        let wait = move || {
            let tell = |response: &NotificationResponse| {
                let key = match response {
                    NotificationResponse::Action(key) => Some(key.clone()),
                    _ => None,
                };
                // A daemon that is ending needs no answer.
                let _ = responses.blocking_send(Response { handle, key });
            };
            // A toast that says nothing any more has been forgotten by the system.
            let _ = shown.wait_for_response(tell);
        };
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(wait);
        thread.map(drop).map_err(|error| error.to_string())
    })
    .await
}

/// Makes this application known, so that it may show toasts and they bear its name.
fn introduce() -> std::io::Result<()> {
    let (key, _) = RegKey::predef(HKEY_CURRENT_USER).create_subkey(format!(r"{APPS}\{APP_ID}"))?;
    key.set_value("DisplayName", &"FileFleet")
}
