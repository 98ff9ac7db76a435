//! `ffctl requests`.

use std::io;

use clap::{Args, Subcommand};
use filefleet_ctl::proto::{
    Call, EntryKind, EntryView, ErrorCode, MAX_PAGE, Offer, Reply, RequestPage, RequestView,
};
use filefleet_ctl::{Client, ClientError, format, text};
use serde::Serialize;

use super::{complete_id, connect, unexpected};
use crate::failure::{CommandError, Failure};
use crate::{cli, output};

/// Show the requests that wait for your answer
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl requests
  ffctl requests show 3f2a
  ffctl accept 3f2a --to ~/inbox")]
pub(crate) struct Requests {
    #[command(subcommand)]
    command: Option<Action>,
    #[command(flatten)]
    pub(super) format: cli::Format,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List every file that a request offers, as far as the sender has told
    ///
    /// With --json there is a line for every entry and one with "total" and "complete" at the end.
    Show {
        /// The request's id, or its beginning
        id: String,
    },
}

impl Requests {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut client = connect().await?;
        let requests = waiting(&mut client).await?;
        match self.command {
            None => Ok(print(&requests, self.format.json)?),
            Some(Action::Show { id }) => {
                let id = complete_id(&id, requests.iter().map(|request| request.id.as_str()))?;
                show(&mut client, id, self.format.json).await
            }
        }
    }
}

/// The id of a waiting request from its beginning.
pub(super) async fn find(client: &mut Client, typed: &str) -> Result<String, CommandError> {
    let requests = waiting(client).await?;
    complete_id(typed, requests.iter().map(|request| request.id.as_str()))
}

/// How much a request offers; `None` if it waits no more.
pub(super) async fn offer(client: &mut Client, id: &str) -> Result<Option<Offer>, CommandError> {
    let requests = waiting(client).await?;
    Ok(requests.iter().find(|request| request.id == id).map(RequestView::offer))
}

async fn waiting(client: &mut Client) -> Result<Vec<RequestView>, CommandError> {
    match client.call(Call::Requests).await? {
        Reply::Requests(requests) => Ok(requests),
        _ => Err(unexpected()),
    }
}

fn print(requests: &[RequestView], json: bool) -> io::Result<()> {
    #[derive(Serialize)]
    struct Json<'a> {
        requests: &'a [RequestView],
    }
    if json {
        return output::json(&Json { requests });
    }
    if requests.is_empty() {
        output::note("no request waits for an answer");
        return Ok(());
    }
    output::table(
        ["ID", "FROM", "WHEN", "WHAT", "NAMES"],
        &requests.iter().map(row).collect::<Vec<_>>(),
    )
}

fn row(request: &RequestView) -> [String; 5] {
    let said = request.text.as_ref().map(|said| format!("says {}", text::quoted(said)));
    let names = request.names.iter().map(|name| text::quoted(name).to_string());
    let names: Vec<_> = match said {
        Some(said) => vec![said],
        None => names.collect(),
    };
    [
        format::short_id(&request.id),
        format!("{} ({})", text::display(&request.from), standing(request)),
        format::ago(request.received_at),
        amount(request),
        names.join(" "),
    ]
}

/// How much it is, and whether it is to replace what was sent before.
fn amount(request: &RequestView) -> String {
    let amount = format::amount(request.files, request.bytes, request.total_known);
    if request.update { amount + ", an update" } else { amount }
}

fn standing(request: &RequestView) -> &'static str {
    match request {
        RequestView { verified: true, .. } => "verified",
        RequestView { known: true, .. } => "contact",
        _ => "stranger",
    }
}

/// Lists a manifest page by page, so that a long one is never held as a whole.
async fn show(client: &mut Client, id: String, json: bool) -> Result<(), Failure> {
    let mut shown = 0;
    let mut limit = MAX_PAGE;
    loop {
        let call = Call::RequestShow { id: id.clone(), offset: shown, limit };
        let page = match client.call(call).await {
            Ok(Reply::RequestPage(page)) => page,
            Ok(_) => return Err(unexpected().into()),
            Err(ClientError::Refused(error)) if error.code == ErrorCode::TooLarge && limit > 1 => {
                limit /= 2;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        page.entries.iter().try_for_each(|entry| print_entry(entry, json))?;
        shown += u64::try_from(page.entries.len()).expect("a length fits 64 bits");
        if page.entries.is_empty() || shown >= page.total {
            return Ok(print_end(&page, json)?);
        }
    }
}

fn print_entry(entry: &EntryView, json: bool) -> io::Result<()> {
    if json {
        return output::json(entry);
    }
    let file_path = text::display(&entry.path);
    match entry.kind {
        EntryKind::File => output::line(&format!("{:>11}  {file_path}", format::size(entry.size))),
        EntryKind::Dir => output::line(&format!("{:>11}  {file_path}/", "folder")),
        EntryKind::Symlink => output::line(&format!("{:>11}  {file_path}", "link")),
    }
}

fn print_end(page: &RequestPage, json: bool) -> io::Result<()> {
    #[derive(Serialize)]
    struct Json {
        total: u64,
        complete: bool,
    }
    if json {
        return output::json(&Json { total: page.total, complete: page.complete });
    }
    if !page.complete {
        output::note("there is more: the sender has not told everything yet");
    }
    Ok(())
}
