//! The unit as text, and as the file in the user's folder of units.

use std::path::Path;

use super::super::{ServiceError, definition};

/// What packages install, too.
const TEMPLATE: &str = include_str!("../../../../packaging/linux/systemd/filefleetd.service");
/// The line of it that names the program.
const PACKAGED: &str = "ExecStart=/usr/bin/filefleetd\n";

/// The unit that runs `program`.
fn text(program: &Path) -> Result<String, ServiceError> {
    let quoted = quoted(program).ok_or_else(|| ServiceError::Unspeakable(program.to_owned()))?;
    let unit = TEMPLATE.replace(PACKAGED, &format!("ExecStart={quoted}\n"));
    Ok(format!("# {}\n\n{unit}", definition::MARK))
}

/// A path as `ExecStart=` takes it: quoted, with `%` doubled (systemd.service(5), systemd.unit(5)).
fn quoted(program: &Path) -> Option<String> {
    let program = program.to_str()?;
    if program.contains(char::is_control) {
        return None;
    }
    if program.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c)) {
        return Some(program.to_owned());
    }
    let escaped = program.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    Some(format!("\"{escaped}\""))
}

/// Whether a unit, as somebody wrote it, runs `program`.
pub(super) fn runs(unit: &str, program: &Path) -> bool {
    let line = quoted(program).map(|quoted| format!("ExecStart={quoted}"));
    line.is_some_and(|line| unit.lines().any(|found| found == line))
}

/// Writes the user's own unit, unless it is so already. Whether it was not.
pub(super) fn write(unit: &Path, program: &Path) -> Result<bool, ServiceError> {
    definition::write(unit, &text(program)?)
}

/// Removes the user's own unit. Whether there was one.
pub(super) fn remove(unit: &Path) -> Result<bool, ServiceError> {
    definition::remove(unit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_packaged_unit_runs_the_packaged_daemon() {
        assert!(runs(TEMPLATE, Path::new("/usr/bin/filefleetd")));
        assert!(!runs(TEMPLATE, Path::new("/usr/bin/filefleet")));
        assert_eq!(TEMPLATE.matches(PACKAGED).count(), 1);
    }

    #[test]
    fn a_unit_that_is_written_runs_the_program_whatever_its_path() {
        for (program, line) in [
            ("/home/a/bin/filefleetd", "ExecStart=/home/a/bin/filefleetd"),
            (
                "/home/a b/100% \\ \"x\"/filefleetd",
                r#"ExecStart="/home/a b/100%% \\ \"x\"/filefleetd""#,
            ),
        ] {
            let text = text(Path::new(program)).unwrap();
            assert!(text.lines().any(|found| found == line), "{text}");
            assert!(runs(&text, Path::new(program)));
            assert!(!runs(&text, Path::new("/usr/bin/filefleetd")));
        }
    }

    #[test]
    fn a_path_cannot_add_lines_to_a_unit() {
        let program = Path::new("/tmp/a\nExecStartPre=/bin/evil/filefleetd");
        assert!(matches!(text(program), Err(ServiceError::Unspeakable(_))));
    }
}
