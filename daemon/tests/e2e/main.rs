//! The real programs, end to end: a server, daemons and `ffctl` on this machine's loopback, each
//! user in a temporary home. Every wait is for an event: a line that a program prints, or its end.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod absence;
mod again;
mod arriving;
mod asking;
mod changing;
mod crossing;
mod destination;
mod impostor;
mod living;
mod moving;
mod options;
mod outbox;
mod people;
mod restart;
mod server_restart;
mod streams;
mod supervised;
mod support;
mod update;
