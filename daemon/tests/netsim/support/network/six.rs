//! Networks with IPv6, and with nothing else.

use std::fs;

use super::super::{Program, Scratch};
use super::{Machine, Nat, Network, nats::behind, slow_down_to, switch};

/// As in [`Network::between`].
const UPLINK: &str = "48mbit";
/// What people call the server: its address depends on who looks it up.
const SERVER: &str = "server.example";

/// Lets nothing into a home that was not asked for, as routers do with IPv6 where they have no NAT.
const UNASKED: &str = "table inet unasked {
    chain unasked {
        iifname wan ct state new drop
    }
    chain input {
        type filter hook input priority filter
        jump unasked
    }
    chain forward {
        type filter hook forward priority filter
        jump unasked
    }
}";

/// A way of the internet that is broken: what takes it is counted and lost.
fn broken(family: &str) -> String {
    format!(
        "table inet between {{
            counter dropped {{}}
            chain forward {{
                type filter hook forward priority filter
                meta nfproto {family} counter name dropped drop
            }}
        }}"
    )
}

impl Network {
    /// Alice and Bob each at home with a prefix of IPv6 and a router that lets nothing in unasked;
    /// the server's name leads to its IPv6 address, and there is no IPv4.
    pub(crate) fn of_ipv6() -> Self {
        let network = Self::of_homes(&["2001:db8"]);
        for machine in [&network.alice, &network.bob] {
            machine.knows(&[(SERVER, "2001:db8:3::2")]);
        }
        network
    }

    /// The same with IPv4 as well, without a NAT; but one of the two is broken on the internet,
    /// `ipv4` or `ipv6`, and nobody at home can know.
    pub(crate) fn with_broken(family: &str) -> Self {
        let network = Self::of_homes(&["2001:db8", "10.7"]);
        network.router.as_ref().unwrap().filter(&broken(family));
        for machine in [&network.alice, &network.bob] {
            machine.knows(&[(SERVER, "10.7.3.2"), (SERVER, "2001:db8:3::2")]);
        }
        network
    }

    /// Homes and the server around a router that is the internet; each has a network per beginning.
    fn of_homes(beginnings: &[&str]) -> Self {
        let (internet, server) = (Machine::new(), Machine::new());
        forward_all(&internet);
        let mut boxes = Vec::new();
        let [alice, bob] = [(1, "alice"), (2, "bob")].map(|(number, name)| {
            let (host, home) = (Machine::new(), Machine::new());
            host.cable("eth0", &home, "lan");
            home.cable("wan", &internet, name);
            forward_all(&home);
            for beginning in beginnings {
                let (inside, outside) =
                    (Plan::of(beginning, number), Plan::of(beginning, number + 10));
                inside.connect((&host, "eth0"), (&home, "lan"));
                outside.connect((&home, "wan"), (&internet, name));
                inside.route_through(&internet, &outside);
            }
            home.filter(UNASKED);
            boxes.push(home);
            host
        });
        server.cable("eth0", &internet, "server");
        for beginning in beginnings {
            Plan::of(beginning, 3).connect((&server, "eth0"), (&internet, "server"));
        }
        slow_down_to(&alice, "eth0", UPLINK);
        Self { alice, bob, server, server_ip: SERVER, router: Some(internet), boxes }
    }
}

/// The numbers of one network: the router has 1, and whoever is behind it 2.
struct Plan {
    network: String,
    prefix: String,
    separator: &'static str,
}

impl Plan {
    fn of(beginning: &str, number: u8) -> Self {
        match beginning.contains(':') {
            true => {
                let network = format!("{beginning}:{number}");
                Self { prefix: format!("{network}::/64"), network, separator: "::" }
            }
            false => {
                let network = format!("{beginning}.{number}");
                Self { prefix: format!("{network}.0/24"), network, separator: "." }
            }
        }
    }

    fn address(&self, number: u8) -> String {
        format!("{}{}{number}", self.network, self.separator)
    }

    /// Two ends of one cable; the first sends everything through the second.
    fn connect(&self, (host, interface): (&Machine, &str), (router, port): (&Machine, &str)) {
        let (_, len) = self.prefix.split_once('/').unwrap();
        host.address(interface, &format!("{}/{len}", self.address(2)));
        router.address(port, &format!("{}/{len}", self.address(1)));
        host.default_route(&self.address(1));
    }

