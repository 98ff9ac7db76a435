//! Networks of two users whose homes are not as simple as a NAT each.

use super::{Machine, Nat, Network, nats::behind, slow_down_to, switch};

/// As in [`Network::between`].
const UPLINK: &str = "48mbit";

impl Network {
    /// Alice and Bob each at home behind a router, and its provider's NAT in front of that.
    pub(crate) fn behind_carriers() -> Self {
        let server = Machine::new();
        let [alices, bobs] = [(1, "1.2.3.1"), (2, "1.2.3.2")].map(|(number, wan_ip)| {
            let (inside, between) = (format!("192.168.{number}"), format!("100.64.{number}"));
            let (host, home) = behind(Nat::Moderate, &inside, &format!("{between}.2"));
            let (home, carrier) = (home.unwrap(), Machine::new());
            home.cable("wan", &carrier, "lan");
            home.address("wan", &format!("{between}.2/24"));
            carrier.address("lan", &format!("{between}.1/24"));
            home.default_route(&format!("{between}.1"));
            Nat::Moderate.set_up(&carrier, wan_ip);
            (host, home, carrier)
        });
        let ((alice, alices_home, alices_carrier), (bob, bobs_home, bobs_carrier)) = (alices, bobs);
        let internet = switch([
            (&alices_carrier, "wan", "1.2.3.1/24"),
            (&bobs_carrier, "wan", "1.2.3.2/24"),
            (&server, "eth0", "1.2.3.3/24"),
        ]);
        slow_down_to(&alice, "eth0", UPLINK);
        let boxes = vec![internet, alices_home, alices_carrier, bobs_home, bobs_carrier];
        Self { alice, bob, server, server_ip: "1.2.3.3", router: None, boxes }
    }

    /// Alice and Bob at home on one switch, behind one NAT that turns nothing around: what they send
    /// to its address on the internet does not come back in.
    pub(crate) fn behind_one_nat() -> Self {
        let (alice, bob, server) = (Machine::new(), Machine::new(), Machine::new());
        let router = Machine::new();
        let home = switch([
            (&alice, "eth0", "192.168.1.2/24"),
            (&bob, "eth0", "192.168.1.3/24"),
            (&router, "lan", "192.168.1.1/24"),
        ]);
        let internet = switch([(&router, "wan", "1.2.3.1/24"), (&server, "eth0", "1.2.3.3/24")]);
        for host in [&alice, &bob] {
            host.default_route("192.168.1.1");
        }
        Nat::Moderate.set_up(&router, "1.2.3.1");
        slow_down_to(&alice, "eth0", UPLINK);
        let boxes = vec![home, router, internet];
        Self { alice, bob, server, server_ip: "1.2.3.3", router: None, boxes }
    }

    /// Of [`Network::behind_one_nat`]: the switch lets the computers talk to the router and not to
    /// each other, as in hotels and guest networks.
    pub(crate) fn isolate(&self) {
        let home = &self.boxes[0];
        for port in ["port0", "port1"] {
            home.run(&["bridge", "link", "set", "dev", port, "isolated", "on"]);
        }
    }

    /// Gives Alice and Bob 32 more addresses each, at which nobody can be reached: of containers,
    /// which are the same on both sides, and of networks that the other side has no way to.
    pub(crate) fn add_dead_ends(&self) {
        for (host, number) in [(&self.alice, 1), (&self.bob, 2)] {
            host.run(&["sh", "-ec", DEAD_ENDS, &number.to_string()]);
        }
    }

    /// Of [`Network::routed`]: somebody else, who has this address.
    pub(crate) fn add_bystander(&self, address: &str) -> Machine {
        let (bystander, router) = (Machine::new(), self.router.as_ref().unwrap());
        bystander.cable("eth0", router, "bystander");
        bystander.address("eth0", &format!("{address}/32"));
        router.run(&["ip", "route", "add", address, "dev", "bystander"]);
        bystander
    }
}

/// Bridges that nothing is connected to, as container programs make them.
const DEAD_ENDS: &str = "for n in $(seq 16); do
    ip link add name docker$n type bridge
    ip link set docker$n up
    ip address add 172.$((16 + n)).0.1/16 dev docker$n
    ip link add name vpn$n type bridge
    ip link set vpn$n up
    ip address add 10.8$0.$n.1/24 dev vpn$n
done";
