//! Where a server is and which key it must show.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{hex, tls::Pin};

/// The port of a server whose address names none.
pub const DEFAULT_PORT: u16 = 7835;
/// The longest host name (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 253;

/// A server's address: `HOST[:PORT][#FINGERPRINT]`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerAddress {
    /// A host name or an IP address, the latter without brackets.
    pub host: String,
    /// The UDP port of the rendezvous.
    pub port: u16,
    /// The key the server must show. Without it, the platform's trust store decides.
    pub pin: Option<Pin>,
}

/// Why a text is no [`ServerAddress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAddress {
    /// Neither a host name nor an IP address.
    #[error("not a host name, an IPv4 address or an IPv6 address in brackets")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// Not a SHA-256 in hexadecimal.
    #[error("a server fingerprint is 64 hexadecimal digits")]
    Fingerprint,
}

impl FromStr for ServerAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (place, pin) = match text.split_once('#') {
            Some((place, pin)) => {
                (place, Some(hex::decode_array(pin).ok_or(InvalidAddress::Fingerprint)?))
            }
            None => (text, None),
        };
        let (host, port) = split_host(place)?;
        let port = match port {
            Some(digits) => parse_port(digits)?,
            None => DEFAULT_PORT,
        };
        Ok(Self { host: host.to_owned(), port, pin })
    }
}

fn split_host(place: &str) -> Result<(&str, Option<&str>), InvalidAddress> {
    if let Some(bracketed) = place.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(InvalidAddress::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| InvalidAddress::Host)?;
        return match rest {
            "" => Ok((host, None)),
            _ => Ok((host, Some(rest.strip_prefix(':').ok_or(InvalidAddress::Port)?))),
        };
    }
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || host.len() > MAX_HOST || !host.bytes().all(allowed) {
        return Err(InvalidAddress::Host);
    }
    Ok((host, port))
}

fn parse_port(digits: &str) -> Result<u16, InvalidAddress> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(port) if port > 0 && is_number => Ok(port),
        _ => Err(InvalidAddress::Port),
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port)?,
            false => write!(f, "{}:{}", self.host, self.port)?,
        }
        match &self.pin {
            Some(pin) => write!(f, "#{}", hex::encode(pin)),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for ServerAddress {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl From<ServerAddress> for String {
    fn from(address: ServerAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_form() {
        let pin = "ab".repeat(32);
        for (text, host, port, pinned) in [
            ("example.org", "example.org", DEFAULT_PORT, false),
            ("10.0.0.1:99", "10.0.0.1", 99, false),
            ("[::1]", "::1", DEFAULT_PORT, false),
            (&format!("[2001:db8::1]:7#{pin}"), "2001:db8::1", 7, true),
            (&format!("host#{pin}"), "host", DEFAULT_PORT, true),
        ] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.pin, pinned.then_some([0xab; 32]));
            assert_eq!(address.to_string().parse::<ServerAddress>().unwrap(), address);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for (text, error) in [
            ("", InvalidAddress::Host),
            (":7835", InvalidAddress::Host),
            ("::1", InvalidAddress::Host),
            ("[host]:1", InvalidAddress::Host),
            ("a b", InvalidAddress::Host),
            ("host:", InvalidAddress::Port),
            ("host:0", InvalidAddress::Port),
            ("host:+1", InvalidAddress::Port),
            ("host:65536", InvalidAddress::Port),
            ("[::1]7835", InvalidAddress::Port),
            ("host#", InvalidAddress::Fingerprint),
            ("host#abcd", InvalidAddress::Fingerprint),
        ] {
            assert_eq!(text.parse::<ServerAddress>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_is_written_and_read_back(text in r"[\[\]a-z0-9:.#\-]{0,40}") {
            if let Ok(address) = text.parse::<ServerAddress>() {
                prop_assert_eq!(address.to_string().parse::<ServerAddress>().unwrap(), address);
            }
        }
    }
}
