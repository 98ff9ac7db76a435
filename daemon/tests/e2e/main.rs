//! The real programs, end to end: a server, daemons and `ffctl` on this machine's loopback, each
//! user in a temporary home. Every wait is for an event: a line that a program prints, or its end.
//!
//! On Windows these tests run, too, but for what that system does not have: signals, symbolic and hard
//! links, file systems of a test's own.
#![allow(clippy::unwrap_used)]

mod absence;
mod again;
mod arriving;
mod asking;
#[cfg(target_os = "linux")] // changes a file whenever inotify says that it is read
mod changing;
mod crossing;
mod destination;
#[cfg(target_os = "linux")] // file systems of a test's own
mod disks;
mod doctor;
#[cfg(target_os = "linux")] // inotify
mod drill;
mod impostor;
mod links;
mod living;
#[cfg(target_os = "linux")] // file systems of a test's own, extended attributes
mod losses;
#[cfg(target_os = "linux")] // what /proc tells of memory
mod many;
mod moving;
#[cfg(target_os = "linux")] // a pipe among the files
mod options;
mod outbox;
mod people;
mod restart;
#[cfg(unix)] // writes in the middle of files
mod resume;
mod server_restart;
#[cfg(target_os = "linux")] // pipes of a shell
mod streams;
#[cfg(target_os = "linux")] // systemd's protocol
mod supervised;
mod support;
mod update;
