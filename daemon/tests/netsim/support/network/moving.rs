//! A network that changes under Alice, who is behind a NAT like Bob.

use super::{Machine, Nat, Network, slow_down_to};

/// Alice behind one of two routers, and Bob behind his own.
pub(crate) struct MovingNetwork {
    pub(crate) network: Network,
    /// The router that Alice is not connected to yet.
    other: Machine,
}

/// As in [`Network::between`].
const UPLINK: &str = "48mbit";

impl MovingNetwork {
    pub(crate) fn new() -> Self {
        let network = Network::between(Nat::Moderate, Nat::Moderate);
        let other = Machine::new();
        other.cable("wan", network.internet(), "other");
        network.internet().run(&["ip", "link", "set", "other", "master", "bridge"]);
        other.address("wan", "1.2.3.9/24");
        network.alice.cable("eth1", &other, "lan");
        slow_down_to(&network.alice, "eth1", UPLINK);
        network.alice.run(&["ip", "link", "set", "eth1", "down"]);
        other.address("lan", "192.168.9.1/24");
        Nat::Moderate.set_up(&other, "1.2.3.9");
        Self { network, other }
    }

    /// Alice gets another address from the same router.
    pub(crate) fn renumber(&self) {
        let alice = &self.network.alice;
        alice.run(&["ip", "address", "flush", "dev", "eth0"]);
        alice.address("eth0", "192.168.1.77/24");
        alice.default_route("192.168.1.1");
    }

    /// Alice's cable is plugged into the other router.
    pub(crate) fn replug(&self) {
        let alice = &self.network.alice;
        alice.run(&["ip", "link", "set", "eth0", "down"]);
        alice.run(&["ip", "link", "set", "eth1", "up"]);
        alice.address("eth1", "192.168.9.2/24");
        alice.default_route("192.168.9.1");
        assert!(self.other.run(&["ip", "link", "show", "wan"]).contains("UP"));
    }

    /// Both routers forget everything, as when they are switched off and on.
    pub(crate) fn flush(&self) {
        forget(self.network.alices_router());
        forget(self.network.bobs_router());
    }

    /// Alice's router forgets everything.
    pub(crate) fn forget_alice(&self) {
        forget(self.network.alices_router());
    }

    pub(crate) fn unplug(&self) {
        self.network.alice.run(&["ip", "link", "set", "eth0", "down"]);
    }

    pub(crate) fn plug(&self) {
        self.network.alice.run(&["ip", "link", "set", "eth0", "up"]);
        self.network.alice.default_route("192.168.1.1");
    }
}

fn forget(router: &Machine) {
    router.run(&["nft", "flush", "map", "ip", "nat", "mappings"]);
    router.run(&["conntrack", "--flush"]);
}
