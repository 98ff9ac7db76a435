//! The command line.

mod quinn;
mod run;
mod wan;

use std::process::ExitCode;

use clap::Parser;

/// Measures FileFleet, and what it is compared with, between network namespaces. Needs root.
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    /// Measures FileFleet beside scp, rsync and bare quinn
    Run(run::Arguments),
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
        Command::Run(arguments) => run::run(&arguments),
        Command::Wan(arguments) => wan::run(&arguments),
        Command::QuinnSend(arguments) => quinn::send(&arguments),
        Command::QuinnReceive(arguments) => quinn::receive(&arguments),
    }
}
