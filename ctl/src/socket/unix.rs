//! Unix sockets.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use interprocess::local_socket::tokio::prelude::*;
use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, ToFsName};

use super::{ConnectError, ListenError, hash};
use crate::home::Home;

/// Longest path that fits into `sockaddr_un` with its final NUL (unix(7)).
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

const SOCKET_NAME: &str = "ctl.sock";

/// Where the socket of `home` is. A path that is too long for a socket is replaced by a short one
/// in a private folder that the home's path decides.
fn socket_path(home: &Home) -> PathBuf {
    let direct = home.run_dir().join(SOCKET_NAME);
    if fits(&direct) {
        return direct;
    }
    let hash = hash(home);
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let in_runtime = runtime
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(format!("filefleet-{hash:016x}")).join(SOCKET_NAME));
    in_runtime.filter(|path| fits(path)).unwrap_or_else(|| {
        PathBuf::from(format!("/tmp/filefleet-{}-{hash:016x}", own_uid())).join(SOCKET_NAME)
    })
}

fn fits(socket_path: &Path) -> bool {
    socket_path.as_os_str().len() <= MAX_SOCKET_PATH
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(super) fn address(home: &Home) -> String {
    socket_path(home).display().to_string()
}

/// Makes `dir` with its parents, for this user only; what exists must be this user's own folder,
/// and is closed to others if it was open.
pub(super) fn make_private(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    check_own(dir)?;
    if fs::symlink_metadata(dir)?.mode() & 0o077 != 0 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// A folder, not a symbolic link to one, of this user.
fn check_own(dir: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(dir)?;
    if meta.is_dir() && meta.uid() == own_uid() {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::PermissionDenied, "it is not this user's own folder"))
}

pub(super) fn listen(home: &Home) -> Result<Listener, ListenError> {
    let socket_path = socket_path(home);
    let dir = socket_path.parent().expect("a socket path has a folder");
    make_private(dir).map_err(|error| ListenError::Unusable(dir.to_owned(), error))?;
    let failed = |error| ListenError::Bind(socket_path.display().to_string(), error);
    remove_stale(&socket_path)?;
    let options = ListenerOptions::new().name(name(&socket_path).map_err(failed)?);
    let listener = options.create_tokio().map_err(failed)?;
    // The folder is closed to others, so that nobody comes between these two steps.
    fs::set_permissions(&socket_path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Removes the socket of a daemon that was killed: one at which nobody answers.
fn remove_stale(socket_path: &Path) -> Result<(), ListenError> {
    let failed = |error| ListenError::Bind(socket_path.display().to_string(), error);
    match fs::symlink_metadata(socket_path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(failed(io::Error::new(ErrorKind::AlreadyExists, "it is no socket")));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(socket_path) {
        Ok(_) => Err(ListenError::AlreadyRunning { pid: None }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(socket_path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

pub(super) async fn connect(home: &Home) -> Result<Stream, ConnectError> {
    let socket_path = socket_path(home);
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => ConnectError::NotRunning,
        ErrorKind::PermissionDenied => ConnectError::Foreign(socket_path.display().to_string()),
        _ => ConnectError::Io(socket_path.display().to_string(), error),
    };
    check_own(socket_path.parent().expect("a socket path has a folder")).map_err(failed)?;
    Stream::connect(name(&socket_path).map_err(failed)?).await.map_err(failed)
}

fn name(socket_path: &Path) -> io::Result<Name<'_>> {
    socket_path.to_fs_name::<GenericFilePath>()
}

/// Admits processes of this user only.
pub(super) fn check_peer(stream: &Stream) -> io::Result<()> {
    let uid = stream.peer_creds()?.euid();
    if uid == Some(own_uid()) {
        return Ok(());
    }
    let who = uid.map_or_else(|| "an unknown user".to_owned(), |uid| format!("user {uid}"));
    Err(io::Error::new(ErrorKind::PermissionDenied, who))
}

#[cfg(test)]
mod tests;
