//! The daemon as a service of this user, which starts with the login: systemd on Linux, launchd on
//! macOS, the start-up entries on Windows.
//!
//! A service serves the platform's own home; one that `FILEFLEET_HOME` names has none. The home's
//! lock keeps two daemons from serving it, so whoever starts one asks here first
//! ([`crate::start::start_daemon`] does): the service is started where there is one.

#[cfg(unix)]
mod definition;
#[cfg(target_os = "macos")]
mod launchd;
#[cfg(windows)]
mod startup;
#[cfg(target_os = "linux")]
mod systemd;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod unknown;

use std::io;
use std::path::{Path, PathBuf};

use crate::home::{HOME_VARIABLE, Home};
use crate::socket;
use crate::start::{self, StartError, StopError};

#[cfg(target_os = "macos")]
use launchd as os;
#[cfg(windows)]
use startup as os;
#[cfg(target_os = "linux")]
use systemd as os;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
use unknown as os;

/// Why something could not be done with the service.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The home is one that the variable names.
    #[error("a service serves the user's own home, and {HOME_VARIABLE} names another one")]
    OtherHome,
    /// This user has no service manager, or it does not answer.
    #[error("this user has no {manager} that answers{}", explained(.said))]
    Unavailable {
        /// Which one is meant.
        manager: &'static str,
        /// What its program said, if it could be run.
        said: String,
    },
    /// The service manager refused.
    #[error("{manager} refuses{}", explained(.said))]
    Refused {
        /// Which one it is.
        manager: &'static str,
        /// What it said.
        said: String,
    },
    /// The service's definition was not written by [`install`].
    #[error("{} is not FileFleet's own", .0.display())]
    Foreign(PathBuf),
    /// The daemon's path cannot be written down in a definition.
    #[error("a service cannot run {}", .0.display())]
    Unspeakable(PathBuf),
    /// The definition cannot be read or written.
    #[error("cannot change {}", .0.display())]
    Definition(PathBuf, #[source] io::Error),
    /// The daemon's program is not there.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A daemon that runs without the service does not make room for it.
    #[error(transparent)]
    Stop(#[from] StopError),
}

fn explained(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// What there is of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Who runs it: `systemd`, `launchd`, `start-up entry`.
    pub manager: &'static str,
    /// Whether it starts with the login.
    pub enabled: bool,
    /// Whether it runs now, as a service.
    pub running: bool,
    /// Its process, if it runs and the manager tells.
    pub pid: Option<u32>,
    /// The file, or the registry's key, that defines it.
    pub definition: Option<PathBuf>,
    /// The program that it runs.
    pub program: Option<PathBuf>,
}

/// What [`install`] changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// False if everything was so already.
    pub changed: bool,
    /// How it is now.
    pub status: Status,
}

/// Makes the daemon start with the login, and starts it now. A daemon that was started otherwise
/// ends first; its transfers go on in the new one. Doing it again does nothing, or mends what is
/// out of date.
pub async fn install(home: &Home) -> Result<Installed, ServiceError> {
    check(home)?;
    let program = start::find_program().ok_or(StartError::NotFound)?;
    let before = status(home).await?;
    let changed = blocking(move || os::define(&program)).await? || !before.enabled;
    if os::STARTS_DAEMONS {
        if !before.running {
            start::stop_daemon(home).await?;
        }
        let restart = before.running && changed;
        blocking(move || os::start(restart)).await?;
    }
    // Waits until it serves, and starts it where the manager does not.
    start::start_daemon(home).await?;
    Ok(Installed { changed, status: status(home).await? })
}

/// Ends the daemon that runs as a service and makes it start no more. Whether there was one.
/// The user's settings, keys and transfers stay.
pub async fn uninstall(home: &Home) -> Result<bool, ServiceError> {
    check(home)?;
    let removed = blocking(os::remove).await?;
    if removed && !os::STARTS_DAEMONS {
        start::stop_daemon(home).await?;
    }
    Ok(removed)
}

/// What there is of the service.
pub async fn status(home: &Home) -> Result<Status, ServiceError> {
    check(home)?;
    let mut status = blocking(os::status).await?;
    if status.enabled && !os::STARTS_DAEMONS {
        status.running = socket::is_locked(home);
    }
    Ok(status)
}

/// Starts the service in place of `program`, if it runs that program or starts with the login.
/// False if there is no such service: then whoever asks starts the daemon alone.
pub(crate) async fn start_in_place_of(home: &Home, program: &Path) -> Result<bool, ServiceError> {
    if home.root().is_some() {
        return Ok(false);
    }
    let program = program.to_owned();
    blocking(move || match os::status() {
        Ok(status) if status.enabled || status.program == Some(program) => {
            os::start(false).map(|()| os::STARTS_DAEMONS)
        }
        // Without a service manager there is nothing that it could run.
        _ => Ok(false),
    })
    .await
}

fn check(home: &Home) -> Result<(), ServiceError> {
    match home.root() {
        Some(_) => Err(ServiceError::OtherHome),
        None => Ok(()),
    }
}

/// Service managers are asked by running a program, which takes a while.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    tokio::task::spawn_blocking(work).await.expect("asking a service manager does not panic")
}
