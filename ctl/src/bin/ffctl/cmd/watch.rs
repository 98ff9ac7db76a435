//! `ffctl watch`.

use std::io;

use clap::Args;
use filefleet_ctl::proto::{ContactView, Event, RequestView, StateView, TransferView};
use filefleet_ctl::{format, text};

use super::{connect, transfers};
use crate::failure::Failure;
use crate::{cli, output};

/// Show what happens, as it happens, until interrupted
///
/// With --json every line is an event; the first, "state", is everything as it stands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl watch
  ffctl watch --json | jq 'select(.event == \"request\")'")]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(super) format: cli::Format,
}

impl Watch {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut watch = connect().await?.watch().await?;
        loop {
            let event = watch.next().await?;
            if self.format.json {
                output::json(&event)?;
            } else {
                print(&event)?;
            }
        }
    }
}

fn print(event: &Event) -> io::Result<()> {
    match event {
        Event::State(state) => print_state(state),
        Event::Transfer(transfer) => output::line(&transfer_line(transfer)),
        Event::Link(link) => output::line(&format::link_event(link)),
        Event::Request(request) => output::line(&request_line(request)),
        Event::RequestGone { id } => {
            output::line(&format!("request {} is answered", format::short_id(id)))
        }
        Event::Contact(contact) => output::line(&contact_line(contact)),
        Event::ContactGone { name } => {
            output::line(&format!("{} is no contact any more", text::display(name)))
        }
        Event::Registration { registered: true, name, .. } => {
            let name = name.as_deref().unwrap_or_default();
            output::line(&format!("registered as {}", text::display(name)))
        }
        Event::Registration { error, .. } => match error {
            Some(error) => output::line(&format!("not registered: {}", text::display(error))),
            None => output::line("not registered"),
        },
        Event::Setting(setting) => output::line(&format!(
            "setting {} is now {:?}",
            text::display(&setting.key),
            text::display(&setting.value).to_string(),
        )),
        Event::Warning { message } => output::line(&format!("warning: {}", text::display(message))),
    }
}

fn print_state(state: &StateView) -> io::Result<()> {
    let name = state.status.name.as_deref().unwrap_or("nobody yet");
    let registered = if state.status.registered { "registered" } else { "not registered" };
    output::line(&format!("this is {}, {registered}", text::display(name)))?;
    state.requests.iter().try_for_each(|request| output::line(&request_line(request)))?;
    if state.transfers.is_empty() {
        return Ok(());
    }
    transfers::print_table(&state.transfers)
}

fn transfer_line(transfer: &TransferView) -> String {
    let mut line = format!(
        "transfer {} {}: {}, {}",
        format::short_id(&transfer.id),
        format::route(transfer),
        format::state(transfer.state),
        format::progress(transfer),
    );
    if let Some(link) = format::link_of(transfer) {
        line += &format!(", {}, {link}", format::rate(transfer.rate));
    }
    if let Some(error) = transfer.error.as_ref().or(transfer.reason.as_ref()) {
        line += &format!(": {}", text::display(&error.message));
    }
    line + &said(transfer.text.as_deref().filter(|_| transfer.state.is_final()))
}

/// A text as it is shown behind what is said about it.
fn said(said: Option<&str>) -> String {
    said.map_or_else(String::new, |said| format!(", says {}", text::quoted(said)))
}

fn request_line(request: &RequestView) -> String {
    format!(
        "request {} from {}: {}{}",
        format::short_id(&request.id),
        text::display(&request.from),
        format::amount(request.files, request.bytes, request.total_known),
        said(request.text.as_deref()),
    )
}

fn contact_line(contact: &ContactView) -> String {
    let presence = match (contact.near, contact.online) {
        (true, _) => "is near",
        (false, Some(true)) => "is online",
        (false, Some(false)) => "is offline",
        (false, None) => "is a contact",
    };
    format!("{} {presence}", text::display(&contact.name))
}
