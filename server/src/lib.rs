//! FileFleet's rendezvous and relay.
//!
//! The library owns the protocol between a daemon and a server: the frames ([`protos`]), the UDP
//! plumbing both ends share ([`udp`]) and the daemon's side of the conversation. The server itself
//! is behind the feature `server`. Nothing here knows what two daemons say to each other: the
//! server introduces people and copies ciphertext.
#![warn(missing_docs)]

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "client")]
pub mod nat64;
pub mod protos;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "client")]
mod tunnel;
pub mod udp;
