//! Windows named pipes.
//!
//! The pipe belongs to the user, and its security descriptor admits its owner only; it is created as
//! the first of its name, so that nobody can serve it beside the daemon. Whoever makes a pipe of that
//! name before the daemon does is found out by clients, who look at its owner before they say anything,
//! and do not let it act in their name.
//!
//! The owner is named: what an elevated process makes would otherwise be that of all administrators.

mod user;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsHandle, OwnedHandle};
use std::path::Path;
use std::time::Duration;

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::{GenericNamespaced, ListenerOptions, ToNsName};
use interprocess::os::windows::local_socket::ListenerOptionsExt;
use interprocess::os::windows::named_pipe::local_socket::tokio::Stream as PipeStream;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use tokio::time::sleep;
use widestring::U16CString;
use windows_sys::Win32::Foundation::ERROR_PIPE_BUSY;
use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_OVERLAPPED, SECURITY_IDENTIFICATION};

use self::user::User;
use super::{ConnectError, ListenError, hash};
use crate::home::Home;

/// How long to wait while every instance of the pipe has a client; the daemon makes one more for each
/// that it accepts.
const BUSY: Duration = Duration::from_millis(10);

fn pipe_name(home: &Home) -> String {
    format!("filefleet-{:016x}", hash(home))
}

pub(super) fn address(home: &Home) -> String {
    format!(r"\\.\pipe\{}", pipe_name(home))
}

/// The user's folders are private by inheritance from the profile.
pub(super) fn make_private(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)
}

pub(super) fn listen(home: &Home) -> Result<Listener, ListenError> {
    let failed = |error| ListenError::Bind(address(home), error);
    let user = User::of_this_process().and_then(|user| user.name()).map_err(failed)?;
    // Protected, with one entry: everything to the owner (OW), nothing to anybody else.
    let owner_only = U16CString::from_str_truncate(format!("O:{user}D:P(A;;GA;;;OW)"));
    let owner_only = SecurityDescriptor::deserialize(&owner_only).map_err(failed)?;
    let pipe_name = pipe_name(home);
    ListenerOptions::new()
        .name(pipe_name.to_ns_name::<GenericNamespaced>().map_err(failed)?)
        .security_descriptor(owner_only)
        .create_tokio()
        .map_err(failed)
}

pub(super) async fn connect(home: &Home) -> Result<Stream, ConnectError> {
    let address = address(home);
    let pipe = loop {
        match open(&address) {
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY.cast_signed()) => {
                sleep(BUSY).await;
            }
            opened => break opened,
        }
    };
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => ConnectError::NotRunning,
        ErrorKind::PermissionDenied => ConnectError::Foreign(address.clone()),
        _ => ConnectError::Io(address.clone(), error),
    };
    let pipe = pipe.map_err(failed)?;
    let user = User::of_this_process().map_err(failed)?;
    match user.owns(pipe.as_handle()).map_err(failed)? {
        true => Ok(PipeStream::try_from(pipe).map_err(|error| failed(error.into()))?.into()),
        false => Err(ConnectError::Foreign(address)),
    }
}

/// Opens a pipe so that who serves it learns who this is, and can do nothing in their name.
fn open(address: &str) -> io::Result<OwnedHandle> {
    let mut options = File::options();
    let options = options.read(true).write(true).custom_flags(FILE_FLAG_OVERLAPPED);
    options.security_qos_flags(SECURITY_IDENTIFICATION).open(address).map(Into::into)
}

/// The pipe's security descriptor has checked already.
pub(super) fn check_peer(_stream: &Stream) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
