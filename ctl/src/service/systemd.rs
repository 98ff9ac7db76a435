//! systemd: a unit of the user's own manager.
//!
//! A package brings the unit along; where there is none that runs this daemon, one is written to
//! the user's folder of units.

mod unit;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

use directories::BaseDirs;

use super::{ServiceError, Status};

const MANAGER: &str = "systemd";
const UNIT: &str = "filefleetd.service";

/// Whether [`start`] starts a daemon.
pub(super) const STARTS_DAEMONS: bool = true;

/// Where packages and administrators put units of users, the strongest first (systemd.unit(5)).
const SHARED: [&str; 3] =
    ["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"];

/// Makes sure that a unit runs `program` and is enabled. Whether the unit had to be changed.
pub(super) fn define(program: &Path) -> Result<bool, ServiceError> {
    let own = own_unit()?;
    let changed = match shared_unit_runs(program) {
        true => unit::remove(&own)?,
        false => unit::write(&own, program)?,
    };
    if changed {
        systemctl(&["daemon-reload"])?;
    }
    systemctl(&["enable", UNIT])?;
    Ok(changed)
}

/// Starts it and waits until it serves; one that runs already is left alone, or started anew.
pub(super) fn start(restart: bool) -> Result<(), ServiceError> {
    // What failed too often before is tried again.
    let _nothing_failed = systemctl(&["reset-failed", UNIT]);
    systemctl(&[if restart { "restart" } else { "start" }, UNIT]).map(drop)
}

/// Ends and disables it. Whether there was anything to end.
pub(super) fn remove() -> Result<bool, ServiceError> {
    let before = status()?;
    if before.definition.is_none() {
        return Ok(false);
    }
    systemctl(&["disable", "--now", UNIT])?;
    let removed = unit::remove(&own_unit()?)?;
    if removed {
        systemctl(&["daemon-reload"])?;
    }
    Ok(removed || before.enabled || before.running)
}

pub(super) fn status() -> Result<Status, ServiceError> {
    let properties = "--property=FragmentPath,UnitFileState,ActiveState,MainPID,ExecStart";
    Ok(parse(&systemctl(&["show", properties, UNIT])?))
}

/// What `systemctl show` prints, a property a line.
fn parse(shown: &str) -> Status {
    let property = |name: &str| {
        let mut values =
            shown.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.next().filter(|value| !value.is_empty())
    };
    let program =
        property("ExecStart").and_then(|value| value.split_once("path=")?.1.split(" ;").next());
    let pid = property("MainPID").and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0);
    Status {
        manager: MANAGER,
        enabled: property("UnitFileState").is_some_and(|state| state.starts_with("enabled")),
        running: matches!(property("ActiveState"), Some("active" | "reloading")),
        pid,
        definition: property("FragmentPath").map(PathBuf::from),
        program: program.map(PathBuf::from),
    }
}

fn shared_unit_runs(program: &Path) -> bool {
    let units = SHARED.iter().map(|dir| Path::new(dir).join(UNIT));
    let text = units.map(fs::read_to_string).find_map(Result::ok);
    text.is_some_and(|text| unit::runs(&text, program))
}

fn own_unit() -> Result<PathBuf, ServiceError> {
    let missing = || ServiceError::Unavailable { manager: MANAGER, said: String::new() };
    Ok(BaseDirs::new().ok_or_else(missing)?.config_dir().join("systemd/user").join(UNIT))
}

/// Asks the user's manager; what it printed.
fn systemctl(arguments: &[&str]) -> Result<String, ServiceError> {
    let mut command = Command::new("systemctl");
    command.args(["--user", "--no-pager", "--no-ask-password", "--quiet"]).args(arguments);
    // What it says is looked at, and shown.
    let output = command.env("LC_ALL", "C.UTF-8").output();
    let output = output.map_err(|error| unavailable(&error))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false if said.starts_with("Failed to connect to bus") => {
            Err(ServiceError::Unavailable { manager: MANAGER, said })
        }
        false => Err(ServiceError::Refused { manager: MANAGER, said }),
    }
}

fn unavailable(error: &io::Error) -> ServiceError {
    let said = match error.kind() {
        ErrorKind::NotFound => String::new(),
        _ => error.to_string(),
    };
    ServiceError::Unavailable { manager: MANAGER, said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows_is_understood() {
        let status = parse(
            "ExecStart={ path=/opt/a b/filefleetd ; argv[]=/opt/a b/filefleetd ; pid=0 }\n\
             FragmentPath=/home/a/.config/systemd/user/filefleetd.service\n\
             UnitFileState=enabled\nActiveState=active\nMainPID=42\n",
        );
        assert_eq!(status.program, Some("/opt/a b/filefleetd".into()));
        assert_eq!(
            status.definition,
            Some("/home/a/.config/systemd/user/filefleetd.service".into())
        );
        assert_eq!((status.enabled, status.running, status.pid), (true, true, Some(42)));
    }

    #[test]
    fn a_unit_that_does_not_exist_is_nothing() {
        let status = parse("FragmentPath=\nUnitFileState=\nActiveState=inactive\nMainPID=0\n");
        let nothing = Status {
            manager: MANAGER,
            enabled: false,
            running: false,
            pid: None,
            definition: None,
            program: None,
        };
        assert_eq!(status, nothing);
    }

    #[test]
    fn a_masked_or_disabled_unit_does_not_start_with_the_login() {
        for state in ["disabled", "masked", "static"] {
            assert!(!parse(&format!("UnitFileState={state}\n")).enabled);
        }
        assert!(parse("UnitFileState=enabled-runtime\n").enabled);
    }
}
