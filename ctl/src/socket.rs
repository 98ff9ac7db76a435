//! The local socket: where it is, who may use it, and that only one daemon serves it.
//!
//! On Unix it is a socket file (0600) in a folder of the user's own (0700), and whoever connects
//! must have the daemon's own uid; clients check the same of the daemon. On Windows it is a named
//! pipe that admits its owner only. A lock file, held for the daemon's life, says who runs.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use interprocess::local_socket::tokio as local;
use interprocess::local_socket::tokio::prelude::*;

use crate::home::Home;

#[cfg(unix)]
use unix as os;
#[cfg(windows)]
use windows as os;

pub use local::Stream;

/// Why the daemon cannot serve its socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another daemon of this home runs already.
    #[error("filefleetd runs already{}", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    AlreadyRunning {
        /// Its process id, where the system lets us read it.
        pid: Option<u32>,
    },
    /// A folder or the lock file cannot be made, or belongs to somebody else.
    #[error("cannot use {}", .0.display())]
    Unusable(PathBuf, #[source] io::Error),
    /// The socket cannot be made.
    #[error("cannot listen on {0}")]
    Bind(String, #[source] io::Error),
}

/// Why there is no connection to the daemon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody serves this home's socket.
    #[error("filefleetd is not running")]
    NotRunning,
    /// The socket, or the process that serves it, belongs to another user.
    #[error("{0} belongs to another user")]
    Foreign(String),
    /// The socket cannot be reached.
    #[error("cannot connect to {0}")]
    Io(String, #[source] io::Error),
}

/// Serves the socket of one home. Dropping it removes the socket, then gives up the lock.
#[derive(Debug)]
pub struct Listener {
    listener: local::Listener,
    _lock: File,
}

impl Listener {
    /// Waits for the next client of this same user. Others are dropped and logged.
    ///
    /// An error is about the system, for instance that too many files are open, not about the
    /// socket: wait a moment and accept again. Cancel safe.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            let stream = self.listener.accept().await?;
            match os::check_peer(&stream) {
                Ok(()) => return Ok(stream),
                Err(error) => tracing::warn!(%error, "refused a control connection"),
            }
        }
    }
}

/// Takes the lock of `home` and serves its socket, making the folders that it needs.
///
/// Must be called within a tokio runtime.
pub fn listen(home: &Home) -> Result<Listener, ListenError> {
    os::make_private(home.state_dir())
        .map_err(|error| ListenError::Unusable(home.state_dir().to_owned(), error))?;
    let lock = lock(&home.lock_file())?;
    let listener = os::listen(home)?;
    Ok(Listener { listener, _lock: lock })
}

/// Connects to the daemon of `home`.
pub async fn connect(home: &Home) -> Result<Stream, ConnectError> {
    let stream = os::connect(home).await?;
    match os::check_peer(&stream) {
        Ok(()) => Ok(stream),
        Err(_) => Err(ConnectError::Foreign(os::address(home))),
    }
}

/// Whether a daemon of `home` lives, whether or not it serves.
pub(crate) fn is_locked(home: &Home) -> bool {
    File::open(home.lock_file())
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Makes a folder that is for this user only, or checks that it is.
pub fn make_private(dir: &Path) -> io::Result<()> {
    os::make_private(dir)
}

/// Where the socket of `home` is, for messages.
pub fn address(home: &Home) -> String {
    os::address(home)
}

/// Tells one user's homes apart: FNV-1a, 64 bits. It withstands no attack, nor has to, since owners
/// are checked.
fn hash(home: &Home) -> u64 {
    let bytes = home.run_dir().as_os_str().as_encoded_bytes();
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The lock is the system's: it ends with the process, however that ends, so that a lock file that
/// is left over means nothing.
fn lock(lock_path: &Path) -> Result<File, ListenError> {
    let unusable = |error| ListenError::Unusable(lock_path.to_owned(), error);
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(lock_path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(unusable)?;
            write!(file, "{}", std::process::id()).map_err(unusable)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            Err(ListenError::AlreadyRunning { pid: holder(&mut file) })
        }
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// Who wrote the lock file. Windows does not let others read a locked file.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.parse().ok()
}
