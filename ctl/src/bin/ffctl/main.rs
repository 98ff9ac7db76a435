//! `ffctl`: FileFleet's command line, for people and for scripts.
//!
//! Standard output is data; progress, messages and errors go to standard error. It talks to the
//! daemon through the `filefleet_ctl` library and to nothing else. Everything that came from other
//! people passes [`filefleet_ctl::text`] before it is shown.

mod cli;
mod cmd;
mod exit_code;
mod failure;
mod output;

use std::process;

use clap::Parser;

use cli::Cli;
use exit_code::ExitCode;
use failure::Failure;

fn main() -> process::ExitCode {
    let cli = Cli::parse();
    let json = cli.command.wants_json();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(cli.command.run()),
        Err(error) => Err(Failure::from(error)),
    };
    match result {
        Ok(()) => ExitCode::Done,
        Err(Failure::ReaderGone) => ExitCode::Done,
        Err(Failure::Told(exit_code)) => exit_code,
        Err(Failure::Error(error)) => {
            output::error(&error, json);
            error.exit_code
        }
    }
    .into()
}
