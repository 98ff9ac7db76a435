//! `ffctl accept`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use filefleet_ctl::proto::{Call, WirePath};

use super::{absolute, connect, requests};
use crate::failure::Failure;

/// Take what a request offers
///
/// The files arrive in the background; see "ffctl transfers".
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl accept 3f2a
  ffctl accept 3f2a --to ~/inbox
  ffctl accept 3f2a --always")]
pub(crate) struct Accept {
    /// The request's id, or its beginning; see "ffctl requests"
    id: String,
    /// Where to put it, instead of the usual folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    to: Option<PathBuf>,
    /// From now on, take everything that this person sends, without asking
    #[arg(long)]
    always: bool,
}

impl Accept {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let to = self.to.as_deref().map(absolute).transpose()?.map(WirePath);
        let mut client = connect().await?;
        let id = requests::find(&mut client, &self.id).await?;
        client.call(Call::Accept { id, to, always: self.always }).await?;
        Ok(())
    }
}
