//! Windows named pipes.
//!
//! The pipe's security descriptor admits its owner only, and the pipe is created as the first of
//! its name, so that nobody can serve it beside the daemon. A pipe of that name that somebody else
//! made first makes `listen` fail; what a client would tell such a pipe is not defended against
//! beyond the name, which holds a hash of the user's own folder.

use std::io::{self, ErrorKind};
use std::path::Path;

use interprocess::local_socket::tokio::prelude::*;
use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::{GenericNamespaced, ListenerOptions, Name, ToNsName};
use interprocess::os::windows::local_socket::ListenerOptionsExt;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use widestring::u16cstr;

use super::{ConnectError, ListenError, hash};
use crate::home::Home;

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
    // Protected, with one entry: everything to the owner (OW), nothing to anybody else.
    let owner_only =
        SecurityDescriptor::deserialize(u16cstr!("D:P(A;;GA;;;OW)")).map_err(failed)?;
    let pipe_name = pipe_name(home);
    ListenerOptions::new()
        .name(name(&pipe_name).map_err(failed)?)
        .security_descriptor(owner_only)
        .create_tokio()
        .map_err(failed)
}

pub(super) async fn connect(home: &Home) -> Result<Stream, ConnectError> {
    let pipe_name = pipe_name(home);
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => ConnectError::NotRunning,
        ErrorKind::PermissionDenied => ConnectError::Foreign(address(home)),
        _ => ConnectError::Io(address(home), error),
    };
    // Waits by itself while every instance of the pipe has a client.
    Stream::connect(name(&pipe_name).map_err(failed)?).await.map_err(failed)
}

fn name(pipe_name: &str) -> io::Result<Name<'_>> {
    pipe_name.to_ns_name::<GenericNamespaced>()
}

/// The pipe's security descriptor has checked already.
pub(super) fn check_peer(_stream: &Stream) -> io::Result<()> {
    Ok(())
}
