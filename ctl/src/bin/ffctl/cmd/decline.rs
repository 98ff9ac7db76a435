//! `ffctl decline`.

use clap::Args;
use filefleet_ctl::proto::Call;

use super::{connect, requests};
use crate::failure::Failure;

/// Refuse what a request offers; the sender learns of it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ffctl decline 3f2a")]
pub(crate) struct Decline {
    /// The request's id, or its beginning; see "ffctl requests"
    id: String,
}

impl Decline {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut client = connect().await?;
        let id = requests::find(&mut client, &self.id).await?;
        client.call(Call::Decline { id }).await?;
        Ok(())
    }
}
