//! Invite links: `filefleet:HOST:PORT/NAME?identity=HEX[&pin=HEX]`, everything that one person needs
//! to reach another without trusting the server.

use std::fmt;

use filefleet_ctl::proto::{ControlError, ErrorCode};
use filefleet_server::protos::address::ServerAddress;
use filefleet_server::protos::certificate::IdentityKey;
use filefleet_server::protos::name::Name;

const SCHEME: &str = "filefleet:";

/// A person, and the server where they are to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invite {
    pub(crate) server: ServerAddress,
    pub(crate) name: Name,
    pub(crate) identity: IdentityKey,
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.server.to_string();
        let (server, pin) =
            text.split_once('#').map_or((text.as_str(), None), |(s, p)| (s, Some(p)));
        write!(f, "{SCHEME}{server}/{}?identity={}", self.name, self.identity)?;
        pin.map_or(Ok(()), |pin| write!(f, "&pin={pin}"))
    }
}

/// Reads a link.
pub(crate) fn parse(link: &str) -> Result<Invite, ControlError> {
    read(link.trim()).ok_or_else(|| {
        ControlError::new(ErrorCode::BadArgument, "this is no FileFleet invite link")
            .with_hint("a link looks like filefleet:HOST:PORT/NAME?identity=…; copy all of it")
    })
}

fn read(link: &str) -> Option<Invite> {
    let (place, query) = link.strip_prefix(SCHEME)?.split_once('?')?;
    let (server, name) = place.rsplit_once('/')?;
    let value =
        |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    let server = match value("pin") {
        Some(pin) => format!("{server}#{pin}").parse().ok()?,
        None => server.parse().ok()?,
    };
    Some(Invite { server, name: name.parse().ok()?, identity: value("identity")?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_link_says_everything_and_is_read_back() {
        let pin = "ab".repeat(32);
        for server in ["example.org:7835".to_owned(), format!("[::1]:7000#{pin}")] {
            let invite = Invite {
                server: server.parse().unwrap(),
                name: "bob".parse().unwrap(),
                identity: IdentityKey::from_bytes([9; 32]),
            };
            assert_eq!(parse(&format!(" {invite}\n")).unwrap(), invite);
        }
    }

    #[test]
    fn what_is_no_link_is_refused() {
        let key = "09".repeat(32);
        for link in [
            "",
            "filefleet:",
            "http://example.org",
            "filefleet:example.org/bob",
            "filefleet:example.org/bob?identity=12",
            &format!("filefleet:example.org/../bob?identity={key}"),
            &format!("filefleet:example.org/BOB?identity={key}"),
            &format!("filefleet:/bob?identity={key}"),
        ] {
            assert!(parse(link).is_err(), "{link}");
        }
    }
}
