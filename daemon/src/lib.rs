//! The FileFleet daemon's library.

pub mod transfer;
