//! Starting the daemon in the background, for programs that need one, and stopping it.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientError};
use crate::home::{HOME_VARIABLE, Home};
use crate::proto::{Call, Hello};
use crate::service::{self, ServiceError};
use crate::socket::{self, ConnectError};

#[cfg(unix)]
use unix as os;
#[cfg(windows)]
use windows as os;

/// How long the daemon may take until its socket answers: a first start makes keys and a database,
/// on a slow disk.
const START_DEADLINE: Duration = Duration::from_secs(15);

/// How long the daemon may take to end: it lets transfers come to a good point first.
const STOP_DEADLINE: Duration = Duration::from_secs(15);

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
    #[error("filefleetd ended instead of serving ({status})")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to its log.
        said: String,
    },
    /// The daemon runs, but its socket does not answer.
    #[error("filefleetd does not answer yet")]
    TimedOut,
    /// It is a service, which does not start.
    #[error(transparent)]
    Service(Box<ServiceError>),
    /// What answers is not a daemon that this program can talk to.
    #[error(transparent)]
    Client(ClientError),
}

/// The daemon's program.
const PROGRAM: &str = if cfg!(windows) { "filefleetd.exe" } else { "filefleetd" };

/// What [`start_daemon`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// It started this one, which serves now.
    Now(Hello),
    /// This one ran already.
    Before(Hello),
}

/// Makes sure that a daemon of `home` runs and serves. Where there is a service
/// ([`crate::service`]), that is started; else a daemon that is detached from this process and its
/// terminal, and writes to [`Home::log_file`].
pub async fn start_daemon(home: &Home) -> Result<Started, StartError> {
    match Client::connect(home).await {
        Ok(client) => return Ok(Started::Before(client.hello().clone())),
        Err(ClientError::Connect(ConnectError::NotRunning)) => {}
        Err(error) => return Err(StartError::Client(error)),
    }
    let program = find_program().ok_or(StartError::NotFound)?;
    let by_service = service::start_in_place_of(home, &program).await;
    if by_service.map_err(|error| StartError::Service(Box::new(error)))? {
        return until_it_serves(home, None).await;
    }
    let log_file = home.log_file();
    let log_error = |error| StartError::Log(home.log_file(), error);
    let (log, log_start) = open_log(&log_file).map_err(log_error)?;
    let child = spawn(program, home, log)?;
    until_it_serves(home, Some((child, log_start))).await
}

/// Waits until the daemon serves that was just started: as this child, whose log begins there, or by
/// the service manager.
async fn until_it_serves(
    home: &Home,
    mut child: Option<(Child, u64)>,
) -> Result<Started, StartError> {
    let deadline = Instant::now() + START_DEADLINE;
    let mut pauses = Pauses::default();
    loop {
        // Asked before connecting, so that a daemon that lost a race to another one is no error.
        let ended = child
            .as_mut()
            .and_then(|(child, log_start)| Some((child.try_wait().ok().flatten()?, *log_start)));
        match Client::connect(home).await {
            Ok(client) => {
                child.into_iter().for_each(|(child, _)| reap(child));
                return Ok(Started::Now(client.hello().clone()));
            }
            Err(ClientError::Connect(ConnectError::NotRunning)) => {}
            Err(error) => return Err(StartError::Client(error)),
        }
        if let Some((status, log_start)) = ended {
            return Err(StartError::Ended { status, said: tail(&home.log_file(), log_start) });
        }
        if Instant::now() >= deadline {
            return Err(StartError::TimedOut);
        }
        pauses.next().await;
    }
}

/// Waits for the end of a daemon that this process may outlive: nobody else can, and it would stay
/// behind as a zombie.
fn reap(mut child: Child) {
    std::thread::spawn(move || child.wait());
}

/// Runs the daemon, detached, with its output in `log`.
fn spawn(program: PathBuf, home: &Home, log: File) -> Result<Child, StartError> {
    let stderr = log.try_clone().map_err(|error| StartError::Log(home.log_file(), error))?;
    let mut command = Command::new(&program);
    command.current_dir(home.state_dir());
    command.stdin(Stdio::null()).stdout(log).stderr(stderr);
    if let Some(root) = home.root() {
        command.env(HOME_VARIABLE, root);
    }
    os::detach(&mut command);
    command.spawn().map_err(|error| StartError::Spawn(program, error))
}

/// Asks the daemon of `home` to end and waits until it has; whether there was one.
pub async fn stop_daemon(home: &Home) -> Result<bool, StopError> {
    let mut client = match Client::connect_any(home).await {
        Ok(client) => client,
        Err(ClientError::Connect(ConnectError::NotRunning)) => return Ok(false),
        Err(error) => return Err(StopError::Client(error)),
    };
    match client.call(Call::Shutdown).await {
        Ok(_) | Err(ClientError::ClosedByDaemon) => {}
        Err(error) => return Err(StopError::Client(error)),
    }
    let deadline = Instant::now() + STOP_DEADLINE;
    let mut pauses = Pauses::default();
    while socket::is_locked(home) {
        if Instant::now() >= deadline {
            return Err(StopError::TimedOut { pid: client.hello().pid });
        }
        pauses.next().await;
    }
    Ok(true)
}

/// Why the daemon may still run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// It agreed and has not ended yet.
    #[error("filefleetd (process {pid}) has not ended yet")]
    TimedOut {
        /// Its process id.
        pid: u32,
    },
    /// It could not be asked.
    #[error(transparent)]
    Client(ClientError),
}

/// The pauses between two looks at something that does not tell when it changes.
#[derive(Default)]
struct Pauses {
    last: Option<Duration>,
}

impl Pauses {
    async fn next(&mut self) {
        let pause = self.last.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.last = Some(pause);
        sleep(pause).await;
    }
}

/// Beside the running program first, so that a build or an unpacked archive uses its own daemon.
pub(crate) fn find_program() -> Option<PathBuf> {
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join(PROGRAM)));
    let in_path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&in_path).map(|dir| dir.join(PROGRAM)).collect::<Vec<_>>();
    beside.into_iter().chain(in_path).find(|program| program.is_file())
}

/// The log, to be appended to, and how long it is already.
fn open_log(log_file: &Path) -> io::Result<(File, u64)> {
    if let Some(dir) = log_file.parent() {
        socket::make_private(dir)?;
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
