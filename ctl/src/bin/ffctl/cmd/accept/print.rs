//! `ffctl accept --to -`: a file that goes to standard output instead of a folder.
//!
//! The daemon receives it as it receives everything: verified and durable, into a folder made for it
//! below the usual one. When all of it is there it is printed, and removed. If printing breaks off, it
//! stays there: nothing that its sender knows to be delivered is lost. Nothing is printed of a file
//! that does not arrive whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use filefleet_ctl::client::Watch;
use filefleet_ctl::proto::{
    Call, EntryKind, Reply, RequestPage, TransferState, TransferView, WirePath,
};
use filefleet_ctl::{Client, text};
use tokio::sync::oneshot;

use super::super::interrupts::Interrupts;
use super::super::transfers::{cancel, in_full, next_view, why};
use super::super::{connect, requests, unexpected};
use crate::failure::{CommandError, Failure};

/// Accepts the request `id` and prints the one file that it offers.
pub(super) async fn run(mut client: Client, id: String, always: bool) -> Result<(), Failure> {
    // First, so that what is checked is no less than what is agreed to.
    let seen = requests::offer(&mut client, &id).await?;
    check_single(&mut client, &id).await?;
    let mut interrupts = Interrupts::new()?;
    let folder = make_folder(&mut client, &id).await?;
    let to = Some(WirePath::from(&*folder));
    let accepting = Call::Accept { id: id.clone(), to, always, seen };
    let received = receive(client, accepting, (&id, &folder), &mut interrupts).await;
    if let Err(error) = received {
        // Empty, unless the daemon goes on to receive; then it stays.
        let _ = fs::remove_dir(&folder);
        return Err(error.into());
    }
    let file_path = only_file(&folder)?;
    tokio::select! {
        biased;
        () = interrupts.next() => return Err(interrupted(&file_path).into()),
        printed = print_beside(file_path.clone()) => printed.map_err(|error| {
            let error = CommandError::failed(format!("cannot print what arrived: {error}"));
            kept(error, &file_path)
        })?,
    }
    let removed = fs::remove_file(&file_path).and_then(|()| fs::remove_dir(&folder));
    removed.map_err(|error| cannot("remove", &folder, &error))?;
    Ok(())
}

/// Only one file can be printed.
async fn check_single(client: &mut Client, id: &str) -> Result<(), CommandError> {
    let call = Call::RequestShow { id: id.to_owned(), offset: 0, limit: 2 };
    let Reply::RequestPage(RequestPage { entries, complete, .. }) = client.call(call).await? else {
        return Err(unexpected());
    };
    match &entries[..] {
        [only] if complete && only.kind == EntryKind::File => Ok(()),
        _ => Err(CommandError::usage("only a single file can go to standard output")
            .with_hint("accept it into a folder: ffctl accept ID --to DIR")),
    }
}

/// A folder for this transfer alone, below the usual one.
async fn make_folder(client: &mut Client, id: &str) -> Result<PathBuf, CommandError> {
    let Reply::Status(status) = client.call(Call::Status).await? else { return Err(unexpected()) };
    let received_dir = status.received_dir.as_path();
    let name: String = id.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    let folder = received_dir.join(format!("filefleet-{name}"));
    fs::create_dir_all(received_dir)
        .and_then(|()| fs::create_dir(&folder))
        .map_err(|error| cannot("make", &folder, &error))?;
    Ok(folder)
}

/// Waits until everything has arrived in `folder`. Ctrl-C cancels the transfer.
async fn receive(
    mut client: Client,
    accepting: Call,
    (id, folder): (&str, &Path),
    interrupts: &mut Interrupts,
) -> Result<(), CommandError> {
    client.call(accepting).await?;
    let mut watch = connect().await?.watch().await?;
    let ended = tokio::select! {
        biased;
        () = interrupts.next() => None,
        ended = until_ended(&mut watch, id) => Some(ended?),
    };
    let (ended, is_interrupted) = match ended {
        Some(ended) => (ended, false),
        None => {
            cancel(id).await?;
            (until_ended(&mut watch, id).await?, true)
        }
    };
    match ended.state {
        // All had arrived before it could be cancelled.
        TransferState::Done if is_interrupted => Err(interrupted(&only_file(folder)?)),
        TransferState::Done => Ok(()),
        _ => Err(why(in_full(ended).await, is_interrupted)),
    }
}

async fn until_ended(watch: &mut Watch, id: &str) -> Result<TransferView, CommandError> {
    loop {
        let transfer = next_view(watch, id).await?;
        if transfer.state.is_final() {
            return Ok(transfer);
        }
    }
}

/// What has arrived: one regular file, or the sender has sent something else than announced.
fn only_file(folder: &Path) -> Result<PathBuf, CommandError> {
    let failed = |error: io::Error| cannot("read", folder, &error);
    let mut entries = fs::read_dir(folder).map_err(failed)?;
    let first = entries.next().transpose().map_err(failed)?;
    match (first, entries.next()) {
        (Some(file), None) if file.file_type().map_err(failed)?.is_file() => Ok(file.path()),
        _ => Err(CommandError::failed("what arrived is not the one file that was announced")
            .with_hint(format!("it is kept in {}", shown(folder)))),
    }
}

/// Prints on a thread of its own, which nobody waits for at the end: where nobody reads any more, a
/// write may never return.
async fn print_beside(file_path: PathBuf) -> io::Result<()> {
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new().name("print".to_owned()).spawn(move || {
        // Who was interrupted does not listen any more.
        let _ = tell.send(print(&file_path));
    })?;
    told.await.unwrap_or_else(|_| Err(io::Error::other("the printing thread ended")))
}

fn print(file_path: &Path) -> io::Result<()> {
    let mut file = File::open(file_path)?;
    let mut output = io::stdout().lock();
    io::copy(&mut file, &mut output)?;
    output.flush()
}

/// Ctrl-C, and the file stays where it is.
fn interrupted(file_path: &Path) -> CommandError {
    kept(CommandError::interrupted("interrupted"), file_path)
}

/// Printing broke off, and the file stays where it is.
fn kept(error: CommandError, file_path: &Path) -> CommandError {
    error.with_hint(format!("it is kept as {}", shown(file_path)))
}

fn cannot(what: &str, folder: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(format!("cannot {what} {}: {error}", shown(folder)))
}

fn shown(file_path: &Path) -> String {
    text::quoted(&file_path.to_string_lossy()).to_string()
}
