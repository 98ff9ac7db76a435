//! `ffctl man`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, ValueHint};
use filefleet_ctl::text;

use crate::cli::Cli;
use crate::failure::{CommandError, Failure};

/// Print ffctl's manual page, or write the pages of all commands to a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl man | man -l -
  ffctl man --dir ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Write every page to this folder
    #[arg(long, value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            return Ok(io::stdout().lock().write_all(&page)?);
        };
        write_all(&dir).map_err(|error| {
            let dir = text::quoted(&dir.to_string_lossy()).to_string();
            CommandError::failed(format!("cannot write to {dir}: {error}")).into()
        })
    }
}

fn write_all(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)
}
