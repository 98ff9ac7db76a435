//! Sessions with peers: who is connected, over which links, and what is said.
//!
//! A *session* belongs to one peer device and holds *links*, each a QUIC connection of its own over
//! the relay or directly. Messages outlive links; streams die with theirs. [`Peers`] is the handle
//! of the actor that owns the main endpoint and all sessions, and meets calls in both directions:
//! those that the server passes on, and those of contacts on the same network.
//!
//! This module knows nothing of transfers: it moves messages and streams, and asks a [`Gate`] who
//! may call.

pub mod close;
pub mod frame;
mod link;
mod mailbox;
mod nearby;
mod peers;
pub mod session;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use filefleet_server::{
    client,
    protos::{
        certificate::{DeviceCertificate, DeviceKey, IdentityKey},
        name::Name,
        rendezvous::RefuseReason,
    },
};
use tokio::sync::{Semaphore, mpsc};

pub use self::{
    close::CloseReason,
    peers::{Peers, PeersConfig},
    session::{
        Session, SessionClosed, SessionGuard,
        log::{LinkChange, LinkLog, LinkLoss},
    },
};

/// Names a link within this process; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a link runs over, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// A network that both machines are on, or one machine.
    Lan,
    /// The machines reach each other through routers.
    Direct,
    /// The server copies the packets.
    Relayed,
}

/// A live link as others see it.
#[derive(Debug, Clone)]
pub struct LinkView {
    /// Which one.
    pub id: LinkId,
    /// What it runs over.
    pub kind: LinkKind,
    /// QUIC's smoothed round trip.
    pub rtt: Duration,
    /// Where its packets go: the peer, or the relay.
    pub remote: SocketAddr,
    connection: quinn::Connection,
    /// Whose turn it is to write to a stream of this link: one at a time, in the order of asking.
    turns: Arc<Semaphore>,
}

/// A stream that the peer has opened.
#[derive(Debug)]
pub struct IncomingStream {
    /// Over which link.
    pub link: LinkId,
    /// What that link runs over.
    pub kind: LinkKind,
    /// Its bytes.
    pub stream: quinn::RecvStream,
}

/// The person and device at the other end of a session.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The name under which the server knows the person.
    pub name: Name,
    /// Binds the device to the identity.
    pub certificate: DeviceCertificate,
}

impl Peer {
    /// Who it is.
    pub fn identity(&self) -> IdentityKey {
        self.certificate.identity()
    }

    /// On which device.
    pub fn device(&self) -> DeviceKey {
        self.certificate.device()
    }
}

/// May they call?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Admit,
    /// Never.
    Blocked,
    /// Another identity is pinned for this name.
    IdentityChanged,
}

/// Decides about incoming calls. Asked inside the actor: it must be quick and must not block.
pub trait Gate: Send + Sync {
    /// Whether a call by `name`, for whom the server vouches with `identity`, is answered.
    fn admit(&self, name: &Name, identity: &IdentityKey) -> Admission;
}

/// What happens with peers.
#[derive(Debug)]
pub enum PeerEvent {
    /// A session has its first link; told exactly once per session, whoever called.
    Session {
        /// The session.
        session: Session,
        /// What the peer says, in order and once. While it is not read, the peer has to wait.
        messages: mpsc::Receiver<Bytes>,
        /// Streams that the peer opens. While they are not taken, the peer has to wait.
        streams: mpsc::Receiver<IncomingStream>,
    },
    /// Somebody called, or was called, under a name for which another identity is pinned, and was
    /// refused.
    IdentityRefused {
        /// The name.
        name: Name,
        /// Who they were this time.
        identity: IdentityKey,
    },
    /// Somebody has pinned another identity for our name, and refused us.
    RefusedAsOther {
        /// Their name.
        name: Name,
    },
}

/// Why there is no session.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No server to ask.
    #[error("not registered at a server")]
    NotRegistered,
    /// The server could not help.
    #[error("the server could not connect the call")]
    Server(#[source] Arc<client::Error>),
    /// The name is this daemon's own.
    #[error("that is this computer itself")]
    Yourself,
    /// The server names another identity than the one that is pinned.
    #[error("the name belongs to another identity now")]
    IdentityChanged {
        /// Who the server says it is.
        found: IdentityKey,
    },
    /// The peer refused the call.
    #[error("the call was refused")]
    Refused(RefuseReason),
    /// The session ended before it began.
    #[error("no link could be made: {0:?}")]
    Failed(CloseReason),
    /// The peer answered nothing in time.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// This daemon shuts down, or has as many sessions as it may.
    #[error("this daemon takes no more sessions")]
    Unavailable,
}

#[cfg(test)]
pub(crate) mod tests;
