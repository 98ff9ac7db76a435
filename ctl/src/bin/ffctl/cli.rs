//! The command line: one table from which parsing, help, man pages and completions come.

use clap::{Args, Parser};

use crate::cmd::Command;

/// Send files from one computer to another: direct, verified, end-to-end encrypted.
#[derive(Debug, Parser)]
#[command(
    name = "ffctl",
    version,
    after_long_help = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage
  3    the daemon is not reachable
  4    declined
  5    no such person, or not online
  6    queued: it is sent when the other person can be reached
  130  interrupted

Environment:
  FILEFLEET_HOME  keeps everything of one user (settings, keys, state, socket, received files)
                  below this folder

Examples:
  ffctl daemon start
  ffctl register alice --server example.org
  ffctl send bob holiday/
  ffctl requests"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// For the commands that print data.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Format {
    /// Print JSON, with a "schema_version", instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}
