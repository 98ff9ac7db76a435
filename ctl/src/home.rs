//! Where one user's files and socket lie.
//!
//! `FILEFLEET_HOME=DIR` keeps everything below `DIR`, so that two users can live on one machine:
//! `DIR/config`, `DIR/state`, `DIR/run`, `DIR/received`. Without it the platform's own folders are
//! used. Nothing here creates a folder.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use directories::{ProjectDirs, UserDirs};

/// The variable that keeps everything below one folder.
pub const HOME_VARIABLE: &str = "FILEFLEET_HOME";

/// Why there is no home.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// The system does not say where this user's folders are.
    #[error("this user has no home folder; set {HOME_VARIABLE} to a folder to use instead")]
    NoUserFolders,
    /// `FILEFLEET_HOME` is relative and the current folder is gone.
    #[error("cannot make {HOME_VARIABLE} absolute")]
    CurrentDir(#[source] io::Error),
}

/// One user's folders. Every path is absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: Option<PathBuf>,
    config: PathBuf,
    state: PathBuf,
    run: PathBuf,
    received: PathBuf,
}

impl Home {
    /// The home of this process's user, as `FILEFLEET_HOME` or the platform has it.
    pub fn from_env() -> Result<Self, HomeError> {
        match env::var_os(HOME_VARIABLE).filter(|root| !root.is_empty()) {
            Some(root) => Self::at(root),
            None => Self::of_platform(),
        }
    }

    /// A home with everything below `root`.
    pub fn at(root: impl Into<OsString>) -> Result<Self, HomeError> {
        let root = std::path::absolute(root.into()).map_err(HomeError::CurrentDir)?;
        Ok(Self {
            config: root.join("config"),
            state: root.join("state"),
            run: root.join("run"),
            received: root.join("received"),
            root: Some(root),
        })
    }

    fn of_platform() -> Result<Self, HomeError> {
        let project = ProjectDirs::from("", "", "FileFleet").ok_or(HomeError::NoUserFolders)?;
        let user = UserDirs::new().ok_or(HomeError::NoUserFolders)?;
        let state = project.state_dir().unwrap_or_else(|| project.data_local_dir()).to_owned();
        let runtime = project.runtime_dir().map(Path::to_owned);
        let downloads = user.download_dir().map(Path::to_owned);
        Ok(Self {
            root: None,
            config: project.config_dir().to_owned(),
            run: runtime.or_else(session_dir).unwrap_or_else(|| state.join("run")),
            received: downloads.unwrap_or_else(|| user.home_dir().join("Downloads")),
            state,
        })
    }

    /// The folder that holds everything, if `FILEFLEET_HOME` names one.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Where the settings file lies.
    pub fn config_dir(&self) -> &Path {
        &self.config
    }

    /// The settings, which a person may edit.
    pub fn settings_file(&self) -> PathBuf {
        self.config.join("settings.toml")
    }

    /// Where keys, the database, the lock and the log lie.
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Where the control socket lies, unless that path is too long for one.
    pub fn run_dir(&self) -> &Path {
        &self.run
    }

    /// Where received files go unless the settings say otherwise.
    pub fn received_dir(&self) -> &Path {
        &self.received
    }

    /// What a daemon in the background says.
    pub fn log_file(&self) -> PathBuf {
        self.state.join("filefleetd.log")
    }

    /// Locked for as long as a daemon of this home lives; holds its process id.
    pub fn lock_file(&self) -> PathBuf {
        self.state.join("daemon.lock")
    }
}

/// The session's runtime folder when `XDG_RUNTIME_DIR` does not name it, as under `cron`, `su` or
/// a plain `ssh`: a daemon started at the desktop is found from there too.
#[cfg(target_os = "linux")]
fn session_dir() -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;

    let uid = rustix::process::geteuid().as_raw();
    let dir = PathBuf::from(format!("/run/user/{uid}"));
    let own = std::fs::symlink_metadata(&dir).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid);
    own.then(|| dir.join("filefleet"))
}

#[cfg(not(target_os = "linux"))]
fn session_dir() -> Option<PathBuf> {
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_folder_holds_everything() {
        let root = Path::new(if cfg!(windows) { r"C:\ff" } else { "/srv/ff" });
        let home = Home::at(root).unwrap();
        assert_eq!(home.root(), Some(root));
        assert_eq!(home.config_dir(), root.join("config"));
        assert_eq!(home.state_dir(), root.join("state"));
        assert_eq!(home.run_dir(), root.join("run"));
        assert_eq!(home.received_dir(), root.join("received"));
        assert_eq!(home.log_file(), root.join("state").join("filefleetd.log"));
    }

    #[test]
    fn a_relative_home_is_made_absolute() {
        let home = Home::at("ff").unwrap();
        assert_eq!(home.root(), Some(env::current_dir().unwrap().join("ff").as_path()));
    }
}
