//! `ffctl send`.
//!
//! The daemon does the sending; this command asks for it and watches. Ctrl-C cancels the transfer,
//! and a second one no longer waits for that. A killed `ffctl` leaves the transfer alone.
//!
//! What cannot be sent yet stays in the daemon's outbox, and the command ends. What has begun is
//! followed to its end, even if the receiver goes away meanwhile: it goes on when they are back.

mod choose;
mod dry_run;
mod options;
mod report;
mod what;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use clap::{Args, ValueHint};
use filefleet_ctl::client::Watch;
use filefleet_ctl::proto::{Call, Reply, TransferState, TransferView, WirePath};
use filefleet_ctl::start::start_daemon;
use filefleet_ctl::{Client, Home, text};

use super::interrupts::Interrupts;
use super::transfers::{News, cancel, in_full, next_news, why};
use super::{absolute, call, connect, unexpected};
use crate::exit_code::ExitCode;
use crate::failure::{CommandError, Failure};
use crate::{cli, output};
use choose::Chooser;
use options::Options;
use report::Report;
use what::What;

/// How long an interrupted command waits to learn which transfer it has to cancel: the daemon
/// answers at once.
const ID_DEADLINE: Duration = Duration::from_secs(2);

/// Send files and folders to somebody, and wait until they have arrived
///
/// The command ends when the receiver has verified and stored everything. If they cannot be reached,
/// it prints the transfer's id and ends with 6: the daemon sends it as soon as both computers are
/// on, in the order of the commands. If they go away in the middle, it waits and goes on when they
/// are back. Ctrl-C cancels the transfer; if everything had been delivered by then, the command says so
/// and ends with 0. Symbolic links are sent as links.
///
/// Standard input is kept by the daemon, on its disk, until it has been sent; sending begins when it has
/// ended. If this command ends before that, nothing is sent.
///
/// With --choose, you are asked which of your contacts to send to: on the terminal, or without one, as
/// under a file manager, in a window.
///
/// With --json there is a line for every event: "started", "progress", "link" when the links with the
/// receiver change, and at the end "done", "queued" or "failed"; a dry run is one line, "dry_run".
#[derive(Debug, Args)]
#[command(
    override_usage = "\
ffctl send [OPTIONS] <TO> <PATH>...
       ffctl send [OPTIONS] <TO> - --name <NAME>
       ffctl send [OPTIONS] <TO> --text <TEXT>
       ffctl send [OPTIONS] --choose <PATH>...",
    after_help = "\
Examples:
  ffctl send bob report.pdf
  ffctl send bob holiday/ notes.txt
  ffctl send --detach bob disk.img
  ffctl send --choose photo.jpg
  ffctl send --exclude '*.tmp' --exclude '/build/' --dry-run bob project/
  ffctl send --limit 2M bob disk.img
  ffctl send bob --text 'the door code is 4711'
  tar c holiday | ffctl send bob - --name holiday.tar
  ffctl send --wait bob report.pdf && rm report.pdf
  ffctl send --json bob holiday/ | jq -r 'select(.event == \"done\") | .link'"
)]
pub(crate) struct Send {
    /// The receiver's name; with --choose, the first thing to send
    to: OsString,
    /// What to send; "-" is standard input
    #[arg(
        required_unless_present_any = ["choose", "text"],
        value_name = "PATH",
        value_hint = ValueHint::AnyPath,
    )]
    paths: Vec<PathBuf>,
    /// What standard input, "-", or the text is called at the receiver's
    #[arg(long)]
    name: Option<String>,
    /// Send this text: the receiver is shown it, and gets it as a small file
    #[arg(long, conflicts_with_all = ["choose", "dry_run"])]
    text: Option<String>,
    /// Ask which of your contacts to send to
    #[arg(long)]
    choose: bool,
    /// Print the transfer's id and return at once; see "ffctl transfers"
    #[arg(long)]
    detach: bool,
    /// Wait until everything has arrived, even while the receiver cannot be reached
    #[arg(long, conflicts_with_all = ["detach", "no_queue"])]
    wait: bool,
    /// Fail with 5, instead of queueing, if the receiver cannot be reached
    #[arg(long)]
    no_queue: bool,
    #[command(flatten)]
    options: Options,
    /// Only tell what would be sent and what would not; nobody is asked
    #[arg(long, conflicts_with_all = ["choose", "detach", "wait", "no_queue"])]
    dry_run: bool,
    #[command(flatten)]
    format: cli::Format,
}

impl Send {
    pub(super) async fn run(self) -> Result<(), Failure> {
        if self.dry_run {
            return self.survey().await;
        }
        let mut report = Report::new(self.format.json, self.detach);
        let chooser = self.choose.then(Chooser::find).transpose()?;
        match self.send(chooser, &mut report).await {
            Ok(End::Done) => Ok(()),
            Ok(End::Queued) => Err(Failure::Told(ExitCode::Queued)),
            Err(error) => {
                report.failed(&error);
                // Who has just closed a window wants no other one.
                let told = error.exit_code == ExitCode::Interrupted;
                if let Some(chooser) = chooser.filter(|_| !told) {
                    chooser.tell(&error);
                }
                Err(Failure::Told(error.exit_code))
            }
        }
    }

    /// Whether errors are to be told as JSON by whoever runs this; events tell them, but a dry run has
    /// none.
    pub(super) fn wants_json(&self) -> bool {
        self.dry_run && self.format.json
    }

    async fn survey(self) -> Result<(), Failure> {
        let paths = sources(&self.paths)?;
        let to = self.to.to_string_lossy();
        dry_run::run(&to, paths, self.options.into_call(), self.format.json).await
    }

