//! What the facts mean: pure functions.

use std::net::{IpAddr, SocketAddr};

use filefleet_server::client;

use super::{Examination, Reply, ServerFacts, Unasked};
use crate::connect::birthday::Mapping;

/// What is between this machine and others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nat {
    /// Whether the main socket's own address is what others see.
    pub(crate) is_absent: bool,
    pub(crate) mapping: Mapping,
    pub(crate) filtering: Result<Filtering, Untold>,
}

/// What may come in (RFC 4787 section 5). That the port alone makes the difference is what one
/// server can find out; between addresses it cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filtering {
    /// Ports that were sent nothing, too.
    PortIndependent,
    /// Only who was sent something.
    PortDependent,
}

/// Why it is not known what may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untold {
    /// The server was asked over IPv6, which goes through no NAT.
    OverIpv6,
    /// The server has sent nothing unasked.
    NotSent,
    /// The server has not answered; one that is too old does not.
    NoAnswer,
}

/// How far IPv6 goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    /// No public address.
    None,
    /// The server has no address for it.
    Unproven,
    /// The server does not answer.
    Broken,
    /// The server answers.
    Works,
}

/// What to expect of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// No name has been claimed.
    Nameless,
    /// Not registered.
    Unreachable,
    /// No UDP leaves the network.
    RelayOnly,
    /// Whoever has UDP is reached directly.
    Everybody,
    /// All but those behind strict NATs are reached directly; those, if ports may be guessed.
    AllButStrict { guessing: bool },
    /// The NAT is strict: those behind none or an open one are reached directly, and if ports may be
    /// guessed those behind a moderate one.
    FromBehindStrict { guessing: bool },
    /// The NAT could not be examined.
    Unknown,
}

impl Examination {
    /// The NAT that IPv4 goes through; `None` if not enough was found out.
    pub(crate) fn nat(&self) -> Option<Nat> {
        let server = self.server.as_ref()?;
        let seen = server.seen();
        let (_, mapped) = seen.iter().find(|(_, mapped)| mapped.is_ipv4())?;
        let is_absent = self.surroundings.network.has(mapped.ip());
        let mapping = match is_absent {
            true => Mapping::Independent,
            false => Mapping::seen(&seen)?,
        };
        Some(Nat { is_absent, mapping, filtering: server.filtering() })
    }

    /// The addresses under which the server sees the main socket.
    pub(crate) fn public(&self) -> Vec<SocketAddr> {
        let seen = self.server.iter().flat_map(ServerFacts::seen);
        let mut public: Vec<_> = seen.map(|(_, mapped)| mapped).collect();
        public.sort_unstable();
        public.dedup();
        public
    }

    /// The address that the router has given us, if it is one that others can reach: a router behind
    /// another NAT gives one that they cannot.
    pub(crate) fn usable_mapping(&self) -> Option<SocketAddr> {
        let mapped = self.surroundings.mapped?;
        self.public().iter().any(|public| public.ip() == mapped.ip()).then_some(mapped)
    }

    pub(crate) fn ipv6(&self) -> Ipv6 {
        let interfaces = &self.surroundings.network.0;
        if !interfaces.iter().any(|interface| is_public_ipv6(interface.ip)) {
            return Ipv6::None;
        }
        let server = self.server.as_ref();
        let resolved = server.and_then(|server| server.resolved.as_ref().ok());
        match resolved.is_some_and(|resolved| resolved.iter().any(SocketAddr::is_ipv6)) {
            false => Ipv6::Unproven,
            true if server.is_some_and(|it| it.answers.iter().any(|it| it.server.is_ipv6())) => {
                Ipv6::Works
            }
            true => Ipv6::Broken,
        }
    }

    pub(crate) fn outlook(&self) -> Outlook {
        let Some(server) = &self.server else { return Outlook::Nameless };
        let guessing = self.guess_ports;
        match self.nat() {
            _ if !server.is_registered() => Outlook::Unreachable,
            _ if !server.has_udp() => Outlook::RelayOnly,
            _ if self.usable_mapping().is_some() => Outlook::Everybody,
            Some(Nat { mapping: Mapping::Dependent, .. }) => Outlook::FromBehindStrict { guessing },
            Some(Nat { filtering: Ok(Filtering::PortIndependent), .. }) => Outlook::Everybody,
            Some(Nat { filtering: Ok(Filtering::PortDependent), .. }) => {
                Outlook::AllButStrict { guessing }
            }
            Some(Nat { filtering: Err(_), .. }) | None => Outlook::Unknown,
        }
    }
}

impl ServerFacts {
    /// Whether UDP reaches the server.
    pub(crate) fn has_udp(&self) -> bool {
        !self.answers.is_empty() || (self.is_registered() && !self.state.is_tunnelled())
    }

    /// Whether the server knows us. A connection over which nothing has come back may be about to
    /// end; a server that is too old to answer a probe does answer STUN.
    pub(crate) fn is_registered(&self) -> bool {
        self.state.registered && (self.clock.is_some() || !self.answers.is_empty())
    }

    /// Whether somebody else answers in the server's place; `None` if nobody has shown a key.
    pub(crate) fn is_impostor(&self) -> Option<bool> {
        let refused = Some(client::Error::ServerIdentity);
        match &self.tcp {
            _ if self.is_registered() => Some(false),
            _ if self.state.last_error == refused => Some(true),
            Some(Ok(())) => Some(false),
            Some(Err(client::Error::ServerIdentity)) => Some(true),
            Some(Err(_)) | None => None,
        }
    }

    /// What IPv4 lets in.
    fn filtering(&self) -> Result<Filtering, Untold> {
        let Unasked { observed, arrived } = self.unasked.ok_or(Untold::NoAnswer)?;
        match arrived.ok_or(Untold::NotSent)? {
            _ if observed.is_ipv6() => Err(Untold::OverIpv6),
            true => Ok(Filtering::PortIndependent),
            false => Ok(Filtering::PortDependent),
        }
    }

    /// Where each of the server's ports sees the main socket.
    fn seen(&self) -> Vec<(SocketAddr, SocketAddr)> {
        let replies = self.answers.iter().chain(self.relay.iter().flatten());
        replies.map(|Reply { server, mapped }| (*server, *mapped)).collect()
    }
}

/// Global unicast (RFC 4291 section 2.5.4), as far as it is given out.
fn is_public_ipv6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[0] & 0xe000 == 0x2000)
}

#[cfg(test)]
pub(crate) mod tests;
