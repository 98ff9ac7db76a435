//! `ffctl transfers`.

use std::io;

use clap::Args;
use filefleet_ctl::proto::{Call, Reply, TransferState, TransferView};
use filefleet_ctl::{Client, format, text};
use serde::Serialize;

use super::{complete_id, connect, unexpected};
use crate::failure::{CommandError, Failure};
use crate::{cli, output};

/// Show the transfers under way, and those that wait for somebody to be reached
///
/// What is queued or paused goes on by itself; "ffctl cancel" gives it up.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl transfers
  ffctl transfers --all --json")]
pub(crate) struct Transfers {
    /// Show finished ones, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    pub(super) format: cli::Format,
}

impl Transfers {
    pub(super) async fn run(self) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Json {
            transfers: Vec<TransferView>,
        }
        let transfers = list(&mut connect().await?, self.all).await?;
        if self.format.json {
            return Ok(output::json(&Json { transfers })?);
        }
        if transfers.is_empty() {
            output::note("no transfers");
            return Ok(());
        }
        Ok(print_table(&transfers)?)
    }
}

/// The id of a transfer under way from its beginning.
pub(super) async fn find(client: &mut Client, typed: &str) -> Result<String, CommandError> {
    let transfers = list(client, false).await?;
    complete_id(typed, transfers.iter().map(|transfer| transfer.id.as_str()))
}

async fn list(client: &mut Client, all: bool) -> Result<Vec<TransferView>, CommandError> {
    match client.call(Call::Transfers { all }).await? {
        Reply::Transfers(transfers) => Ok(transfers),
        _ => Err(unexpected()),
    }
}

/// Prints transfers, a line each.
pub(super) fn print_table(transfers: &[TransferView]) -> io::Result<()> {
    let rows: Vec<_> = transfers.iter().map(row).collect();
    output::table(["ID", "PEER", "STATE", "PROGRESS", "RATE", "LINK", "WHAT"], &rows)
}

fn row(transfer: &TransferView) -> [String; 7] {
    let rate = match transfer.state {
        TransferState::Active => format::rate(transfer.rate),
        _ => String::new(),
    };
    [
        format::short_id(&transfer.id),
        format::route(transfer),
        format::state(transfer.state).to_owned(),
        format::progress(transfer),
        rate,
        transfer.link.map(format::link).unwrap_or_default().to_owned(),
        what(transfer),
    ]
}

/// What it carries, and why it stands still if it does, and until when.
fn what(transfer: &TransferView) -> String {
    let label = text::display(&transfer.label);
    let errors = transfer.error.iter().chain(&transfer.reason);
    let reason = errors.map(|error| error.message.as_str()).next();
    let mut what = match reason.or(transfer.detail.as_deref()) {
        Some(reason) => format!("{label}: {}", text::display(reason)),
        None => label.to_string(),
    };
    if let Some(left) = transfer.next_try.and_then(format::until) {
        what += &format!("; next try in {}", format::duration(left));
    }
    what
}
