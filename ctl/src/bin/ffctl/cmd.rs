//! The subcommands, a file each, and what they share.

mod accept;
mod cancel;
mod completions;
mod config;
mod contacts;
mod daemon;
mod decline;
mod doctor;
mod identity;
mod interrupts;
mod invite;
mod man;
mod register;
mod requests;
mod retry;
mod send;
mod service;
mod status;
mod transfers;
mod watch;

use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use filefleet_ctl::proto::{Call, Reply};
use filefleet_ctl::{Client, ClientError, Home};

use crate::failure::{CommandError, Failure};

/// Everything that `ffctl` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Register(register::Register),
    Status(status::Status),
    Doctor(doctor::Doctor),
    Send(send::Send),
    Requests(requests::Requests),
    Accept(accept::Accept),
    Decline(decline::Decline),
    Transfers(transfers::Transfers),
    Cancel(cancel::Cancel),
    Retry(retry::Retry),
    Invite(invite::Invite),
    Contacts(contacts::Contacts),
    Identity(identity::Identity),
    Config(config::Config),
    Watch(watch::Watch),
    Daemon(daemon::Daemon),
    Service(service::Service),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Runs the command to its end.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Register(command) => command.run().await,
            Self::Status(command) => command.run().await,
            Self::Doctor(command) => command.run().await,
            Self::Send(command) => command.run().await,
            Self::Requests(command) => command.run().await,
            Self::Accept(command) => command.run().await,
            Self::Decline(command) => command.run().await,
            Self::Transfers(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Retry(command) => command.run().await,
            Self::Invite(command) => command.run().await,
            Self::Contacts(command) => command.run().await,
            Self::Identity(command) => command.run().await,
            Self::Config(command) => command.run().await,
            Self::Watch(command) => command.run().await,
            Self::Daemon(command) => command.run().await,
            Self::Service(command) => command.run().await,
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
        }
    }

    /// Whether errors are printed as JSON, too.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Register(command) => command.format.json,
            Self::Status(command) => command.format.json,
            Self::Doctor(command) => command.format.json,
            Self::Requests(command) => command.format.json,
            Self::Transfers(command) => command.format.json,
            Self::Retry(command) => command.format.json,
            Self::Invite(command) => command.format.json,
            Self::Contacts(command) => command.format.json,
            Self::Identity(command) => command.format.json,
            Self::Config(command) => command.format.json,
            Self::Watch(command) => command.format.json,
            Self::Daemon(command) => command.format.json,
            Self::Service(command) => command.format.json,
            Self::Send(command) => command.wants_json(),
            Self::Accept(_) | Self::Decline(_) | Self::Cancel(_) => false,
            Self::Completions(_) | Self::Man(_) => false,
        }
    }
}

/// Connects to this user's daemon.
async fn connect() -> Result<Client, CommandError> {
    let home = Home::from_env()?;
    Ok(Client::connect(&home).await?)
}

/// Asks this user's daemon one thing.
async fn call(call: Call) -> Result<Reply, CommandError> {
    Ok(connect().await?.call(call).await?)
}

/// An answer that does not belong to the question.
fn unexpected() -> CommandError {
    ClientError::UnexpectedReply.into()
}

/// The one of `ids` that begins with `typed`. Without one, what was typed: the daemon then says
/// what is wrong with it.
fn complete_id<'a>(
    typed: &str,
    ids: impl IntoIterator<Item = &'a str>,
) -> Result<String, CommandError> {
    let candidates: Vec<&str> = ids.into_iter().filter(|id| id.starts_with(typed)).collect();
    match candidates[..] {
        [only] => Ok(only.to_owned()),
        [_, _, ..] if !candidates.contains(&typed) => {
            Err(CommandError::usage(format!("more than one id begins with {typed}"))
                .with_hint("type more of it"))
        }
        _ => Ok(typed.to_owned()),
    }
}

/// A path as the daemon needs it, which runs in another folder: absolute, symbolic links kept.
fn absolute(file_path: &Path) -> Result<PathBuf, CommandError> {
    let failed =
        |error: io::Error| CommandError::failed(format!("cannot find out where this is: {error}"));
    std::path::absolute(file_path).map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_id_may_be_shortened_while_it_is_unique() {
        let ids = ["abc1", "abd2", "ab"];
        assert_eq!(complete_id("abc", ids).unwrap(), "abc1");
        assert_eq!(complete_id("x", ids).unwrap(), "x");
        assert!(complete_id("a", ids).is_err());
    }

    #[test]
    fn a_whole_id_is_unique_whatever_begins_with_it() {
        assert_eq!(complete_id("ab", ["ab", "abc"]).unwrap(), "ab");
        assert_eq!(complete_id("ab", ["abc", "ab"]).unwrap(), "ab");
    }
}
