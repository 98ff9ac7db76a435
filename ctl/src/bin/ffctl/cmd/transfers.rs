//! `ffctl transfers`, and how one transfer is followed, cancelled and explained.

mod show;

use std::io;

use clap::Args;
use filefleet_ctl::client::Watch;
use filefleet_ctl::proto::{
    Call, ControlError, ErrorCode, Event, LinkEvent, Reply, TransferState, TransferView,
};
use filefleet_ctl::{Client, ClientError, format, text};
use serde::Serialize;

use super::{complete_id, connect, unexpected};
use crate::failure::{CommandError, Failure};
use crate::{cli, output};

/// Show the transfers under way, and those that wait for somebody to be reached
///
/// What is queued or paused goes on by itself; "ffctl cancel" gives it up. With an id, all that is known
/// of one transfer: also what failed of it, and what could not be kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl transfers
  ffctl transfers --all --json
  ffctl transfers 3f2a")]
pub(crate) struct Transfers {
    /// The id of one transfer, or its beginning
    id: Option<String>,
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
        let mut client = connect().await?;
        let transfers = match &self.id {
            Some(typed) => vec![one(&mut client, typed).await?],
            None => list(&mut client, self.all).await?,
        };
        if self.format.json {
            return Ok(output::json(&Json { transfers })?);
        }
        if let (Some(_), [transfer]) = (&self.id, &transfers[..]) {
            return Ok(show::print(transfer)?);
        }
        if transfers.is_empty() {
            output::note("no transfers");
            return Ok(());
        }
        Ok(print_table(&transfers)?)
    }
}

/// The id of a transfer from its beginning: of one under way, else of one that has ended.
pub(super) async fn find(client: &mut Client, typed: &str) -> Result<String, CommandError> {
    let mut transfers = list(client, false).await?;
    if !transfers.iter().any(|transfer| transfer.id.starts_with(typed)) {
        transfers = list(client, true).await?;
    }
    complete_id(typed, transfers.iter().map(|transfer| transfer.id.as_str()))
}

/// The same of one that may have ended.
pub(super) async fn find_ended(client: &mut Client, typed: &str) -> Result<String, CommandError> {
    let transfers = list(client, true).await?;
    complete_id(typed, transfers.iter().map(|transfer| transfer.id.as_str()))
}

/// The transfer whose id begins with `typed`.
async fn one(client: &mut Client, typed: &str) -> Result<TransferView, CommandError> {
    let id = find(client, typed).await?;
    shown(client, id).await
}

async fn shown(client: &mut Client, id: String) -> Result<TransferView, CommandError> {
    match client.call(Call::Transfer { id }).await? {
        Reply::Transfer(transfer) => Ok(*transfer),
        _ => Err(unexpected()),
    }
}

/// A transfer of which an event has told, with all that failed and could not be kept. If the daemon
/// does not say more, what it has said will do.
pub(super) async fn in_full(brief: TransferView) -> TransferView {
    if brief.failures.is_empty() && brief.losses.is_empty() {
        return brief;
    }
    let full = async { shown(&mut connect().await?, brief.id.clone()).await };
    full.await.unwrap_or(brief)
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

/// What it carries, why it stands still if it does, and until when, or why it is relayed.
fn what(transfer: &TransferView) -> String {
    let label = text::display(&transfer.label);
    let errors = transfer.error.iter().chain(&transfer.reason);
    let reason = errors.map(|error| error.message.as_str()).next();
    let why = transfer.why_relayed.as_ref().map(|why| why.message.as_str());
    let mut what = match reason.or(transfer.detail.as_deref()).or(why) {
        Some(reason) => format!("{label}: {}", text::display(reason)),
        None => label.to_string(),
    };
    if let Some(left) = transfer.next_try.and_then(format::until) {
        what += &format!("; next try in {}", format::duration(left));
    }
    what
}

/// What happens to a transfer, or with whom it is.
#[derive(Debug)]
pub(super) enum News {
    /// It goes on, or ends.
    Transfer(Box<TransferView>),
    /// Links with somebody, who may be somebody else, have changed.
    Link(LinkEvent),
}

/// The next news that may concern one transfer. Cancel safe.
pub(super) async fn next_news(watch: &mut Watch, id: &str) -> Result<News, CommandError> {
    loop {
        match watch.next().await? {
            Event::Transfer(transfer) if transfer.id == id => {
                return Ok(News::Transfer(Box::new(transfer)));
            }
            Event::Link(event) => return Ok(News::Link(event)),
            Event::State(state) => {
                let found = state.transfers.into_iter().find(|transfer| transfer.id == id);
                return found.map(|found| News::Transfer(Box::new(found))).ok_or_else(|| {
                    CommandError::failed("the daemon does not know the transfer any more")
                });
            }
            _ => {}
        }
    }
}

/// The next news of one transfer. Cancel safe.
pub(super) async fn next_view(watch: &mut Watch, id: &str) -> Result<TransferView, CommandError> {
    loop {
        if let News::Transfer(transfer) = next_news(watch, id).await? {
            return Ok(*transfer);
        }
    }
}

/// Cancels on a connection of its own, since the other one serves events. A transfer that has ended
/// meanwhile is no error: how it ended is news that is still to come.
pub(super) async fn cancel(id: &str) -> Result<(), CommandError> {
    let call = Call::Cancel { id: id.to_owned() };
    match connect().await?.call(call).await {
        Ok(_) | Err(ClientError::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Why a transfer ended otherwise than well.
pub(super) fn why(transfer: TransferView, interrupted: bool) -> CommandError {
    let peer = text::display(&transfer.peer);
    let (code, message) = match transfer.state {
        TransferState::Cancelled if interrupted => return CommandError::interrupted("cancelled"),
        TransferState::Cancelled => (ErrorCode::Cancelled, "the transfer was cancelled".to_owned()),
        TransferState::Declined => (ErrorCode::Declined, format!("{peer} declined")),
        _ => (ErrorCode::Unknown, "the transfer failed".to_owned()),
    };
    let mut error = transfer.error.unwrap_or_else(|| ControlError::new(code, message));
    if transfer.state == TransferState::Declined {
        error.code = code;
    }
    CommandError::from(error).with_failures(transfer.failures).with_losses(transfer.losses)
}