    /// This network lies behind the one that has number 2 in another.
    fn route_through(&self, router: &Machine, other: &Self) {
        router.run(&["ip", "route", "add", &self.prefix, "via", &other.address(2)]);
    }
}

/// Passes on packets of both families.
fn forward_all(machine: &Machine) {
    machine.forward();
    machine.run(&["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"]);
}

/// Alice behind a NAT with IPv4 alone, and Bob with IPv6 alone behind a translator (NAT64): Debian's
/// `tayga`, with a NAT behind it so that all share one address (RFC 6146 in two boxes).
pub(crate) struct TranslatedNetwork {
    #[expect(dead_code, reason = "dropping it ends it")]
    tayga: Program,
    #[expect(dead_code, reason = "dropping it removes it")]
    dir: Scratch,
    network: Network,
}

/// Whom the translator has addresses for, and how it writes IPv4 addresses (RFC 6052 section 2.1).
const TRANSLATED: &str = "192.168.255.0/24";
const PREFIX: &str = "64:ff9b::/96";

impl AsRef<Network> for TranslatedNetwork {
    fn as_ref(&self) -> &Network {
        &self.network
    }
}

impl TranslatedNetwork {
    /// Alice is behind a NAT of this kind. Bob's machine is told of the server by its name, or has to
    /// do with its IPv4 address.
    pub(crate) fn new(alices: Nat, names_server: bool) -> Self {
        let (bob, router, server) = (Machine::new(), Machine::new(), Machine::new());
        let (alice, alices_nat) = behind(alices, "192.168.1", "1.2.3.1");
        let alices_nat = alices_nat.unwrap();
        bob.cable("eth0", &router, "lan");
        Plan::of("2001:db8", 2).connect((&bob, "eth0"), (&router, "lan"));
        let internet = switch([
            (&alices_nat, "wan", "1.2.3.1/24"),
            (&router, "wan", "1.2.3.2/24"),
            (&server, "eth0", "1.2.3.3/24"),
        ]);
        forward_all(&router);
        let (tayga, dir) = translate(&router);
        Nat::Moderate.set_up(&router, "1.2.3.2");
        // As the provider's DNS64 says it (RFC 6147); everybody can ask for the second (RFC 7050).
        let (server_there, prefix) =
            ((SERVER, "64:ff9b::102:303"), ("ipv4only.arpa", "64:ff9b::c000:aa"));
        bob.knows(&[server_there, prefix]);
        alice.knows(&[(SERVER, "1.2.3.3")]);
        slow_down_to(&alice, "eth0", UPLINK);
        let boxes = vec![internet, alices_nat, router];
        let server_ip = if names_server { SERVER } else { "1.2.3.3" };
        Self { tayga, dir, network: Network { alice, bob, server, server_ip, router: None, boxes } }
    }
}

/// Sets up the translator on a router.
fn translate(router: &Machine) -> (Program, Scratch) {
    let dir = Scratch::new();
    let data_dir = dir.path().display();
    let settings = format!(
        "tun-device nat64\nipv4-addr 192.168.255.1\nipv6-addr 2001:db8:2::ff\nprefix {PREFIX}\n\
         dynamic-pool {TRANSLATED}\ndata-dir {data_dir}\n"
    );
    let file_path = dir.path().join("conf");
    fs::write(&file_path, settings).unwrap();
    router.run(&["ip", "tuntap", "add", "dev", "nat64", "mode", "tun"]);
    router.run(&["ip", "link", "set", "nat64", "up"]);
    for prefix in [TRANSLATED, PREFIX] {
        router.run(&["ip", "route", "add", prefix, "dev", "nat64"]);
    }
    // In the foreground, and saying what it does when it does it.
    let mut command = router.command("stdbuf");
    command.args(["-oL", "tayga", "-d"]).arg("-c").arg(file_path);
    command.arg("-p").arg(dir.path().join("pid"));
    let mut program = Program::start(&command);
    // The last thing before it translates.
    while !program.line().expect("tayga runs on").starts_with("Dynamic pool") {}
    (program, dir)
}
