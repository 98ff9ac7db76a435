//! The tray and the daemon's notifications on a desktop: a private X server, D-Bus session, window manager, panel and file dialogs,
//! with real daemons and a server behind it. Every wait is for an event: a signal on the bus, a
//! window, a line that a program prints, or its end.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod hostile;
mod living;
mod noticed;
mod notifications;
mod requests;
mod sending;
mod shape;
mod support;
