//! Systems whose service manager is not known here.

use std::path::Path;

use super::{ServiceError, Status};

/// Whether [`start`] starts a daemon.
pub(super) const STARTS_DAEMONS: bool = false;

pub(super) fn define(_program: &Path) -> Result<bool, ServiceError> {
    Err(unavailable())
}

pub(super) fn start(_restart: bool) -> Result<(), ServiceError> {
    Err(unavailable())
}

pub(super) fn remove() -> Result<bool, ServiceError> {
    Err(unavailable())
}

pub(super) fn status() -> Result<Status, ServiceError> {
    Err(unavailable())
}

fn unavailable() -> ServiceError {
    ServiceError::Unavailable { manager: "service manager", said: String::new() }
}
