//! `ffctl retry`.

use clap::Args;
use filefleet_ctl::proto::{Call, Reply};
use serde::Serialize;

use super::{connect, transfers, unexpected};
use crate::failure::Failure;
use crate::{cli, output};

/// Send again what did not arrive, to the same person and with the same options
///
/// It prints the id of a new transfer and returns at once, as "ffctl send --detach" does. What has
/// arrived already is not sent again.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ffctl retry 3f2a")]
pub(crate) struct Retry {
    /// The id of the transfer that has ended, or its beginning; see "ffctl transfers --all"
    id: String,
    #[command(flatten)]
    pub(super) format: cli::Format,
}

impl Retry {
    pub(super) async fn run(self) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Json {
            transfer: String,
        }
        let mut client = connect().await?;
        let id = transfers::find_ended(&mut client, &self.id).await?;
        let Reply::SendStarted { transfer } =
            client.call(Call::Retry { id }).await.map_err(crate::failure::CommandError::from)?
        else {
            return Err(unexpected().into());
        };
        match self.format.json {
            true => Ok(output::json(&Json { transfer })?),
            false => Ok(output::line(&transfer)?),
        }
    }
}
