//! Two or more daemons' peers and a server in one process, over loopback.

#![allow(clippy::unwrap_used)]

mod direct;
mod endings;
mod relayed;
pub(crate) mod support;
