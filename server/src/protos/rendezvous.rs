//! The rendezvous: one bidirectional stream of a QUIC connection, opened by the client.
//!
//! ```text
//! client                                   server
//!   register{name, certificate, proof}  →
//!                                       ←  registered{relay_port, observed}  or  error
//!   look_up, call, probe: with an id    →
//!                                       ←  found, called, probed, error: with the same id
//!   refuse, reveal, contacts, ping      →
//!                                       ←  incoming, refused, revealed, presence, pong
//! ```
//!
//! Each frame is a length (u32, network order, at most [`MAX_FRAME`]) and JSON with a `type`.
//! Frames of an unknown type are skipped; incompatible changes get another [`ALPN`].

use std::net::SocketAddr;

use ed25519_dalek::{Signer, SigningKey};
use serde::{Deserialize, Serialize};

use super::{
    certificate::{DeviceCertificate, DeviceKey, IdentityKey},
    hex,
    name::Name,
    relay::{SessionId, SessionKey},
    stun::TransactionId,
};

mod framing;
pub use framing::{FrameError, FrameReader, encode};

/// The protocol's name in TLS.
pub const ALPN: &[u8] = b"filefleet-rendezvous/1";
/// The longest frame, without its length.
pub const MAX_FRAME: usize = 64 * 1024;
/// The label of the TLS exporter whose value a registration signs.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-filefleet-rendezvous";
/// How many contacts a client may name.
pub const MAX_CONTACTS: usize = 1000;
/// How many of them fit into one frame.
pub const CONTACTS_PER_FRAME: usize = 500;
const PROOF_DOMAIN: &[u8] = b"filefleet rendezvous registration\0";

/// A value of the TLS exporter, the same at both ends of one connection and nowhere else.
pub type Exported = [u8; 32];

/// Application codes with which either end closes the QUIC connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseCode {
    /// Nothing more to say.
    Done = 0,
    /// The server stops; come back soon.
    ShuttingDown = 1,
    /// The same identity registered the name from another connection.
    Replaced = 2,
    /// The other end broke the protocol.
    ProtocolViolation = 3,
    /// The other end did not take or send what it should have in time.
    TimedOut = 4,
    /// The registration was refused; an `error` frame said why.
    Refused = 5,
}

impl From<CloseCode> for quinn::VarInt {
    fn from(code: CloseCode) -> Self {
        match code {
            CloseCode::Done => Self::from_u32(0),
            CloseCode::ShuttingDown => Self::from_u32(1),
            CloseCode::Replaced => Self::from_u32(2),
            CloseCode::ProtocolViolation => Self::from_u32(3),
            CloseCode::TimedOut => Self::from_u32(4),
            CloseCode::Refused => Self::from_u32(5),
        }
    }
}

/// The signature that proves a device key on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Proof(#[serde(with = "hex::array")] [u8; 64]);

impl Proof {
    /// Signs what TLS exported on this connection.
    pub fn sign(device: &SigningKey, exported: &Exported) -> Self {
        Self(device.sign(&[PROOF_DOMAIN, exported].concat()).to_bytes())
    }

    /// Whether `device` signed what TLS exported on this connection.
    pub fn verify(&self, device: &DeviceKey, exported: &Exported) -> bool {
        device.verifies(&[PROOF_DOMAIN, exported].concat(), &self.0)
    }
}

/// A relay session's name in JSON: hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Session(#[serde(with = "hex::array")] pub SessionId);

