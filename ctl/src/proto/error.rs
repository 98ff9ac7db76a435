//! Errors as a client sees them: a stable code for programs, a message and a hint for people.

use serde::{Deserialize, Serialize};

/// Why a call, or a transfer, failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What went wrong, for people: one sentence without a full stop.
    pub message: String,
    /// What to do next, if there is something to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ControlError {
    /// An error without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same error, with what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The kinds of failure. Codes are never renamed and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// This daemon has no name yet, or its server does not know it at present.
    NotRegistered,
    /// The server knows nobody of that name.
    UnknownName,
    /// The other person's daemon is not connected at present.
    Offline,
    /// The other person, or their settings, declined.
    Declined,
    /// A contact answered with another identity key than the pinned one.
    IdentityChanged,
    /// The name belongs to another identity.
    NameTaken,
    /// The server could not be reached.
    ServerUnreachable,
    /// The server is not the one its pin, or the platform's trust store, admits.
    ServerIdentity,
    /// The server or a peer asks for less haste.
    RateLimited,
    /// No transfer has that id.
    NoSuchTransfer,
    /// No waiting request has that id.
    NoSuchRequest,
    /// The request offers more than was shown to whoever accepted it.
    RequestChanged,
    /// No contact has that name.
    NoSuchContact,
    /// An argument of the call cannot be right.
    BadArgument,
    /// A file or folder that was named does not exist.
    FileNotFound,
    /// The system does not let the daemon read or write there.
    PermissionDenied,
    /// The destination has no room.
    DiskFull,
    /// Somebody cancelled the transfer.
    Cancelled,
    /// It was to be cancelled and had arrived already.
    Delivered,
    /// A source file changed while it was sent.
    SourceChanged,
    /// The transfer stopped before its end, for instance with the other daemon.
    Interrupted,
    /// More bytes or entries than are allowed.
    TooLarge,
    /// The passphrase does not open the identity.
    WrongPassphrase,
    /// The other side speaks another version of the protocol.
    Incompatible,
    /// A fault of the daemon itself; its log says more.
    Internal,
    /// A code that this program does not know yet.
    #[serde(other)]
    Unknown,
}
