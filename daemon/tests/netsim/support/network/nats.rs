//! NATs of the four kinds that games consoles tell apart, and networks of two users behind them.
//!
//! The rules are those of the `patchbay` crate, which iroh is tested with. One thing is added, as
//! real NATs have it: what comes unasked is not remembered, or it would occupy the very mapping
//! that the computer's own packets to its sender are to use.

use super::{Machine, Network, slow_down_to, switch};

// The internet is 1.2.3.0/24: `miniupnpd` takes the addresses that are for documentation to be
// private, and maps nothing there.

/// How much Alice can send per second: the file lasts longer than any search for a path.
const UPLINK: &str = "48mbit";

/// What a computer has between itself and the internet. The mapping is the address as others see
/// it, the filtering says who may use it (RFC 4787).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nat {
    /// Nothing: its address is public.
    None,
    /// One mapping, which everybody may use.
    Open,
    /// One mapping, and only addresses and ports that were sent something may use it.
    Moderate,
    /// A mapping with a random port for each destination, which only that may use.
    Strict,
}

impl Nat {
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Open, Self::Moderate, Self::Strict];

    /// Makes a router that has the address `wan_ip` on its interface `wan` one of this kind.
    pub(crate) fn set_up(self, router: &Machine, wan_ip: &str) {
        router.forward();
        let rules = match self {
            Self::None => return,
            Self::Open => format!("{}{UNASKED_TO_ROUTER}", one_mapping(wan_ip)),
            Self::Moderate => format!("{}{UNASKED_TO_ROUTER}{UNASKED}", one_mapping(wan_ip)),
            Self::Strict => format!("{MAPPING_EACH}{UNASKED_TO_ROUTER}{UNASKED_UNLESS_MAPPED}"),
        };
        router.filter(&rules);
    }
}

/// Mappings that do not depend on the destination: the port stays, and what comes to it goes to
/// whoever had it last.
fn one_mapping(wan_ip: &str) -> String {
    format!(
        "table ip nat {{
            map mappings {{
                type inet_service : ipv4_addr . inet_service
                flags dynamic,timeout
                timeout 300s
                size 65536
            }}
            chain arriving {{
                type nat hook prerouting priority dstnat
                iifname wan meta l4proto udp dnat to udp dport map @mappings
            }}
            chain leaving {{
                type nat hook postrouting priority srcnat
                oifname wan meta l4proto udp update @mappings {{ \
                    udp sport timeout 300s : ip saddr . udp sport }}
                oifname wan snat to {wan_ip}
            }}
        }}\n"
    )
}

/// A mapping per destination.
const MAPPING_EACH: &str = "table ip nat {
    chain leaving {
        type nat hook postrouting priority srcnat
        oifname wan masquerade random
    }
}\n";

const UNASKED_TO_ROUTER: &str = "table ip unasked_to_router {
    chain input {
        type filter hook input priority filter
        iifname wan ct state new drop
    }
}\n";

const UNASKED: &str = "table ip unasked {
    chain forward {
        type filter hook forward priority filter
        iifname wan ct state new drop
    }
}\n";

/// Lets in what a mapping is for that somebody asked for; see [`super::igd`].
const UNASKED_UNLESS_MAPPED: &str = "table ip unasked {
    chain forward {
        type filter hook forward priority filter
        iifname wan ct status dnat accept
        iifname wan ct state new drop
    }
}\n";

impl Network {
    /// Alice and Bob each behind a NAT of these kinds, and the server on the internet.
    pub(crate) fn between(alices: Nat, bobs: Nat) -> Self {
        let server = Machine::new();
        let (alice, alices_nat) = behind(alices, "192.168.1", "1.2.3.1");
        let (bob, bobs_nat) = behind(bobs, "192.168.2", "1.2.3.2");
        let internet = switch([
            (alices_nat.as_ref().unwrap_or(&alice), wan(alices), "1.2.3.1/24"),
            (bobs_nat.as_ref().unwrap_or(&bob), wan(bobs), "1.2.3.2/24"),
            (&server, "eth0", "1.2.3.3/24"),
        ]);
        slow_down_to(&alice, "eth0", UPLINK);
        let boxes = [Some(internet), alices_nat, bobs_nat].into_iter().flatten().collect();
        Self { alice, bob, server, server_ip: "1.2.3.3", router: None, boxes }
    }

    /// Of [`Network::between`]: the switch that is its internet.
    pub(super) fn internet(&self) -> &Machine {
        &self.boxes[0]
    }

    /// Of [`Network::between`], when Alice has a NAT.
    pub(super) fn alices_router(&self) -> &Machine {
        &self.boxes[1]
    }

    /// Of [`Network::between`], when Bob has a NAT.
    pub(super) fn bobs_router(&self) -> &Machine {
        self.boxes.last().unwrap()
    }
}

/// The interface that is on the internet: of the router if there is one, else of the computer.
fn wan(nat: Nat) -> &'static str {
    if nat == Nat::None { "eth0" } else { "wan" }
}

/// A computer with a NAT, unless there is to be none, in a network with these first three numbers.
pub(super) fn behind(nat: Nat, network: &str, wan_ip: &str) -> (Machine, Option<Machine>) {
    let host = Machine::new();
    if nat == Nat::None {
        return (host, None);
    }
    let router = Machine::new();
    host.cable("eth0", &router, "lan");
    host.address("eth0", &format!("{network}.2/24"));
    router.address("lan", &format!("{network}.1/24"));
    host.default_route(&format!("{network}.1"));
    nat.set_up(&router, wan_ip);
    (host, Some(router))
}
