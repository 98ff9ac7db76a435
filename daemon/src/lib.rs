//! The FileFleet daemon: one per user, long-running. It holds the registration at the rendezvous
//! server and owns identity, contacts and every transfer.
//!
//! `control → daemon → {transfer, connect, discover, transport, notify} → {policy, identity, store}`:
//! what stands further right knows nothing of what stands further left.

pub mod congestion;
pub mod connect;
mod control;
mod crash;
mod daemon;
pub mod discover;
mod doctor;
mod error;
#[cfg(all(test, target_os = "linux"))]
mod fuzz;
#[cfg(all(test, unix))]
mod hostile;
mod identity;
pub mod logging;
mod memory;
mod notify;
pub mod peer;
mod policy;
mod settings;
mod spool;
mod store;
mod supervisor;
pub mod transfer;
pub mod transport;

pub use daemon::run;
pub use error::DaemonError;
