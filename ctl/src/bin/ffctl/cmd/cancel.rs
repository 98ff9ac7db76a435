//! `ffctl cancel`.

use clap::Args;
use filefleet_ctl::proto::Call;

use super::{connect, transfers};
use crate::failure::Failure;

/// Stop a transfer on both sides
///
/// Nothing incomplete is left. What was delivered already stays: if that is everything, the command
/// says so and ends with 1.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ffctl cancel 3f2a")]
pub(crate) struct Cancel {
    /// The transfer's id, or its beginning; see "ffctl transfers"
    id: String,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut client = connect().await?;
        let id = transfers::find(&mut client, &self.id).await?;
        client.call(Call::Cancel { id }).await?;
        Ok(())
    }
}
