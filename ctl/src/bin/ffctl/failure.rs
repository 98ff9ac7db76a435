//! Why a command ended without success, and what the user can do about it.

use std::io;

use filefleet_ctl::home::HomeError;
use filefleet_ctl::proto::{ControlError, ErrorCode, FileFailure, LossView};
use filefleet_ctl::service::ServiceError;
use filefleet_ctl::socket::ConnectError;
use filefleet_ctl::start::{StartError, StopError};
use filefleet_ctl::{ClientError, losses};
use serde::Serialize;

use crate::exit_code::{self, ExitCode};

/// How a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be told to the user.
    Error(Box<CommandError>),
    /// The user was told already.
    Told(ExitCode),
    /// Whoever read standard output has had enough.
    ReaderGone,
}

/// An error as the user sees it; as JSON `{"code":…,"message":…,"hint":…}`.
#[derive(Debug, Serialize)]
pub(crate) struct CommandError {
    #[serde(skip)]
    pub(crate) exit_code: ExitCode,
    code: Code,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Lines that explain it, for people.
    #[serde(skip)]
    pub(crate) details: Vec<String>,
    /// A transfer's report shows it.
    #[serde(skip)]
    pub(crate) shortfall: Box<Shortfall>,
}

/// What a transfer that came to its end did not bring over.
#[derive(Debug, Default)]
pub(crate) struct Shortfall {
    /// The files that failed.
    pub(crate) failures: Vec<FileFailure>,
    /// What could not be kept of the others.
    pub(crate) losses: Vec<LossView>,
}

/// The daemon's codes, and those of failures that the daemon does not see.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
enum Code {
    Daemon(ErrorCode),
    Local(&'static str),
}

impl CommandError {
    fn local(exit_code: ExitCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(exit_code, Code::Local(code), message.into())
    }

    fn new(exit_code: ExitCode, code: Code, message: String) -> Self {
        let (details, shortfall) = (Vec::new(), Box::default());
        Self { exit_code, code, message, hint: None, details, shortfall }
    }

    /// Something that this program could not do.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::local(ExitCode::Failed, "failed", message)
    }

    /// A file that was named and is not there.
    pub(crate) fn file_not_found(message: impl Into<String>) -> Self {
        ControlError::new(ErrorCode::FileNotFound, message).into()
    }

    /// An argument whose fault clap cannot see.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        ControlError::new(ErrorCode::BadArgument, message).into()
    }

    /// Ctrl-C.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self::local(ExitCode::Interrupted, "interrupted", message)
    }

    fn unreachable(message: impl Into<String>) -> Self {
        Self::local(ExitCode::DaemonUnreachable, "daemon_unreachable", message)
    }

    /// The same error, with what to do next.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error, with lines that explain it.
    #[must_use]
    pub(crate) fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// The same error, with the files that failed while others arrived.
    #[must_use]
    pub(crate) fn with_failures(mut self, failures: Vec<FileFailure>) -> Self {
        let details = failures.iter();
        self.details = details.map(|file| format!("{}: {}", file.path, file.message)).collect();
        self.shortfall.failures = failures;
        self
    }

    /// The same error, with what could not be kept of the files that arrived.
    #[must_use]
    pub(crate) fn with_losses(mut self, losses: Vec<LossView>) -> Self {
        self.details.extend(losses::describe(&losses));
        self.shortfall.losses = losses;
        self
    }
}

impl From<ControlError> for CommandError {
    fn from(error: ControlError) -> Self {
        let exit_code = exit_code::of_error(error.code);
        Self { hint: error.hint, ..Self::new(exit_code, Code::Daemon(error.code), error.message) }
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        const RESTART: &str = "restart it: ffctl daemon stop, then ffctl daemon start";
        let message = with_sources(&error);
        match error {
            ClientError::Refused(error) => error.into(),
            ClientError::Connect(ConnectError::NotRunning) => {
                Self::unreachable(message).with_hint("start it: ffctl daemon start")
            }
            ClientError::Connect(ConnectError::Foreign(_)) => Self::unreachable(message)
                .with_hint("run ffctl as the user whose daemon it is, or set FILEFLEET_HOME"),
            ClientError::TooLong => {
                Self::failed(message).with_hint("name fewer paths, or a folder that holds them")
            }
            ClientError::Version(_) => Self::unreachable(message).with_hint(RESTART),
            ClientError::TimedOut => Self::unreachable(message).with_hint(RESTART),
            ClientError::Connect(_) | ClientError::Io(_) | ClientError::ClosedByDaemon => {
                Self::unreachable(message).with_hint("see whether it runs: ffctl status")
            }
            _ => Self::failed(message).with_hint(RESTART),
        }
    }
}

impl From<StartError> for CommandError {
    fn from(error: StartError) -> Self {
        let unreachable = Self::unreachable(with_sources(&error));
        match error {
            StartError::Client(error) => error.into(),
            StartError::Service(error) => (*error).into(),
            StartError::NotFound => {
                unreachable.with_hint("install filefleetd beside ffctl, or put its folder in PATH")
            }
            StartError::Ended { said, .. } => {
                unreachable.with_details(said.lines().map(str::to_owned).collect())
            }
            _ => unreachable,
        }
    }
}

impl From<StopError> for CommandError {
    fn from(error: StopError) -> Self {
        match error {
            StopError::Client(error) => error.into(),
            _ => Self::failed(with_sources(&error)).with_hint("wait a little, or end the process"),
        }
    }
}

impl From<ServiceError> for CommandError {
    fn from(error: ServiceError) -> Self {
        let failed = Self::failed(with_sources(&error));
        match error {
            ServiceError::Start(error) => error.into(),
            ServiceError::Stop(error) => error.into(),
            ServiceError::OtherHome => Self::usage(with_sources(&error))
                .with_hint("leave FILEFLEET_HOME out, or start the daemon by yourself"),
            ServiceError::Unavailable { .. } => {
                failed.with_hint("start the daemon without it: ffctl daemon start")
            }
            ServiceError::Foreign(_) => failed.with_hint("move it away, then try again"),
            ServiceError::Refused { manager: "systemd", .. } => {
                failed.with_hint("see what the daemon said: journalctl --user -u filefleetd -e")
            }
            _ => failed,
        }
    }
}

impl From<HomeError> for CommandError {
    fn from(error: HomeError) -> Self {
        Self::failed(with_sources(&error))
    }
}

impl<E: Into<CommandError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(Box::new(error.into()))
    }
}

/// Errors of standard output, the only one not turned into a [`CommandError`] where it happens.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => CommandError::failed(format!("cannot write the output: {error}")).into(),
        }
    }
}

/// An error and why it happened, in one sentence.
fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |message, source| format!("{message}: {source}"))
}