/// The id of a STUN transaction in JSON: hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transaction(#[serde(with = "hex::array")] pub TransactionId);

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// The first frame: who this is.
    Register {
        /// The name to hold, claimed if nobody has it.
        name: Name,
        /// Of the device, signed by the identity that holds the name.
        certificate: Box<DeviceCertificate>,
        /// That the client holds the device key.
        proof: Proof,
    },
    /// Who holds a name?
    LookUp {
        /// Repeated in the answer.
        id: u64,
        /// Whose holder is asked for.
        name: Name,
    },
    /// Allocate a relay session and tell the holder of a name.
    Call {
        /// Repeated in the answer.
        id: u64,
        /// Who is called.
        name: Name,
    },
    /// An incoming call is not taken.
    Refuse {
        /// Which one.
        session: Session,
        /// Why.
        reason: RefuseReason,
    },
    /// The other side of a call may know where this client is observed. (Both sides may say so: an
    /// address of which only its owner speaks is not one to send many packets to.)
    Reveal {
        /// Which call.
        session: Session,
    },
    /// To whom presence is shown, if they want it too.
    Contacts {
        /// Whether these replace the ones named before, or come on top.
        replace: bool,
        /// At most [`CONTACTS_PER_FRAME`].
        identities: Vec<IdentityKey>,
    },
    /// Wants to know how its NAT filters: the server sends a STUN response with this id from a port
    /// that the client has never sent anything to.
    Probe {
        /// Repeated in the answer.
        id: u64,
        /// By which the client knows the response.
        transaction: Transaction,
    },
    /// Wants a pong.
    Ping,
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The registration holds from now on.
    Registered {
        /// The relay's UDP port, on the server's address.
        relay_port: u16,
        /// The client's address as the server sees it.
        observed: SocketAddr,
    },
    /// Answers a look-up.
    Found {
        /// The request's.
        id: u64,
        /// The holder of the name.
        identity: IdentityKey,
    },
    /// Answers a call: it was pushed to the other side.
    Called {
        /// The request's.
        id: u64,
        /// The session, with this client as its caller.
        #[serde(flatten)]
        call: CallFrame,
    },
    /// Somebody calls: bind or refuse.
    Incoming {
        /// The session, with this client as its callee.
        #[serde(flatten)]
        call: CallFrame,
    },
    /// A call this client made was not taken.
    Refused {
        /// Which one.
        session: Session,
        /// Why.
        reason: RefuseReason,
    },
    /// The other side of a call is observed at this address, and lets this client know.
    Revealed {
        /// Which call.
        session: Session,
        /// Where the server sees it.
        observed: SocketAddr,
    },
    /// A mutual contact came or went.
    Presence {
        /// Who.
        identity: IdentityKey,
        /// Whether they are registered now.
        online: bool,
    },
    /// Answers a probe.
    Probed {
        /// The request's.
        id: u64,
        /// Where the response was sent to: where the server sees the client now.
        observed: SocketAddr,
        /// Whether it has left. It does not for a client in a tunnel, which is behind no NAT of ours.
        sent: bool,
        /// The server's clock, in milliseconds since 1970.
        now: u64,
    },
    /// Answers a ping.
    Pong,
    /// A request failed, or without an id the registration.
    Error {
        /// The request's.
        id: Option<u64>,
        /// Stable, for programs.
        code: ErrorCode,
        /// For people.
        message: String,
    },
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}

/// A call as each side is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFrame {
    /// The relay session.
    pub session: Session,
    /// Its key.
    pub key: SessionKey,
    /// The other side's name.
    pub name: Name,
    /// The other side's device.
    pub certificate: DeviceCertificate,
}

/// Why a call is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefuseReason {
    /// The caller may not call here.
    Blocked,
    /// The caller's name is known here with another identity.
    IdentityChanged,
    /// Too much under way.
    Busy,
    /// A reason this version does not know.
    #[serde(other)]
    Other,
}

/// Why the server does not do what a client asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The name belongs to another identity.
    NameTaken,
    /// The proof is not the certificate's device key's over this connection.
    NotProven,
    /// Nobody ever claimed the name.
    UnknownName,
    /// The holder of the name is not registered now.
    Offline,
    /// Too many requests; try again later.
    RateLimited,
    /// The server is full, or cannot store the claim.
    Unavailable,
    /// A code this version does not know.
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests;
