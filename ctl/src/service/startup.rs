//! Windows: an entry of the user's own in the list of what starts with the login, which the task
//! manager shows, and where the user can switch it off.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use winreg::RegKey;
use winreg::enums::HKEY_CURRENT_USER;

use super::{ServiceError, Status};

const MANAGER: &str = "start-up entry";
const KEY: &str = r"Software\Microsoft\Windows\CurrentVersion\Run";
const VALUE: &str = "FileFleet";
/// It has no console to say anything on.
const ARGUMENTS: &str = "--log-to-file";

/// The entry does nothing before the next login: whoever wants a daemon now starts it.
pub(super) const STARTS_DAEMONS: bool = false;

/// Makes sure that the entry runs `program`. Whether it had to be changed.
pub(super) fn define(program: &Path) -> Result<bool, ServiceError> {
    let path = program.to_str().filter(|path| !path.contains('"'));
    let path = path.ok_or_else(|| ServiceError::Unspeakable(program.to_owned()))?;
    let wanted = format!("\"{path}\" {ARGUMENTS}");
    if entry()?.as_ref() == Some(&wanted) {
        return Ok(false);
    }
    let (key, _) = RegKey::predef(HKEY_CURRENT_USER).create_subkey(KEY).map_err(failed)?;
    key.set_value(VALUE, &wanted).map_err(failed)?;
    Ok(true)
}

/// Nothing: see [`STARTS_DAEMONS`].
pub(super) fn start(_restart: bool) -> Result<(), ServiceError> {
    Ok(())
}

/// Removes the entry. Whether there was one. A daemon that runs goes on until the logout.
pub(super) fn remove() -> Result<bool, ServiceError> {
    if entry()?.is_none() {
        return Ok(false);
    }
    let (key, _) = RegKey::predef(HKEY_CURRENT_USER).create_subkey(KEY).map_err(failed)?;
    key.delete_value(VALUE).map_err(failed)?;
    Ok(true)
}

pub(super) fn status() -> Result<Status, ServiceError> {
    let entry = entry()?;
    let program = entry.as_deref().and_then(|command| command.strip_prefix('"')?.split('"').next());
    Ok(Status {
        manager: MANAGER,
        enabled: entry.is_some(),
        running: false,
        pid: None,
        definition: entry.is_some().then(place),
        program: program.map(PathBuf::from),
    })
}

/// The command that starts with the login.
fn entry() -> Result<Option<String>, ServiceError> {
    let read = || RegKey::predef(HKEY_CURRENT_USER).open_subkey(KEY)?.get_value(VALUE);
    match read() {
        Ok(command) => Ok(Some(command)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn place() -> PathBuf {
    PathBuf::from(format!(r"HKEY_CURRENT_USER\{KEY}\{VALUE}"))
}

fn failed(error: io::Error) -> ServiceError {
    ServiceError::Definition(place(), error)
}
