//! The server and its client over real sockets, as daemons and strangers meet them.
#![allow(clippy::unwrap_used)]

#[cfg(unix)]
mod amplification;
mod hostile;
mod probing;
#[cfg(unix)]
mod process;
mod relay;
mod rendezvous;
mod support;
mod tunnel;
