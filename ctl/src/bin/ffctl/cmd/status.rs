//! `ffctl status`.

use std::io;

use clap::Args;
use filefleet_ctl::proto::{Call, Reply, StatusView};
use filefleet_ctl::{format, text};

use super::{call, transfers, unexpected};
use crate::failure::Failure;
use crate::{cli, output};

/// Show who you are, whether the server knows you, and what is under way
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl status
  ffctl status --json | jq .registered")]
pub(crate) struct Status {
    #[command(flatten)]
    pub(super) format: cli::Format,
}

impl Status {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match call(Call::Status).await? {
            Reply::Status(view) => Ok(print(&view, self.format.json)?),
            _ => Err(unexpected().into()),
        }
    }
}

/// Prints how things stand.
pub(super) fn print(view: &StatusView, json: bool) -> io::Result<()> {
    if json {
        return output::json(view);
    }
    let or_none = |value: &Option<String>| match value {
        Some(value) => text::display(value).to_string(),
        None => "none yet: ffctl register NAME --server HOST".to_owned(),
    };
    output::fields(&[
        ("name", or_none(&view.name)),
        ("server", or_none(&view.server)),
        ("registered", registered(view)),
        ("identity", text::display(&view.identity).to_string()),
        ("device", text::display(&view.device).to_string()),
        ("received", view.received_dir.to_string()),
        ("local network", local_network(view).to_owned()),
        ("daemon", format!("{} (process {})", text::display(&view.version), view.pid)),
    ])?;
    for warning in &view.warnings {
        output::line(&format!("warning: {}", text::display(warning)))?;
    }
    if view.requests > 0 {
        let requests = format::count(view.requests, "request");
        output::line(&format!("{requests} waiting for your answer: ffctl requests"))?;
    }
    if view.transfers.is_empty() {
        return Ok(());
    }
    output::line("")?;
    transfers::print_table(&view.transfers)
}

fn local_network(view: &StatusView) -> &'static str {
    match view.lan_discovery {
        true => "contacts are found",
        false => "not used: ffctl config set lan-discovery true",
    }
}

fn registered(view: &StatusView) -> String {
    match &view.registration_error {
        _ if view.registered => "yes".to_owned(),
        Some(error) => format!("no: {}", text::display(error)),
        None => "no".to_owned(),
    }
}
