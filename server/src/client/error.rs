//! Why a registration or a request failed.

use crate::protos::rendezvous::{CloseCode, ErrorCode};

/// Why a registration or a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody ever claimed the name.
    #[error("nobody has this name")]
    UnknownName,
    /// The holder of the name is not registered now.
    #[error("not online")]
    Offline,
    /// The name to be registered belongs to another identity.
    #[error("the name is taken by somebody else")]
    NameTaken,
    /// No registration came about in the time a request waits for it.
    #[error("not registered at the server")]
    NotRegistered,
    /// The server wants fewer requests.
    #[error("too many requests, the server says")]
    RateLimited,
    /// The server's key is not the pinned one, or without a pin, nobody trusted vouches for it.
    #[error("the server is not who it should be")]
    ServerIdentity,
    /// No connection to the server came about.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server is full or broken.
    #[error("the server cannot do this now")]
    Unavailable,
    /// The server does not accept the device's proof.
    #[error("the server refuses the device certificate")]
    NotProven,
    /// The same identity registered the name from elsewhere.
    #[error("the name was registered from another device")]
    Replaced,
    /// The server said something unexpected.
    #[error("the server does not keep to the protocol")]
    Protocol,
    /// The server did not answer in time.
    #[error("the server did not answer")]
    TimedOut,
    /// The connection broke before the answer.
    #[error("the connection to the server was lost")]
    ConnectionLost,
    /// This client was shut down.
    #[error("the registration has ended")]
    ShutDown,
}

impl Error {
    /// Whether trying again soon cannot help.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::NameTaken | Self::ServerIdentity | Self::NotProven | Self::Replaced)
    }

    pub(super) fn of_code(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NameTaken => Self::NameTaken,
            ErrorCode::NotProven => Self::NotProven,
            ErrorCode::UnknownName => Self::UnknownName,
            ErrorCode::Offline => Self::Offline,
            ErrorCode::RateLimited => Self::RateLimited,
            ErrorCode::Unavailable | ErrorCode::Other => Self::Unavailable,
        }
    }

    /// Why a connection could not be made.
    pub(super) fn of_handshake(error: &quinn::ConnectionError) -> Self {
        match error {
            quinn::ConnectionError::TransportError(error) if is_about_identity(error.code) => {
                Self::ServerIdentity
            }
            error => Self::Unreachable(error.to_string()),
        }
    }

    /// Why a connection ended.
    pub(super) fn of_end(error: Option<&quinn::ConnectionError>) -> Self {
        let replaced = quinn::VarInt::from(CloseCode::Replaced);
        match error {
            Some(quinn::ConnectionError::ApplicationClosed(close))
                if close.error_code == replaced =>
            {
                Self::Replaced
            }
            _ => Self::ConnectionLost,
        }
    }
}

/// Whether a TLS alert of our own was about the server's certificate or signature.
fn is_about_identity(code: quinn::TransportErrorCode) -> bool {
    // RFC 9001 section 4.8: 0x100 plus the alert; RFC 8446 section 6: bad_certificate (42) to
    // access_denied (49), and decrypt_error (51) for a wrong signature.
    matches!(u64::from(code).checked_sub(0x100), Some(42..=49 | 51))
}
