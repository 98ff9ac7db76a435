//! Where a server may be reached, in the order of the attempts (RFC 8305 sections 4 and 7).

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::net::lookup_host;

use crate::nat64;

/// How many addresses of the server are tried.
const MAX_ADDRESSES: usize = 8;

/// The addresses of a server: those of both families in turn, as the system ranks them. Where a
/// machine has IPv6 alone, a server that has IPv4 alone is reached through the provider's translator.
pub async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = lookup_host((host, port)).await?.collect();
    let mut addresses = in_turn(found);
    addresses.truncate(MAX_ADDRESSES);
    if addresses.iter().all(SocketAddr::is_ipv4)
        && let Some(prefix) = nat64::discover().await
    {
        addresses = addresses.into_iter().map(|address| prefix.reach(address)).collect();
    }
    Ok(addresses)
}

/// The families take turns, beginning with that of the first: when one is broken, the other is not
/// tried last.
fn in_turn(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = found.first().map(SocketAddr::ip) else { return found };
    let count = found.len();
    let (same, other): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| is_same_family(address.ip(), first));
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let turns = std::iter::repeat_with(|| [same.next(), other.next()]).take(count);
    turns.flatten().flatten().collect()
}

fn is_same_family(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parse(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let found = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]);
        let expected = parse(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"]);
        assert_eq!(in_turn(found), expected);
        let found = parse(&["1.0.0.1:1", "[::1]:1", "[::2]:1"]);
        assert_eq!(in_turn(found.clone()), found);
        assert_eq!(in_turn(Vec::new()), []);
    }

    #[tokio::test]
    async fn an_address_is_its_own() {
        assert_eq!(addresses("127.0.0.1", 7).await.unwrap(), parse(&["127.0.0.1:7"]));
    }
}
