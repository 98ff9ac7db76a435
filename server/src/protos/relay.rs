//! How a side of a call binds its address to its relay session.
//!
//! ```text
//! client                               relay
//!   Hello{session, side}        →                  64 bytes
//!                               ←  Challenge{cookie}  42
//!   Bind{…, sequence, cookie, mac} →               96
//!                               ←  Bound{observed}    36
//! ```
//!
//! The cookie proves that the client receives at its source address, and is fresh; the MAC proves
//! that it knows the session's key; the sequence, which strictly increases per side, makes a copy
//! of a Bind worthless. Bound only then says where datagrams of the other side go. A client begins
//! with a Bind without a cookie ([`NO_COOKIE`]), which saves a round trip: the relay takes it from
//! the IP address that the client is registered from, which QUIC has validated, and answers others
//! with a challenge. The client begins again after a second without any packet, so that a flushed NAT mapping heals. Either
//! request is answered by `Gone` if there is no such session. Requests are padded: the relay never
//! sends a stranger more bytes than it got.
//!
//! The first byte is 8, which RFC 9443 leaves unassigned, so that bind frames, STUN and QUIC can
//! share a socket.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use aws_lc_rs::{constant_time, hmac};
use serde::{Deserialize, Serialize};

use super::hex;

/// A relay session's random name, known to its two sides and the server.
pub type SessionId = [u8; 16];
/// Says where and when a challenge was asked for; only the relay can read it.
pub type Cookie = [u8; 24];
/// HMAC-SHA256 over a Bind.
pub type Mac = [u8; 32];

/// In a Bind that no challenge came before.
pub const NO_COOKIE: Cookie = [0; 24];
/// The first byte of every bind frame.
pub const FIRST_BYTE: u8 = 8;
/// Length of a Hello with its padding.
pub const HELLO_LEN: usize = 64;
/// Length of a Bind with its padding.
pub const BIND_LEN: usize = 96;
const MAC_DOMAIN: &[u8] = b"filefleet relay bind\0";

/// Which end of a call. The caller is the QUIC client on the relayed link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Who asked the server for the session.
    Caller,
    /// Who was told about it.
    Callee,
}

impl Side {
    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Caller => 0,
            Self::Callee => 1,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Caller),
            1 => Some(Self::Callee),
            _ => None,
        }
    }
}

/// The secret with which the sides of a session authenticate their binds. Never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionKey(#[serde(with = "hex::array")] [u8; 32]);

impl SessionKey {
    /// The key of these random bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Makes a Bind that answers a challenge, or comes first with [`NO_COOKIE`]. `sequence` must be larger than any this side used.
    pub fn bind(&self, session: SessionId, side: Side, sequence: u64, cookie: Cookie) -> BindFrame {
        let tag = hmac::sign(&self.hmac(), &mac_input(&session, side, sequence, &cookie));
        let mac = tag.as_ref().try_into().expect("SHA-256 has 32 bytes");
        BindFrame::Bind { session, side, sequence, cookie, mac }
    }

