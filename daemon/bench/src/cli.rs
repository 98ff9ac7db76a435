//! The command line.

mod quinn;
mod wan;

use std::process::ExitCode;

use clap::Parser;

/// Measures FileFleet, and what it is compared with, between network namespaces. Needs root.
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    /// Runs a command at one end of an emulated WAN link
    Wan(wan::Arguments),
    /// Sends zeros over bare quinn
    QuinnSend(quinn::SendArguments),
    /// Receives over bare quinn, from one sender, and throws it away
    QuinnReceive(quinn::ReceiveArguments),
}

/// Does what the command line says.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Wan(arguments) => wan::run(&arguments),
        Command::QuinnSend(arguments) => quinn::send(&arguments),
        Command::QuinnReceive(arguments) => quinn::receive(&arguments),
    }
}
