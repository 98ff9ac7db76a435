//! One tray for one home: a second one would show everything twice.

use std::fs::{File, TryLockError};

use anyhow::Context;
use filefleet_ctl::{Home, socket};

/// Held for as long as the tray runs; `None` if another tray of this home does.
pub(crate) fn lock(home: &Home) -> anyhow::Result<Option<File>> {
    let dir = home.state_dir();
    socket::make_private(dir).with_context(|| format!("cannot use {}", dir.display()))?;
    let file_path = dir.join("tray.lock");
    let cannot = || format!("cannot lock {}", file_path.display());
    let file = File::options().create(true).append(true).open(&file_path).with_context(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
    }
}
