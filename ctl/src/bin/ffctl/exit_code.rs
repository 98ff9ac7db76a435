//! The exit codes of `ffctl`, and which failure ends in which.

use std::process;

use filefleet_ctl::proto::ErrorCode;

/// What a script learns of how it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    Done = 0,
    Failed = 1,
    /// What clap itself exits with, too.
    Usage = 2,
    DaemonUnreachable = 3,
    Declined = 4,
    PeerUnavailable = 5,
    /// It is sent as soon as the receiver can be reached.
    Queued = 6,
    /// 128 + SIGINT, as shells have it.
    Interrupted = 130,
}

impl From<ExitCode> for process::ExitCode {
    fn from(exit_code: ExitCode) -> Self {
        Self::from(exit_code as u8)
    }
}

/// How a command ends whose call, or transfer, failed with `code`.
pub(crate) fn of_error(code: ErrorCode) -> ExitCode {
    match code {
        ErrorCode::BadArgument => ExitCode::Usage,
        ErrorCode::Declined => ExitCode::Declined,
        ErrorCode::UnknownName | ErrorCode::Offline | ErrorCode::NoSuchContact => {
            ExitCode::PeerUnavailable
        }
        _ => ExitCode::Failed,
    }
}
