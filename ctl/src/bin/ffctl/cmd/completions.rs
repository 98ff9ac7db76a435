//! `ffctl completions`.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;

/// Print a script that lets a shell complete ffctl's commands
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl completions bash > ~/.local/share/bash-completion/completions/ffctl
  ffctl completions fish > ~/.config/fish/completions/ffctl.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "ffctl", &mut script);
        Ok(io::stdout().lock().write_all(&script)?)
    }
}
