//! Transport addresses at which a daemon may be reached, and which of them to try first.

use std::net::{IpAddr, SocketAddr};

/// How many candidates one side may name (`anchors.md`: 32 dummies break others).
pub const MAX_CANDIDATES: usize = 64;
/// Host candidates tried before the server-reflexive ones.
const HOSTS_FIRST: usize = 4;

/// Where a candidate comes from (RFC 8445 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    /// An address of one of the machine's interfaces.
    Host,
    /// The machine's address as a server saw it.
    ServerReflexive,
    /// An address that the router has given to the machine.
    PortMapped,
}

/// An address at which a daemon may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Where it comes from.
    pub kind: CandidateKind,
    /// Canonical: IPv4 is never mapped into IPv6.
    pub address: SocketAddr,
}

/// An address of one of this machine's interfaces, and the network that it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interface {
    /// The address.
    pub ip: IpAddr,
    /// How many of its leading bits all machines on the network share.
    pub prefix_len: u8,
}

/// The networks this machine is on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network(pub Vec<Interface>);

impl Network {
    /// Whether packets to `ip` do not pass a router.
    pub fn is_on_link(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.0.iter().any(|interface| interface.covers(ip))
    }

    /// Whether it is an address of this machine.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|interface| interface.ip == ip)
    }

    /// What this machine offers: at most four hosts, what the router has given, what servers saw,
    /// the other hosts, and last of all the loopback, which serves two users of one machine.
    pub fn candidates(
        &self,
        port: u16,
        mapped: Option<SocketAddr>,
        reflexive: &[SocketAddr],
    ) -> Vec<Candidate> {
        let hosts = self.0.iter().map(|interface| Candidate {
            kind: CandidateKind::Host,
            address: (interface.ip, port).into(),
        });
        let hosts = hosts.filter(|candidate| is_probeable(candidate.address));
        let (loopback, mut hosts): (Vec<_>, Vec<_>) =
            hosts.partition(|candidate| candidate.address.ip().is_loopback());
        // Windows gives one to each interface that has no network.
        hosts.sort_by_key(|host| matches!(host.address.ip(), IpAddr::V4(ip) if ip.is_link_local()));
        let others = hosts.split_off(hosts.len().min(HOSTS_FIRST));
        let mapped = mapped.filter(|address| is_probeable(*address));
        let kind = CandidateKind::PortMapped;
        hosts.extend(mapped.map(|address| Candidate { kind, address }));
        let known = |address: &SocketAddr| self.has(address.ip()) || mapped == Some(*address);
        let reflexive = reflexive
            .iter()
            .filter(|address| !known(address))
            .map(|address| Candidate { kind: CandidateKind::ServerReflexive, address: *address });
        hosts.extend(reflexive);
        hosts.extend(others);
        hosts.truncate(MAX_CANDIDATES - loopback.len().min(MAX_CANDIDATES));
        hosts.extend(loopback);
        hosts.truncate(MAX_CANDIDATES);
        hosts
    }

    /// In which order to probe what a peer offers: shared networks first, then as the peer ranks
    /// them. Loopback addresses are another machine's own unless the peer is on this one.
    pub fn rank(&self, theirs: &[Candidate]) -> Vec<SocketAddr> {
        let theirs = &theirs[..theirs.len().min(MAX_CANDIDATES)];
        let hosts = || theirs.iter().filter(|candidate| candidate.kind == CandidateKind::Host);
        let mut elsewhere = hosts().filter(|host| !host.address.ip().is_loopback()).peekable();
        let same_machine =
            elsewhere.peek().is_none() || elsewhere.any(|host| self.has(host.address.ip()));
        let mut ranked: Vec<_> = theirs
            .iter()
            .map(|candidate| candidate.address)
            .filter(|address| is_probeable(*address))
            .filter(|address| same_machine || !address.ip().is_loopback())
            .collect();
        ranked.sort_by_key(|address| {
            let ip = address.ip();
            (ip.is_loopback(), !self.is_on_link(ip))
        });
        let mut seen = std::collections::HashSet::new();
        ranked.retain(|address| seen.insert(*address));
        ranked
    }
}

impl Interface {
    fn covers(&self, ip: IpAddr) -> bool {
        match (self.ip, ip) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                same_prefix(&ours.octets(), &theirs.octets(), self.prefix_len)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                same_prefix(&ours.octets(), &theirs.octets(), self.prefix_len)
            }
            _ => false,
        }
    }
}

