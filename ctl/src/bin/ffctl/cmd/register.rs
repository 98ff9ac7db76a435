//! `ffctl register`.

use clap::Args;
use filefleet_ctl::proto::{Call, Reply};

use super::{connect, status, unexpected};
use crate::cli;
use crate::failure::Failure;

/// Claim a name at a server and stay registered there from now on
///
/// A name belongs to whoever claims it first. It has 1 to 32 of the characters a-z, 0-9, "." "_"
/// "-" and begins with a letter or a digit.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl register alice --server example.org
  ffctl register alice --server '[2001:db8::7]:7835#41bb…'")]
pub(crate) struct Register {
    /// The name to claim
    name: String,
    /// The server; FINGERPRINT pins its key, as one with a self-signed certificate needs
    #[arg(long, value_name = "HOST[:PORT][#FINGERPRINT]")]
    server: String,
    #[command(flatten)]
    pub(super) format: cli::Format,
}

impl Register {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut client = connect().await?;
        let call = Call::Register { name: self.name, server: self.server };
        client.call(call).await?;
        match client.call(Call::Status).await? {
            Reply::Status(view) => Ok(status::print(&view, self.format.json)?),
            _ => Err(unexpected().into()),
        }
    }
}