    async fn send(
        mut self,
        chooser: Option<Chooser>,
        report: &mut Report,
    ) -> Result<End, CommandError> {
        let to = std::mem::take(&mut self.to);
        if chooser.is_some() {
            self.paths.insert(0, to.clone().into());
        }
        let what = What::of(&self.paths, self.text, self.name)?;
        let to = match chooser {
            Some(chooser) => chosen(chooser, what.count()).await?,
            None => to.into_string().map_err(|_| CommandError::usage("that is no name"))?,
        };
        let mut interrupts = Interrupts::new()?;
        let options = self.options.into_call();
        let asked = what.hand_over(connect().await?, to, self.no_queue, options);
        let (id, client, interrupted) = start(asked, &mut interrupts).await?;
        report.started(&id);
        if interrupted {
            cancel(&id).await?;
        } else if self.detach {
            return Ok(End::Done);
        }
        let waits = self.wait;
        let mut following = Following { id, waits, interrupted, interrupts };
        following.run(client.watch().await?, report).await
    }
}

/// How a command ends that did not fail.
#[derive(Debug)]
enum End {
    Done,
    /// The daemon sends it when the receiver can be reached.
    Queued,
}

/// The contact that the user chooses. The daemon is started if none runs, since whoever clicks in a
/// file manager cannot be told to do so.
async fn chosen(chooser: Chooser, items: usize) -> Result<String, CommandError> {
    start_daemon(&Home::from_env()?).await?;
    match call(Call::Contacts).await? {
        Reply::Contacts(contacts) => chooser.choose(&contacts, items),
        _ => Err(unexpected()),
    }
}

/// Has the daemon take on what is to be sent; the transfer's id, and whether Ctrl-C came before it was
/// known. Standard input that has not ended soon after that is not sent.
async fn start(
    asked: impl Future<Output = Result<(Reply, Client), CommandError>>,
    interrupts: &mut Interrupts,
) -> Result<(String, Client, bool), CommandError> {
    let mut asked = pin!(asked);
    let (reply, interrupted) = tokio::select! {
        reply = &mut asked => (reply, false),
        () = interrupts.next() => {
            let reply = tokio::time::timeout(ID_DEADLINE, asked).await;
            (reply.map_err(|_| CommandError::interrupted("interrupted"))?, true)
        }
    };
    match reply? {
        (Reply::SendStarted { transfer }, client) => Ok((transfer, client, interrupted)),
        _ => Err(unexpected()),
    }
}

/// A transfer that is watched.
struct Following {
    id: String,
    /// Whether the command stays while the transfer is queued.
    waits: bool,
    interrupted: bool,
    interrupts: Interrupts,
}

impl Following {
    /// Reports how the transfer goes on until it has ended, or is queued.
    async fn run(&mut self, mut watch: Watch, report: &mut Report) -> Result<End, CommandError> {
        loop {
            let news = tokio::select! {
                biased;
                () = self.interrupts.next() => {
                    if self.interrupted {
                        return Err(CommandError::interrupted("interrupted"));
                    }
                    self.interrupted = true;
                    cancel(&self.id).await?;
                    continue;
                }
                news = next_news(&mut watch, &self.id) => news?,
            };
            let transfer = match news {
                News::Transfer(transfer) => *transfer,
                News::Link(event) => {
                    report.link(&event);
                    continue;
                }
            };
            if self.leaves(&transfer) {
                report.queued(&transfer);
                return Ok(End::Queued);
            }
            report.progress(&transfer);
            match transfer.state {
                TransferState::Done => {
                    let transfer = in_full(transfer).await;
                    report.done(&transfer);
                    if self.interrupted {
                        output::note("it had been delivered before it could be cancelled");
                    }
                    return Ok(End::Done);
                }
                state if state.is_final() => {
                    return Err(why(in_full(transfer).await, self.interrupted));
                }
                _ => {}
            }
        }
    }

    /// Whether there is nothing to be watched for now: the receiver cannot be reached.
    fn leaves(&self, transfer: &TransferView) -> bool {
        let queued = transfer.state == TransferState::Queued && transfer.reason.is_some();
        queued && !self.waits && !self.interrupted
    }
}

fn sources(paths: &[PathBuf]) -> Result<Vec<WirePath>, CommandError> {
    paths.iter().map(|path| source(path)).collect()
}

/// A path to send, checked before anything is asked of anybody: absolute, with a name of its own,
/// and there.
fn source(file_path: &Path) -> Result<WirePath, CommandError> {
    let shown = text::quoted(&file_path.to_string_lossy()).to_string();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => CommandError::file_not_found(format!("{shown} does not exist"))
            .with_hint("nothing was sent; check the path"),
        _ => CommandError::failed(format!("cannot read {shown}: {error}")),
    };
    let mut source = absolute(file_path)?;
    fs::symlink_metadata(&source).map_err(failed)?;
    if source.file_name().is_none() {
        // It ends in "..": only the file system knows that folder's name.
        source = fs::canonicalize(&source).map_err(failed)?;
    }
    match source.file_name() {
        Some(_) => Ok(WirePath(source)),
        None => Err(CommandError::failed(format!("{shown} has no name to send it under"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[cfg(unix)]
    #[test]
    fn symbolic_links_are_not_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert_eq!(source(&link).unwrap().as_path(), link);
    }

    #[test]
    fn a_folder_is_sent_under_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(dir.join("inner")).unwrap();
        assert_eq!(source(&dir.join("inner/..")).unwrap().as_path(), dir);
        assert!(source(Path::new("/")).is_err());
    }
}
