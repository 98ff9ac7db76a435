//! IPv4 from a machine that has IPv6 alone: its provider translates (NAT64, RFC 6146), and this finds
//! out which IPv6 addresses stand for IPv4 ones.
//!
//! Names need nothing of this, since the provider's DNS64 answers with such addresses (RFC 6147).
//! Plain IPv4 addresses do: a server's, and those where a peer may be reached.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{net::lookup_host, time::timeout};

use crate::udp::source_towards;

/// This name has two well-known IPv4 addresses and no others: an IPv6 address of it was made by the
/// provider's DNS64, in the way that it makes all of them (RFC 7050 section 3).
const KNOWN_NAME: &str = "ipv4only.arpa";
/// Those addresses (RFC 7050 section 8).
const KNOWN_ADDRESSES: [Ipv4Addr; 2] =
    [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];
/// An address of the internet of IPv6 that nobody has (RFC 3849).
const IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// How long the answer of the provider's DNS is waited for.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a prefix may be, in bytes, the usual one first (RFC 6052 section 2.2).
const PREFIX_LENS: [usize; 6] = [12, 8, 7, 6, 5, 4];
/// This byte is zero in all such addresses, and no part of the IPv4 address.
const UNUSED: usize = 8;

/// How a provider writes IPv4 addresses as IPv6 ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// All after the prefix is zero.
    bytes: [u8; 16],
    /// In bytes.
    len: usize,
}

impl Prefix {
    /// The address under which the translator knows an IPv4 address.
    pub fn embed(&self, address: Ipv4Addr) -> Ipv6Addr {
        let mut bytes = self.bytes;
        for (place, byte) in places(self.len).zip(address.octets()) {
            bytes[place] = byte;
        }
        bytes.into()
    }

    /// What to send to instead of an address on the internet that is reached only through the
    /// translator; all others stay as they are, such as those of a network in this machine.
    pub fn reach(&self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            IpAddr::V4(ip) if is_global(ip) => (self.embed(ip), address.port()).into(),
            IpAddr::V4(_) | IpAddr::V6(_) => address,
        }
    }

    /// The prefix with which this address of [`KNOWN_NAME`] was made.
    fn of_known(address: Ipv6Addr) -> Option<Self> {
        let bytes = address.octets();
        let embedded = |len| {
            let mut octets = [0; 4];
            for (octet, place) in octets.iter_mut().zip(places(len)) {
                *octet = bytes[place];
            }
            Ipv4Addr::from(octets)
        };
        let len = PREFIX_LENS.into_iter().find(|len| KNOWN_ADDRESSES.contains(&embedded(*len)))?;
        let mut prefix = [0; 16];
        prefix[..len].copy_from_slice(&bytes[..len]);
        Some(Self { bytes: prefix, len })
    }
}

/// Where the bytes of an IPv4 address stand behind a prefix (RFC 6052 section 2.2).
fn places(prefix_len: usize) -> impl Iterator<Item = usize> {
    (prefix_len..).filter(|place| *place != UNUSED).take(4)
}

/// Asks how the provider translates; `None` if it does not, or if this machine has IPv4 and needs no
/// translator, or no IPv6 and can use none.
pub async fn discover() -> Option<Prefix> {
    let is_routed = |ip| source_towards(SocketAddr::new(ip, 9)).is_some();
    if is_routed(KNOWN_ADDRESSES[0].into()) || !is_routed(IPV6.into()) {
        return None;
    }
    let found = timeout(LOOKUP_TIMEOUT, lookup_host((KNOWN_NAME, 0))).await.ok()?.ok()?;
    let mut prefixes = found.filter_map(|address| match address.ip() {
        IpAddr::V6(ip) => Prefix::of_known(ip),
        IpAddr::V4(_) => None,
    });
    let prefix = prefixes.next()?;
    tracing::info!(prefix = %Ipv6Addr::from(prefix.bytes), "IPv4 is reached through a translator");
    Some(prefix)
}

/// Whether an address is one on the internet: no others may be translated (RFC 6052 section 3.1).
fn is_global(ip: Ipv4Addr) -> bool {
    let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.octets()[0] == 0
        || shared)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The table of RFC 6052 section 2.4.
    const EXAMPLES: [(usize, &str); 6] = [
        (4, "2001:db8:c000:221::"),
        (5, "2001:db8:1c0:2:21::"),
        (6, "2001:db8:122:c000:2:2100::"),
        (7, "2001:db8:122:3c0:0:221::"),
        (8, "2001:db8:122:344:c0:2:2100::"),
        (12, "2001:db8:122:344::192.0.2.33"),
    ];

    #[test]
    fn addresses_are_written_as_the_standard_shows() {
        for (len, expected) in EXAMPLES {
            let expected: Ipv6Addr = expected.parse().unwrap();
            let mut bytes = expected.octets();
            bytes[len..].fill(0);
            let embedded = Prefix { bytes, len }.embed(Ipv4Addr::new(192, 0, 2, 33));
            assert_eq!(embedded, expected, "{len}");
        }
    }

    #[test]
    fn a_prefix_of_any_length_is_found_in_what_the_resolver_says() {
        for (len, example) in EXAMPLES {
            let mut bytes = example.parse::<Ipv6Addr>().unwrap().octets();
            bytes[len..].fill(0);
            let prefix = Prefix { bytes, len };
            for known in KNOWN_ADDRESSES {
                assert_eq!(Prefix::of_known(prefix.embed(known)), Some(prefix), "{len}");
            }
            assert_eq!(Prefix::of_known(prefix.embed(Ipv4Addr::new(192, 0, 2, 33))), None);
        }
    }

    #[test]
    fn only_addresses_on_the_internet_are_translated() {
        let prefix = Prefix::of_known("64:ff9b::192.0.0.170".parse().unwrap()).unwrap();
        let reach = |address: &str| prefix.reach(address.parse().unwrap()).to_string();
        assert_eq!(reach("1.2.3.4:5"), "[64:ff9b::102:304]:5");
        for same in
            ["192.168.1.2:5", "10.0.0.1:5", "100.64.1.1:5", "169.254.1.1:5", "[2001:db8::1]:5"]
        {
            assert_eq!(reach(same), same);
        }
    }
}
