//! Why links and sessions end: the codes that travel, and the reasons that the daemon sees.

use quinn::{ConnectionError, VarInt};

/// The application error codes of QUIC connections between peers. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// The daemon shuts down.
    GoingAway = 1,
    /// Another link of the same session serves instead; the session goes on.
    Redundant = 2,
    /// Nothing to do for a while.
    Idle = 3,
    /// The identity is another than the one that is pinned.
    IdentityChanged = 4,
    /// The person here does not want to hear from the person there.
    Blocked = 5,
    /// The other side broke the protocol.
    Protocol = 6,
    /// The same device has begun a newer session.
    Replaced = 7,
    /// This link's session is gone.
    SessionGone = 8,
}

impl CloseCode {
    /// The code as QUIC carries it.
    pub fn wire(self) -> VarInt {
        let number = match self {
            Self::GoingAway => 1,
            Self::Redundant => 2,
            Self::Idle => 3,
            Self::IdentityChanged => 4,
            Self::Blocked => 5,
            Self::Protocol => 6,
            Self::Replaced => 7,
            Self::SessionGone => 8,
        };
        VarInt::from_u32(number)
    }

    /// What a closed connection says; `None` for a number that a newer version may know.
    pub fn of(error: &ConnectionError) -> Option<Self> {
        let ConnectionError::ApplicationClosed(close) = error else {
            return None;
        };
        Some(match close.error_code.into_inner() {
            1 => Self::GoingAway,
            2 => Self::Redundant,
            3 => Self::Idle,
            4 => Self::IdentityChanged,
            5 => Self::Blocked,
            6 => Self::Protocol,
            7 => Self::Replaced,
            8 => Self::SessionGone,
            _ => return None,
        })
    }
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer's daemon shut down or left.
    GoingAway,
    /// The peer's daemon ended it, for lack of work.
    Idle,
    /// One of the two has pinned another identity for the other one's name.
    IdentityChanged,
    /// The peer does not want to hear from us.
    Blocked,
    /// All links died and none came back in time.
    TimedOut,
    /// The peer broke the protocol, or says that we did.
    Protocol,
    /// The same device began a newer session, as it does after a restart.
    Replaced,
    /// This daemon ended it.
    LocallyClosed,
    /// This daemon shuts down.
    ShuttingDown,
}

impl CloseReason {
    /// What the peer is told when this daemon ends a session for this reason.
    pub fn code(self) -> CloseCode {
        match self {
            Self::Idle => CloseCode::Idle,
            Self::IdentityChanged => CloseCode::IdentityChanged,
            Self::Blocked => CloseCode::Blocked,
            Self::Protocol => CloseCode::Protocol,
            Self::Replaced => CloseCode::Replaced,
            Self::GoingAway | Self::TimedOut | Self::LocallyClosed | Self::ShuttingDown => {
                CloseCode::GoingAway
            }
        }
    }

    /// What the peer's closing of one link means for the session: `None` if it goes on without
    /// that link.
    pub fn of_peer(code: CloseCode) -> Option<Self> {
        match code {
            CloseCode::GoingAway => Some(Self::GoingAway),
            CloseCode::Redundant | CloseCode::SessionGone => None,
            CloseCode::Idle => Some(Self::Idle),
            CloseCode::IdentityChanged => Some(Self::IdentityChanged),
            CloseCode::Blocked => Some(Self::Blocked),
            CloseCode::Protocol => Some(Self::Protocol),
            CloseCode::Replaced => Some(Self::Replaced),
        }
    }
}

#[cfg(test)]
mod tests {
    use quinn::ApplicationClose;

    use super::*;

    #[test]
    fn codes_survive_the_wire() {
        for code in [
            CloseCode::GoingAway,
            CloseCode::Redundant,
            CloseCode::Idle,
            CloseCode::IdentityChanged,
            CloseCode::Blocked,
            CloseCode::Protocol,
            CloseCode::Replaced,
            CloseCode::SessionGone,
        ] {
            let close = ApplicationClose { error_code: code.wire(), reason: Default::default() };
            assert_eq!(CloseCode::of(&ConnectionError::ApplicationClosed(close)), Some(code));
        }
        let unknown = ApplicationClose { error_code: 999u32.into(), reason: Default::default() };
        assert_eq!(CloseCode::of(&ConnectionError::ApplicationClosed(unknown)), None);
    }
}
