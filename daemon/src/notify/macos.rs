//! macOS: notes without buttons. Their clicks would come over the run loop of a main thread, which a
//! program without windows has not; the tray's menu and `ffctl` answer requests. `osascript` shows
//! them, which needs neither a bundle nor a framework here.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::Outside;
use super::board::{Change, Handle};
use super::note::Note;
use super::unconfined::off_the_loop;
pub(super) use super::unconfined::{open, show};

/// The note's texts are arguments, so that nothing in them is taken for a script.
const SCRIPT: [&str; 3] = [
    "on run argv",
    "display notification (item 2 of argv) with title \"FileFleet\" subtitle (item 1 of argv)",
    "end run",
];

/// Shows what the board has until the daemon ends. What was shown cannot be taken away again; the
/// system's list of notifications keeps it.
pub(super) async fn run(outside: Outside) {
    let mut shown = 0;
    loop {
        while let Some(change) = outside.notifier.with(|board| board.next(Instant::now())) {
            let Change::Show { topic, note, replaces } = change else { continue };
            // A second one about the same would only be one more.
            let id = replaces.map(|handle| handle.id);
            let is_shown = id.is_some() || off_the_loop(move || display(&note)).await.is_ok();
            shown += 1;
            let handle = Handle { server: String::new(), id: id.unwrap_or(shown) };
            match is_shown {
                true => outside.shown(&topic, handle),
                false => outside.not_shown(&topic),
            }
        }
        tokio::select! {
            biased;
            () = outside.stop.cancelled() => return,
            () = outside.work() => {}
        }
    }
}

fn display(note: &Note) -> Result<(), String> {
    let mut command = Command::new("/usr/bin/osascript");
    for line in SCRIPT {
        command.args(["-e", line]);
    }
    command.arg("--").args([&note.summary, &note.body]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
