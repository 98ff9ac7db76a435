//! launchd: an agent of the user's session.

use std::path::{Path, PathBuf};
use std::process::Command;

use directories::BaseDirs;

use super::{ServiceError, Status, definition};

const MANAGER: &str = "launchd";
const LABEL: &str = "org.filefleet.filefleetd";
/// What packages carry, too.
const TEMPLATE: &str = include_str!("../../../packaging/macos/org.filefleet.filefleetd.plist");
/// The program that it names.
const PACKAGED: &str = "<string>/usr/local/bin/filefleetd</string>";
/// What `launchctl` exits with for an agent that it does not know (ESRCH, `launchctl error 113`).
const UNKNOWN: [i32; 2] = [3, 113];

/// Whether [`start`] starts a daemon.
pub(super) const STARTS_DAEMONS: bool = true;

/// Makes sure that an agent runs `program`. Whether it had to be changed; then it is not loaded.
pub(super) fn define(program: &Path) -> Result<bool, ServiceError> {
    let changed = definition::write(&agent()?, &text(program)?)?;
    if changed {
        unload()?;
    }
    // One that was disabled by hand is not loaded at the login.
    launchctl(&["enable", &target()])?;
    Ok(changed)
}

/// Loads it, which starts it, and starts it if it was loaded and had ended.
pub(super) fn start(restart: bool) -> Result<(), ServiceError> {
    if launchctl(&["print", &target()]).is_err() {
        let agent = agent()?;
        let agent = agent.to_str().ok_or_else(|| ServiceError::Unspeakable(agent.clone()))?;
        return launchctl(&["bootstrap", &domain(), agent]).map(drop);
    }
    let arguments: &[&str] = if restart { &["kickstart", "-k"] } else { &["kickstart"] };
    launchctl(&[arguments, &[&target()]].concat()).map(drop)
}

/// Ends it and removes it. Whether there was one.
pub(super) fn remove() -> Result<bool, ServiceError> {
    let unloaded = unload()?;
    Ok(definition::remove(&agent()?)? || unloaded)
}

pub(super) fn status() -> Result<Status, ServiceError> {
    let agent = agent()?;
    let text = std::fs::read_to_string(&agent).ok();
    let printed = launchctl(&["print", &target()]).unwrap_or_default();
    let pid = field(&printed, "pid = ").and_then(|pid| pid.parse().ok());
    Ok(Status {
        manager: MANAGER,
        enabled: text.is_some(),
        running: pid.is_some(),
        pid,
        definition: text.as_ref().map(|_| agent),
        program: text.as_deref().and_then(program_of).map(PathBuf::from),
    })
}

fn field<'a>(printed: &'a str, name: &str) -> Option<&'a str> {
    printed.lines().find_map(|line| line.trim().strip_prefix(name))
}

fn unload() -> Result<bool, ServiceError> {
    let output = run(&["bootout", &target()])?;
    match output.status.code() {
        Some(code) if UNKNOWN.contains(&code) => Ok(false),
        _ => answer(&output).map(|_| true),
    }
}

fn text(program: &Path) -> Result<String, ServiceError> {
    let path = program.to_str().filter(|path| !path.contains(char::is_control));
    let path = path.ok_or_else(|| ServiceError::Unspeakable(program.to_owned()))?;
    let plist = TEMPLATE.replace(PACKAGED, &format!("<string>{}</string>", escaped(path)));
    Ok(plist.replacen("<dict>", &format!("<!-- {} -->\n<dict>", definition::MARK), 1))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The program that an agent of ours runs.
fn program_of(plist: &str) -> Option<String> {
    let arguments = plist.split_once("<key>ProgramArguments</key>")?.1;
    let program = arguments.split_once("<string>")?.1.split_once("</string>")?.0;
    Some(program.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

fn agent() -> Result<PathBuf, ServiceError> {
    let missing = || ServiceError::Unavailable { manager: MANAGER, said: String::new() };
    let dirs = BaseDirs::new().ok_or_else(missing)?;
    Ok(dirs.home_dir().join("Library/LaunchAgents").join(format!("{LABEL}.plist")))
}

/// The session at this user's screen.
fn domain() -> String {
    format!("gui/{}", rustix::process::getuid().as_raw())
}

fn target() -> String {
    format!("{}/{LABEL}", domain())
}

fn launchctl(arguments: &[&str]) -> Result<String, ServiceError> {
    answer(&run(arguments)?)
}

fn run(arguments: &[&str]) -> Result<std::process::Output, ServiceError> {
    let output = Command::new("/bin/launchctl").args(arguments).output();
    output.map_err(|error| ServiceError::Unavailable { manager: MANAGER, said: error.to_string() })
}

fn answer(output: &std::process::Output) -> Result<String, ServiceError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ServiceError::Refused { manager: MANAGER, said })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_agent_runs_the_program_whatever_its_path() {
        let program = "/Users/a & b/<bin>/filefleetd";
        let text = text(Path::new(program)).unwrap();
        assert_eq!(program_of(&text).unwrap(), program);
        assert!(text.contains(definition::MARK) && !text.contains("a & b"));
    }
}
