//! Local control of the FileFleet daemon, for every program that talks to it.
//!
//! This crate owns the control protocol (JSON lines, [`proto`]), where a user's files and socket
//! lie ([`home`]), the socket and who may use it ([`socket`]), both ends of a connection
//! ([`client`], [`server`]), how a daemon is started ([`start`]), by hand or with the login
//! ([`service`]), how text from strangers is shown ([`text`]) and files are opened ([`open`]). It
//! knows nothing of networks, keys or transfers: its view types are its own, and the daemon converts
//! into them.
#![warn(missing_docs)]

pub mod client;
#[cfg(windows)]
pub mod console;
pub mod format;
pub mod home;
pub mod losses;
pub mod open;
pub mod proto;
pub mod server;
pub mod service;
pub mod socket;
pub mod start;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;

pub use client::{Client, ClientError};
pub use home::Home;
