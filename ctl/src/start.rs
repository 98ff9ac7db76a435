//! Starting the daemon in the background, for programs that need one.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientError};
use crate::home::{HOME_VARIABLE, Home};
use crate::proto::Hello;
use crate::socket::ConnectError;

#[cfg(unix)]
use unix as os;
#[cfg(windows)]
use windows as os;

/// How long the daemon may take until its socket answers: a first start makes keys and a database,
/// on a slow disk.
const START_DEADLINE: Duration = Duration::from_secs(15);

/// The first pause between two attempts to connect; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How much of the log's end an error shows.
const LOG_TAIL: u64 = 2048;

/// Why no daemon was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The program is neither beside this one nor in `PATH`.
    #[error("cannot find the program {PROGRAM}, neither beside this one nor in PATH")]
    NotFound,
    /// The log cannot be written.
    #[error("cannot write {}", .0.display())]
    Log(PathBuf, #[source] io::Error),
    /// The program cannot be run.
    #[error("cannot run {}", .0.display())]
    Spawn(PathBuf, #[source] io::Error),
    /// The daemon ended instead of serving.
    #[error("filefleetd ended at once ({status}){}", if .said.is_empty() { String::new() } else { format!(":\n{said}") })]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to its log.
        said: String,
    },
    /// The daemon runs, but its socket does not answer.
    #[error("filefleetd does not answer yet")]
    TimedOut,
    /// What answers is not a daemon that this program can talk to.
    #[error(transparent)]
    Client(ClientError),
}

/// The daemon's program.
const PROGRAM: &str = if cfg!(windows) {
    "filefleetd.exe"
} else {
    "filefleetd"
};

/// What [`start_daemon`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// It started this one, which serves now.
    Now(Hello),
    /// This one ran already.
    Before(Hello),
}

/// Makes sure that a daemon of `home` runs and serves. One that it starts is detached from this
/// process and its terminal, and writes to [`Home::log_file`].
pub async fn start_daemon(home: &Home) -> Result<Started, StartError> {
    match Client::connect(home).await {
        Ok(client) => return Ok(Started::Before(client.hello().clone())),
        Err(ClientError::Connect(ConnectError::NotRunning)) => {}
        Err(error) => return Err(StartError::Client(error)),
    }
    let program = find_program().ok_or(StartError::NotFound)?;
    let log_file = home.log_file();
    let (log, log_start) =
        open_log(&log_file).map_err(|error| StartError::Log(log_file.clone(), error))?;
    let mut command = Command::new(&program);
    command.stdin(Stdio::null()).current_dir(home.state_dir());
    command.stdout(
        log.try_clone()
            .map_err(|error| StartError::Log(log_file.clone(), error))?,
    );
    command.stderr(log);
    if let Some(root) = home.root() {
        command.env(HOME_VARIABLE, root);
    }
    os::detach(&mut command);
    let mut child = command
        .spawn()
        .map_err(|error| StartError::Spawn(program, error))?;

    let deadline = Instant::now() + START_DEADLINE;
    let mut pause = FIRST_PAUSE;
    loop {
        // Asked before connecting, so that a daemon that lost a race to another one is no error.
        let ended = child.try_wait().ok().flatten();
        match Client::connect(home).await {
            Ok(client) => return Ok(Started::Now(client.hello().clone())),
            Err(ClientError::Connect(ConnectError::NotRunning)) => {}
            Err(error) => return Err(StartError::Client(error)),
        }
        if let Some(status) = ended {
            return Err(StartError::Ended {
                status,
                said: tail(&log_file, log_start),
            });
        }
        if Instant::now() >= deadline {
            return Err(StartError::TimedOut);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Beside the running program first, so that a build or an unpacked archive uses its own daemon.
fn find_program() -> Option<PathBuf> {
    let beside = env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join(PROGRAM)));
    let in_path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&in_path)
        .map(|dir| dir.join(PROGRAM))
        .collect::<Vec<_>>();
    beside
        .into_iter()
        .chain(in_path)
        .find(|program| program.is_file())
}

/// The log, to be appended to, and how long it is already.
fn open_log(log_file: &Path) -> io::Result<(File, u64)> {
    if let Some(dir) = log_file.parent() {
        crate::socket::make_private(dir)?;
    }
    let log = File::options().create(true).append(true).open(log_file)?;
    let length = log.metadata()?.len();
    Ok((log, length))
}

/// The last lines that were logged after `start`.
fn tail(log_file: &Path, start: u64) -> String {
    let read = || -> io::Result<String> {
        let mut log = File::open(log_file)?;
        let length = fs::metadata(log_file)?.len();
        log.seek(SeekFrom::Start(start.max(length.saturating_sub(LOG_TAIL))))?;
        let mut bytes = Vec::new();
        log.take(LOG_TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    read().unwrap_or_default()
}
