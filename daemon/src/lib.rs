//! The FileFleet daemon.

pub mod connect;
pub mod peer;
pub mod transport;