    /// The form the relay keeps, ready to verify.
    pub fn verifier(&self) -> Verifier {
        Verifier(self.hmac())
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// Checks the MACs of a session's binds.
#[derive(Debug)]
pub struct Verifier(hmac::Key);

impl Verifier {
    /// Whether the MAC of a Bind was made with the session's key.
    pub fn verify(
        &self,
        session: &SessionId,
        side: Side,
        sequence: u64,
        cookie: &Cookie,
        mac: &Mac,
    ) -> bool {
        hmac::verify(&self.0, &mac_input(session, side, sequence, cookie), mac).is_ok()
    }
}

fn mac_input(session: &SessionId, side: Side, sequence: u64, cookie: &Cookie) -> Vec<u8> {
    [MAC_DOMAIN, session, &[side.number()], &sequence.to_be_bytes(), cookie].concat()
}

/// Makes and checks cookies without remembering anything: the time, then a MAC over the source
/// address, the session and the time.
#[derive(Debug)]
pub struct CookieKey(hmac::Key);

impl CookieKey {
    /// A key of these random bytes; a new one per start of the relay is enough.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The cookie for a source at `seconds` on the relay's clock.
    pub fn issue(&self, source: SocketAddr, session: &SessionId, seconds: u64) -> Cookie {
        let time = seconds.to_be_bytes();
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&address_bytes(source));
        context.update(session);
        context.update(&time);
        let mut cookie = [0; 24];
        cookie[..8].copy_from_slice(&time);
        cookie[8..].copy_from_slice(&context.sign().as_ref()[..16]);
        cookie
    }

    /// Whether this source was given this cookie, and when by the relay's clock.
    pub fn issued_at(
        &self,
        cookie: &Cookie,
        source: SocketAddr,
        session: &SessionId,
    ) -> Option<u64> {
        let (time, _) = cookie.split_first_chunk().expect("a cookie has 24 bytes");
        let seconds = u64::from_be_bytes(*time);
        let expected = self.issue(source, session, seconds);
        constant_time::verify_slices_are_equal(&expected, cookie).ok().map(|()| seconds)
    }
}

/// A frame of the bind handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindFrame {
    /// 1: asks for a cookie. `8 ‖ 1 ‖ session 16 ‖ side ‖ zeros to 64`
    Hello {
        /// Which session.
        session: SessionId,
        /// Which end of it.
        side: Side,
    },
    /// 2: `8 ‖ 2 ‖ session 16 ‖ cookie 24`
    Challenge {
        /// The Hello's.
        session: SessionId,
        /// To be repeated in the Bind.
        cookie: Cookie,
    },
    /// 3: `8 ‖ 3 ‖ session 16 ‖ side ‖ sequence u64 ‖ cookie 24 ‖ mac 32 ‖ zeros to 96`
    Bind {
        /// Which session.
        session: SessionId,
        /// Which end of it.
        side: Side,
        /// Larger than any this side used before.
        sequence: u64,
        /// From the challenge, or [`NO_COOKIE`].
        cookie: Cookie,
        /// Made by [`SessionKey::bind`].
        mac: Mac,
    },
    /// 4: `8 ‖ 4 ‖ session 16 ‖ address 16 ‖ port u16`; IPv4 is mapped into IPv6
    Bound {
        /// The Bind's.
        session: SessionId,
        /// The client's address as the relay sees it.
        observed: SocketAddr,
    },
    /// 5: there is no such session, or no longer. `8 ‖ 5 ‖ session 16`
    Gone {
        /// Which one.
        session: SessionId,
    },
}

impl BindFrame {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let (number, session) = match self {
            Self::Hello { session, .. } => (1, session),
            Self::Challenge { session, .. } => (2, session),
            Self::Bind { session, .. } => (3, session),
            Self::Bound { session, .. } => (4, session),
            Self::Gone { session } => (5, session),
        };
        let mut bytes = Vec::with_capacity(BIND_LEN);
        bytes.extend([FIRST_BYTE, number]);
        bytes.extend(session);
        match self {
            Self::Hello { side, .. } => {
                bytes.push(side.number());
                bytes.resize(HELLO_LEN, 0);
            }
            Self::Challenge { cookie, .. } => bytes.extend(cookie),
            Self::Bind { side, sequence, cookie, mac, .. } => {
                bytes.push(side.number());
                bytes.extend(sequence.to_be_bytes());
                bytes.extend(cookie);
                bytes.extend(mac);
                bytes.resize(BIND_LEN, 0);
            }
            Self::Bound { observed, .. } => bytes.extend(address_bytes(*observed)),
            Self::Gone { .. } => {}
        }
        bytes
    }

    /// Reads a datagram; `None` if it is not exactly one frame of a known kind.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let ([FIRST_BYTE, number], rest) = datagram.split_first_chunk()? else {
            return None;
        };
        let (session, rest) = rest.split_first_chunk()?;
        let session = *session;
        match (number, datagram.len()) {
            (1, HELLO_LEN) => Some(Self::Hello { session, side: Side::from_number(rest[0])? }),
            (2, _) => Some(Self::Challenge { session, cookie: rest.try_into().ok()? }),
            (3, BIND_LEN) => Self::decode_bind(session, rest),
            (4, _) => Some(Self::Bound { session, observed: read_address(rest)? }),
            (5, _) if rest.is_empty() => Some(Self::Gone { session }),
            _ => None,
        }
    }

    fn decode_bind(session: SessionId, rest: &[u8]) -> Option<Self> {
        let (&side, rest) = rest.split_first()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (cookie, rest) = rest.split_first_chunk()?;
        let (mac, _padding) = rest.split_first_chunk()?;
        Some(Self::Bind {
            session,
            side: Side::from_number(side)?,
            sequence: u64::from_be_bytes(*sequence),
            cookie: *cookie,
            mac: *mac,
        })
    }
}

/// `address 16 ‖ port u16`, IPv4 mapped into IPv6.
fn address_bytes(address: SocketAddr) -> [u8; 18] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&address.port().to_be_bytes());
    bytes
}

fn read_address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_first_chunk::<16>()?;
    let port = u16::from_be_bytes(port.try_into().ok()?);
    Some(SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), port))
}

#[cfg(test)]
mod tests;
