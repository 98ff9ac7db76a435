//! `ffctl accept`.

mod print;

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use filefleet_ctl::proto::{Call, WirePath};

use super::{absolute, connect, requests};
use crate::failure::Failure;

/// Take what a request offers
///
/// The files arrive in the background; see "ffctl transfers".
///
/// With "--to -" a single file goes to standard output: the command waits until all of it has arrived
/// and is verified, then prints it. Otherwise it prints nothing and does not end with 0. What cannot
/// be printed to its end, as when a pipe breaks, is kept, and the command says where.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl accept 3f2a
  ffctl accept 3f2a --to ~/inbox
  ffctl accept 3f2a --to - | tar x
  ffctl accept 3f2a --always")]
pub(crate) struct Accept {
    /// The request's id, or its beginning; see "ffctl requests"
    id: String,
    /// Where to put it, instead of the usual folder; "-" is standard output
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    to: Option<PathBuf>,
    /// From now on, take everything that this person sends, without asking
    #[arg(long)]
    always: bool,
}

impl Accept {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut client = connect().await?;
        let id = requests::find(&mut client, &self.id).await?;
        if self.to.as_deref() == Some(Path::new("-")) {
            return print::run(client, id, self.always).await;
        }
        let to = self.to.as_deref().map(absolute).transpose()?.map(WirePath);
        client.call(Call::Accept { id, to, always: self.always, seen: None }).await?;
        Ok(())
    }
}
