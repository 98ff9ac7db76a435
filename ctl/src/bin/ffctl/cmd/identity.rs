//! `ffctl identity`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use filefleet_ctl::proto::{Call, Passphrase, Reply};
use filefleet_ctl::text;
use serde::Serialize;

use super::{call, unexpected};
use crate::failure::{CommandError, Failure};
use crate::{cli, output};

/// Longest passphrase, and longest exported identity, that is read.
const MAX_INPUT: u64 = 64 << 10;

/// Save who you are, or move it to another machine
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl identity export alice.pem
  ffctl identity import alice.pem
  ffctl identity export alice.pem --passphrase-file /dev/fd/3 3< secret")]
pub(crate) struct Identity {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub(super) format: cli::Format,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Save your identity, encrypted under a passphrase
    ///
    /// Whoever has the file and the passphrase can be you.
    Export {
        /// The new file; standard output without
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        #[command(flatten)]
        passphrase: PassphraseArg,
    },
    /// Become who was exported
    ///
    /// The identity that this machine had before is given up, and with it the name.
    Import {
        /// What "ffctl identity export" wrote; "-" is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseArg,
    },
}

#[derive(Debug, Args)]
struct PassphraseArg {
    /// Read the passphrase from the first line of FILE, "-" being standard input, instead of asking
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
}

impl Identity {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Export { file, passphrase } => {
                let passphrase = passphrase.read(true)?;
                match call(Call::IdentityExport { passphrase }).await? {
                    Reply::Identity { pem } => save(file.as_deref(), &pem, self.format.json),
                    _ => Err(unexpected().into()),
                }
            }
            Action::Import { file, passphrase } => {
                let pem = read_text(&file)?;
                let passphrase = passphrase.read(false)?;
                call(Call::IdentityImport { pem, passphrase }).await?;
                Ok(())
            }
        }
    }
}

impl PassphraseArg {
    /// The passphrase, from the file or the terminal; a `new` one is asked for twice.
    fn read(&self, new: bool) -> Result<Passphrase, CommandError> {
        let passphrase = match &self.passphrase_file {
            Some(file) => first_line(file)?,
            None => ask("Passphrase: ")?,
        };
        if passphrase.is_empty() {
            return Err(CommandError::usage("the passphrase is empty"));
        }
        if new && self.passphrase_file.is_none() && ask("The same again: ")? != passphrase {
            return Err(CommandError::usage("the passphrases differ"));
        }
        Ok(Passphrase::new(passphrase))
    }
}

fn ask(prompt: &str) -> Result<String, CommandError> {
    rpassword::prompt_password(prompt).map_err(|error| {
        CommandError::failed(format!("cannot ask for the passphrase: {error}"))
            .with_hint("without a terminal, use --passphrase-file FILE")
    })
}

/// Opens a file, or standard input as "-".
fn open(file: &Path) -> Result<Box<dyn Read>, CommandError> {
    match file.to_str() {
        Some("-") => Ok(Box::new(io::stdin())),
        _ => Ok(Box::new(File::open(file).map_err(|error| unreadable(file, &error))?)),
    }
}

fn first_line(file: &Path) -> Result<String, CommandError> {
    let mut line = String::new();
    let mut reader = BufReader::new(open(file)?.take(MAX_INPUT));
    reader.read_line(&mut line).map_err(|error| unreadable(file, &error))?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

fn read_text(file: &Path) -> Result<String, CommandError> {
    let mut content = String::new();
    let mut reader = open(file)?.take(MAX_INPUT);
    reader.read_to_string(&mut content).map_err(|error| unreadable(file, &error))?;
    Ok(content)
}

fn unreadable(file: &Path, error: &io::Error) -> CommandError {
    let message = format!("cannot read {}: {error}", text::quoted(&file.to_string_lossy()));
    match error.kind() {
        io::ErrorKind::NotFound => CommandError::file_not_found(message),
        _ => CommandError::failed(message),
    }
}

/// Writes an exported identity to a new file of this user's own, or to standard output.
fn save(file: Option<&Path>, pem: &str, json: bool) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Json<'a> {
        pem: &'a str,
    }
    match file {
        Some(file) => write_new(file, pem).map_err(|error| {
            let name = text::quoted(&file.to_string_lossy()).to_string();
            CommandError::failed(format!("cannot write {name}: {error}")).into()
        }),
        None if json => Ok(output::json(&Json { pem })?),
        None => Ok(output::line(pem.trim_end())?),
    }
}

fn write_new(file: &Path, pem: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(file)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()
}
