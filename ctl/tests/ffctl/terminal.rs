//! `ffctl` on a terminal.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use filefleet_ctl::proto::{Call, Event, LinkKind, Reply, TransferState};
use filefleet_ctl::testing::{self, Answer};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::User;

/// A terminal of 100 columns: what its user sees, and what a program writes to.
pub(crate) fn terminal() -> (File, File) {
    let screen: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&screen, size).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let name = OsStr::from_bytes(name.as_bytes());
    let program = File::options().read(true).write(true).open(name).unwrap();
    (screen.into(), program)
}

/// Reads the screen until it shows `text`.
pub(crate) fn until_shown(screen: &mut File, text: &str) -> String {
    let mut shown = Vec::new();
    let mut bytes = [0; 1024];
    loop {
        let length = screen.read(&mut bytes).unwrap();
        shown.extend_from_slice(&bytes[..length]);
        let so_far = String::from_utf8_lossy(&shown);
        if so_far.contains(text) {
            return so_far.into_owned();
        }
    }
}

#[test]
fn there_is_a_bar_with_rate_time_left_and_link() {
    let user = User::new();
    fs::write(user.dir.path().join("a"), "content").unwrap();
    let daemon = user.daemon(|call| match call {
        Call::Send { .. } => {
            Reply::SendStarted { transfer: testing::transfer(TransferState::Active).id }.into()
        }
        _ => Answer::from(Reply::Done)
            .then([testing::state(vec![testing::transfer(TransferState::Waiting)])]),
    });
    let (mut screen, program) = terminal();
    let mut command = user.command(&["send", "bob", "a"]);
    command.env("TERM", "xterm").stderr(program);
    let child = command.spawn().unwrap();
    // The command keeps the terminal open; without it, the screen ends with the child.
    drop(command);
    until_shown(&mut screen, "waiting for bob to accept");
    let mut active = testing::transfer(TransferState::Active);
    active.link = Some(LinkKind::Lan);
    daemon.event(Event::Transfer(active));
    let shown = until_shown(&mut screen, "33% of 2.9 KiB, 500 B/s, 4.0 s left, lan");
    assert!(shown.contains("[========>"), "{shown:?}");
    daemon.event(Event::Transfer(testing::transfer(TransferState::Done)));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(output.stdout.starts_with(b"sent 3 files"), "{output:?}");
}
