//! The interfaces that somebody on the same network may reach this device by.

use std::{collections::BTreeMap, net::IpAddr};

use super::announcement::MAX_ADDRESSES;

/// Interfaces on which this device announces itself.
const MAX_INTERFACES: usize = 8;

/// The addresses of each interface but the loopback, by its name: the first few of the first few.
pub fn interfaces() -> BTreeMap<String, Vec<IpAddr>> {
    let all = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "the network interfaces cannot be listed");
        Vec::new()
    });
    let all = all.into_iter().filter(|interface| !interface.is_loopback());
    group(all.map(|interface| (interface.name.clone(), interface.ip())))
}

fn group(all: impl Iterator<Item = (String, IpAddr)>) -> BTreeMap<String, Vec<IpAddr>> {
    let mut interfaces: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for (name, address) in all {
        if interfaces.contains_key(&name) || interfaces.len() < MAX_INTERFACES {
            interfaces.entry(name).or_default().push(address);
        }
    }
    for addresses in interfaces.values_mut() {
        // Those of the whole network before those that need an interface's name with them.
        addresses.sort_by_key(|address| (is_link_local(*address), *address));
        addresses.truncate(MAX_ADDRESSES);
    }
    interfaces
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_interface_has_its_own_addresses_and_not_too_many() {
        let of = |name: &str, address: &str| (name.to_owned(), address.parse().unwrap());
        let eth0 = ["fe80::1", "10.0.0.1", "fd00::3", "fd00::2", "fd00::1"];
        let all = eth0.map(|address| of("eth0", address)).into_iter();
        let all = all.chain([of("wlan0", "fe80::2")]);
        let all = all.chain((0..20).map(|n| of(&format!("dummy{n}"), "10.9.0.1")));
        let interfaces = group(all);
        assert_eq!(interfaces.len(), MAX_INTERFACES);
        let expected = ["10.0.0.1", "fd00::1", "fd00::2", "fd00::3"];
        assert_eq!(interfaces["eth0"], expected.map(|address| address.parse::<IpAddr>().unwrap()));
        assert_eq!(interfaces["wlan0"], ["fe80::2".parse::<IpAddr>().unwrap()]);
    }
}
