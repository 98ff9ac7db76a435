//! The tray icon of FileFleet: send, accept, watch.
//!
//! It talks to this user's daemon over the control socket and to nothing else. What is shown is a
//! pure function of what the daemon said: [`state`] keeps it, [`view`] and [`menu`] make icon,
//! tooltip and menu of it, and [`platform`] puts them on the screen and brings back the clicks.
//! [`app`] says what a click leads to; nothing but `platform` knows of a desktop.

// On Windows no console opens for it.
#![cfg_attr(windows, windows_subsystem = "windows")]

mod action;
mod app;
mod artwork;
mod dialog;
mod event;
mod instance;
mod link;
mod menu;
mod platform;
mod state;
mod view;

use std::process::ExitCode;

use filefleet_ctl::Home;

const USAGE: &str = "\
Shows FileFleet in the tray of the desktop, and starts filefleetd if it does not run.

Usage: filefleet-tray [--version | --help]
";

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a person asked for, or must know"
)]
fn main() -> ExitCode {
    #[cfg(windows)]
    filefleet_ctl::console::attach();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.first().and_then(|argument| argument.to_str()) {
        None if arguments.is_empty() => match run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("filefleet-tray: {error:#}");
                ExitCode::FAILURE
            }
        },
        Some("--version" | "-V") => {
            println!("filefleet-tray {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some("--help" | "-h") => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let home = Home::from_env()?;
    let Some(_only_one) = instance::lock(&home)? else {
        say("it is in the tray already");
        return Ok(());
    };
    platform::run(home)
}

/// Tells whoever started the tray from a terminal, and the session's log.
#[allow(clippy::print_stderr, reason = "the tray has no other place for what it is not asked for")]
fn say(text: &str) {
    eprintln!("filefleet-tray: {text}");
}
