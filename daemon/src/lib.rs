//! The FileFleet daemon.

pub mod peer;
pub mod transport;
