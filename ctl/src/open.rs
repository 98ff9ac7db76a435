//! Opening files with what the desktop has for them.
//!
//! Programs that a service manager confines do not start others themselves; they ask the desktop over
//! its bus, which takes [`uri`]s, and look at [`is_runnable`] first.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a system would run rather than show. Somebody else has named the file.
const RUNNABLE: &[&str] = &[
    "app", "appimage", "bat", "bash", "chm", "cmd", "com", "command", "cpl", "desktop", "dll",
    "exe", "hta", "inf", "jar", "js", "jse", "lnk", "msc", "msi", "msp", "pif", "pkg", "pl", "ps1",
    "py", "rb", "reg", "run", "scf", "scr", "sh", "terminal", "url", "vb", "vbe", "vbs", "webloc",
    "workflow", "wsf", "wsh", "xpc",
];

/// Opens a file or folder and waits until the desktop has taken it over. What would be run rather
/// than shown is shown in its folder instead.
///
/// # Errors
///
/// A sentence for the person who asked: the file is gone, or the desktop has nothing that opens it.
pub fn open(file_path: &Path) -> Result<(), String> {
    // A link has a name of its own.
    let real_path = fs::canonicalize(file_path).map_err(|error| failed(file_path, &error))?;
    let meta = fs::metadata(&real_path).map_err(|error| failed(file_path, &error))?;
    match is_runnable(file_path, &meta) || is_runnable(&real_path, &meta) {
        true => show(file_path),
        false => run(opener(file_path)).map_err(|error| failed(file_path, &error)),
    }
}

/// Shows the folder in which a file lies, if the desktop can with the file marked.
///
/// # Errors
///
/// As for [`open`].
pub fn show(file_path: &Path) -> Result<(), String> {
    let folder = file_path.parent().unwrap_or(file_path);
    match marker(file_path) {
        Some(command) => run(command),
        None => run(opener(folder)),
    }
    .map_err(|error| failed(folder, &error))
}

/// Opens the settings file, with a first line in it if there is none yet.
///
/// # Errors
///
/// As for [`open`], or the file cannot be made.
pub fn open_settings(file_path: &Path) -> Result<(), String> {
    let made = || -> io::Result<()> {
        if let Some(dir) = file_path.parent() {
            crate::socket::make_private(dir)?;
        }
        let hint = "# \"ffctl config list\" says what can be set here.\n";
        match fs::File::create_new(file_path) {
            Ok(mut file) => io::Write::write_all(&mut file, hint.as_bytes()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    };
    made().and_then(|()| run(opener(file_path))).map_err(|error| failed(file_path, &error))
}

/// Whether a system would run this file rather than show it, by its name or its permissions.
pub fn is_runnable(file_path: &Path, meta: &fs::Metadata) -> bool {
    let extension = file_path.extension().map(|it| it.to_string_lossy().to_ascii_lowercase());
    let named_so = extension.is_some_and(|it| RUNNABLE.contains(&it.as_str()));
    // On macOS a program is a folder.
    named_so || (meta.is_file() && may_be_run(meta))
}

#[cfg(unix)]
fn may_be_run(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o111 != 0
}

#[cfg(windows)]
fn may_be_run(_: &fs::Metadata) -> bool {
    false
}

/// The desktop's command that opens a file. Paths are absolute, so that none is taken for an option.
fn opener(file_path: &Path) -> Command {
    let program = if cfg!(windows) {
        "explorer"
    } else if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let mut command = Command::new(program);
    command.arg(file_path);
    command
}

/// The command that shows a file marked in its folder, where there is one; on Linux the session bus
/// is asked first, by whoever has it.
fn marker(file_path: &Path) -> Option<Command> {
    if cfg!(target_os = "macos") {
        let mut command = Command::new("open");
        command.arg("-R").arg(file_path);
        return Some(command);
    }
    in_explorer(file_path)
}

#[cfg(windows)]
fn in_explorer(file_path: &Path) -> Option<Command> {
    use std::os::windows::process::CommandExt;
    // Explorer wants quotes around the path alone; no name here can hold one.
    let mut argument = std::ffi::OsString::from("/select,\"");
    argument.push(file_path);
    argument.push("\"");
    let mut command = Command::new("explorer");
    command.raw_arg(argument);
    Some(command)
}

#[cfg(not(windows))]
fn in_explorer(_: &Path) -> Option<Command> {
    None
}

/// The address of a file (RFC 8089), with everything escaped that is not unreserved (RFC 3986, section
/// 2.3).
#[cfg(unix)]
pub fn uri(file_path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let escape = |byte: &u8| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    let path: String = file_path.as_os_str().as_bytes().iter().map(escape).collect();
    format!("file://{path}")
}

fn run(mut command: Command) -> io::Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status()?;
    // Explorer says 1 whatever came of it.
    if status.success() || cfg!(windows) {
        Ok(())
    } else {
        Err(io::Error::other(status.to_string()))
    }
}

fn failed(file_path: &Path, error: &io::Error) -> String {
    format!("cannot open {}: {error}", file_path.display())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[cfg(unix)]
    fn set_mode(file_path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file_path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[cfg(windows)]
    fn set_mode(_: &Path, _: u32) {}

    #[cfg(unix)]
    #[test]
    fn a_file_becomes_a_uri() {
        assert_eq!(uri(Path::new("/a b/ü%#.txt")), "file:///a%20b/%C3%BC%25%23.txt");
    }

    #[test]
    fn what_would_be_run_is_told_from_what_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let is_runnable = |name: &str, mode: u32| {
            let file_path = dir.path().join(name);
            fs::write(&file_path, "").unwrap();
            set_mode(&file_path, mode);
            super::is_runnable(&file_path, &fs::metadata(&file_path).unwrap())
        };
        for (name, mode) in [("a.desktop", 0o644), ("A.EXE", 0o600)] {
            assert!(is_runnable(name, mode), "{name}");
        }
        assert_eq!(is_runnable("photo.jpg", 0o755), cfg!(unix));
        for name in ["photo.jpg", "notes", "desktop", "a.sh.txt"] {
            assert!(!is_runnable(name, 0o644), "{name}");
        }
        assert!(!super::is_runnable(dir.path(), &fs::metadata(dir.path()).unwrap()));
    }
}
