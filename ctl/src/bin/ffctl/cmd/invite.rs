//! `ffctl invite`.

use clap::Args;
use filefleet_ctl::proto::{Call, Reply};
use filefleet_ctl::text;
use serde::Serialize;

use super::{call, unexpected};
use crate::failure::Failure;
use crate::{cli, output};

/// Print a link that introduces you: server, its pin, your name and identity
///
/// Whoever adds it with "ffctl contacts add" knows you without having to trust the server. It holds
/// no secret, but hand it over in a way that nobody can alter.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ffctl invite")]
pub(crate) struct Invite {
    #[command(flatten)]
    pub(super) format: cli::Format,
}

impl Invite {
    pub(super) async fn run(self) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Json {
            link: String,
        }
        match call(Call::Invite).await? {
            Reply::Invite { link } if self.format.json => Ok(output::json(&Json { link })?),
            Reply::Invite { link } => Ok(output::line(&text::display(&link).to_string())?),
            _ => Err(unexpected().into()),
        }
    }
}
