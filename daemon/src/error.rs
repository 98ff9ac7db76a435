//! Why the daemon cannot run, and how errors are put into words.

use std::error::Error;
use std::io;

use thiserror::Error;

use crate::identity::IdentityError;
use crate::settings::SettingsError;
use crate::store::StoreError;

/// Why the daemon cannot run.
#[derive(Debug, Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum DaemonError {
    /// The control socket cannot be used; another daemon may run.
    Listen(#[from] filefleet_ctl::socket::ListenError),
    /// The settings cannot be read.
    #[expect(private_interfaces, reason = "only its text and its cause leave the crate")]
    Settings(#[from] SettingsError),
    /// The keys cannot be read or made.
    #[expect(private_interfaces, reason = "only its text and its cause leave the crate")]
    Identity(#[from] IdentityError),
    /// The state cannot be read.
    #[expect(private_interfaces, reason = "only its text and its cause leave the crate")]
    Store(#[from] StoreError),
    /// The UDP socket cannot be bound.
    #[error("cannot bind the UDP port")]
    Socket(#[source] io::Error),
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