fn same_prefix(ours: &[u8], theirs: &[u8], prefix_len: u8) -> bool {
    let whole = usize::from(prefix_len / 8).min(ours.len());
    if ours[..whole] != theirs[..whole] {
        return false;
    }
    let rest = prefix_len % 8;
    match (ours.get(whole), theirs.get(whole)) {
        (Some(ours), Some(theirs)) if rest > 0 => (ours ^ theirs) >> (8 - rest) == 0,
        _ => true,
    }
}

/// Whether an address that a peer names may be sent anything at all.
fn is_probeable(address: SocketAddr) -> bool {
    let ip = address.ip();
    let odd = match address {
        SocketAddr::V4(v4) => v4.ip().is_broadcast(),
        // Link-local addresses mean nothing without an interface, which a peer cannot name.
        SocketAddr::V6(v6) => {
            let aimless = v6.ip().is_unicast_link_local() && v6.scope_id() == 0;
            aimless || v6.ip().to_ipv4_mapped().is_some()
        }
    };
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !odd
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn network(interfaces: &[(&str, u8)]) -> Network {
        let parse = |(ip, prefix_len): &(&str, u8)| Interface {
            ip: ip.parse().unwrap(),
            prefix_len: *prefix_len,
        };
        Network(interfaces.iter().map(parse).collect())
    }

    fn host(address: &str) -> Candidate {
        Candidate { kind: CandidateKind::Host, address: address.parse().unwrap() }
    }

    fn reflexive(address: &str) -> Candidate {
        Candidate { kind: CandidateKind::ServerReflexive, address: address.parse().unwrap() }
    }

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn prefixes_are_compared_bit_by_bit() {
        let network = network(&[("10.1.2.129", 25), ("fd00::1", 63)]);
        let on_link = |ip: &str| network.is_on_link(ip.parse().unwrap());
        assert!(on_link("10.1.2.200") && !on_link("10.1.2.1") && !on_link("10.1.3.200"));
        assert!(on_link("fd00:0:0:1::9") && !on_link("fd00:0:0:2::9"));
        assert!(on_link("127.0.0.1"));
    }

    #[test]
    fn hosts_come_first_then_mapped_then_reflexive_and_loopback_last() {
        let network = network(&[
            ("127.0.0.1", 8),
            ("169.254.7.1", 16),
            ("10.0.0.1", 24),
            ("10.0.1.1", 24),
            ("10.0.2.1", 24),
            ("10.0.3.1", 24),
            ("10.0.4.1", 24),
            ("fe80::1", 64),
        ]);
        let offered = network.candidates(
            9,
            addresses(&["192.0.2.7:9"]).pop(),
            &addresses(&["192.0.2.7:9", "192.0.2.7:99", "10.0.0.1:9"]),
        );
        let offered: Vec<_> = offered.iter().map(|c| c.address.to_string()).collect();
        assert_eq!(
            offered,
            [
                "10.0.0.1:9",
                "10.0.1.1:9",
                "10.0.2.1:9",
                "10.0.3.1:9",
                "192.0.2.7:9",
                "192.0.2.7:99",
                "10.0.4.1:9",
                "169.254.7.1:9",
                "127.0.0.1:9"
            ]
        );
    }

    #[test]
    fn shared_networks_are_probed_first() {
        let network = network(&[("10.0.0.1", 24), ("127.0.0.1", 8)]);
        let theirs = [
            host("172.16.0.2:1"),
            reflexive("192.0.2.1:1"),
            host("10.0.0.2:1"),
            host("127.0.0.1:1"),
        ];
        let expected = addresses(&["10.0.0.2:1", "172.16.0.2:1", "192.0.2.1:1"]);
        assert_eq!(network.rank(&theirs), expected);
    }

    #[test]
    fn loopback_is_for_peers_on_the_same_machine() {
        let network = network(&[("10.0.0.1", 24), ("127.0.0.1", 8)]);
        let here = [host("127.0.0.1:7"), host("10.0.0.1:7")];
        assert_eq!(network.rank(&here), addresses(&["10.0.0.1:7", "127.0.0.1:7"]));
        assert_eq!(network.rank(&[host("127.0.0.1:7")]), addresses(&["127.0.0.1:7"]));
    }

    #[test]
    fn nobody_is_probed_whom_a_peer_cannot_be() {
        let theirs = [
            host("0.0.0.0:1"),
            host("224.0.0.1:1"),
            host("255.255.255.255:1"),
            host("10.0.0.2:0"),
            host("[fe80::1]:1"),
            host("[::ffff:10.0.0.1]:1"),
            host("[ff02::1]:1"),
        ];
        assert_eq!(Network::default().rank(&theirs), []);
        let many: Vec<_> = (1..=1000).map(|port| host(&format!("10.0.0.2:{port}"))).collect();
        assert_eq!(Network::default().rank(&many).len(), MAX_CANDIDATES);
    }
}
