//! The networks that two users and a server may be on.

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};

use super::Machine;

mod homes;
mod igd;
mod moving;
mod nats;
mod six;

pub(crate) use igd::{Asking, MappingNetwork};
pub(crate) use moving::MovingNetwork;
pub(crate) use nats::Nat;
pub(crate) use six::TranslatedNetwork;

/// How much Alice can send per second.
const UPLINK: &str = "160mbit";

/// Three machines, and what is between them.
pub(crate) struct Network {
    pub(crate) alice: Machine,
    pub(crate) bob: Machine,
    pub(crate) server: Machine,
    /// Its address, or the name by which all machines here know it.
    pub(crate) server_ip: &'static str,
    /// The router between them, if there is one.
    router: Option<Machine>,
    /// Switches and NATs.
    boxes: Vec<Machine>,
}

/// Says so if this machine cannot have network namespaces, and fails where that is no excuse.
#[allow(clippy::print_stderr, reason = "the test harness shows it")]
pub(crate) fn lacks_namespaces() -> bool {
    let tools = [
        (vec!["unshare", "--net", "true"], "root and network namespaces (util-linux)"),
        (vec!["nsenter", "--version"], "nsenter (util-linux)"),
        (vec!["ip", "-V"], "ip (iproute2)"),
        (vec!["nft", "--version"], "nft (nftables)"),
        (vec!["tcpdump", "--version"], "tcpdump"),
        (vec!["miniupnpd", "--version"], "miniupnpd"),
        (vec!["conntrack", "--version"], "conntrack"),
        (vec!["tayga", "--help"], "tayga"),
    ];
    let lacks = |words: &Vec<&str>| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        !command.status().is_ok_and(|status| status.success())
    };
    let Some((_, needed)) = tools.iter().find(|(words, _)| lacks(words)) else {
        return false;
    };
    eprintln!("skipped: needs {needed}");
    assert!(env::var_os("FILEFLEET_TEST_NO_SKIP").is_none(), "skipped: needs {needed}");
    true
}

impl AsRef<Self> for Network {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Network {
    /// All three on one switch.
    pub(crate) fn one_switch() -> Self {
        let (alice, bob, server) = (Machine::new(), Machine::new(), Machine::new());
        let hosts = [(&alice, "10.7.0.1/24"), (&bob, "10.7.0.2/24"), (&server, "10.7.0.3/24")];
        let switch = switch(hosts.map(|(host, address)| (host, "eth0", address)));
        slow_down(&alice);
        Self { alice, bob, server, server_ip: "10.7.0.3", router: None, boxes: vec![switch] }
    }

    /// Each on a network of its own, with a router between them.
    pub(crate) fn routed() -> Self {
        let router = Machine::new();
        router.forward();
        let [alice, bob, server] =
            [("alice", 1), ("bob", 2), ("server", 3)].map(|(name, number)| {
                let (host, network) = (Machine::new(), format!("10.7.{number}"));
                host.cable("eth0", &router, name);
                host.address("eth0", &format!("{network}.2/24"));
                router.address(name, &format!("{network}.1/24"));
                host.default_route(&format!("{network}.1"));
                host
            });
        let (server_ip, boxes) = ("10.7.3.2", Vec::new());
        slow_down(&alice);
        Self { alice, bob, server, server_ip, router: Some(router), boxes }
    }

    /// Alice and Bob each at home behind a NAT, in networks with these first three numbers.
    pub(crate) fn behind_nats(alices: &str, bobs: &str) -> Self {
        let (alice, alices_nat) = home(alices);
        let (bob, bobs_nat) = home(bobs);
        let server = Machine::new();
        let internet = switch([
            (&alices_nat, "wan", "203.0.113.1/24"),
            (&bobs_nat, "wan", "203.0.113.2/24"),
            (&server, "eth0", "203.0.113.3/24"),
        ]);
        let boxes = vec![internet, alices_nat, bobs_nat];
        slow_down(&alice);
        Self { alice, bob, server, server_ip: "203.0.113.3", router: None, boxes }
    }

    /// From now on Alice can send so much per second, in words of `tc`.
    pub(crate) fn set_uplink(&self, rate: &str) {
        self.alice.run(&["tc", "qdisc", "del", "dev", "eth0", "root"]);
        slow_down_to(&self.alice, "eth0", rate);
    }

    /// From now on the router drops everything between Alice and Bob.
    pub(crate) fn separate(&self) {
        let router = self.router.as_ref().unwrap();
        router.filter(
            "table inet between {
                counter dropped {}
                chain forward {
                    type filter hook forward priority 0;
                    iifname { alice, bob } oifname { alice, bob } counter name dropped drop
                }
            }",
        );
    }

    /// From now on it does not any more.
    pub(crate) fn join(&self) {
        let router = self.router.as_ref().unwrap();
        router.filter("delete table inet between");
    }

    /// From now on the router lets Alice make connections like this, and drops everything else of hers.
    pub(crate) fn firewall(&self, connections: &str) {
        let router = self.router.as_ref().unwrap();
        router.filter(&format!(
            "table inet between {{
                counter dropped {{}}
                chain alices {{
                    ct state established accept
                    iifname alice {connections} accept
                    counter name dropped drop
                }}
                chain forward {{
                    type filter hook forward priority 0;
                    iifname alice jump alices
                    oifname alice jump alices
                }}
            }}"
        ));
    }

    /// How many packets the router has dropped since then.
    #[track_caller]
    pub(crate) fn dropped(&self) -> u64 {
        let router = self.router.as_ref().unwrap();
        let said = router.run(&["nft", "list", "counter", "inet", "between", "dropped"]);
        let mut words = said.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).unwrap_or_else(|| panic!("{said}")).parse().unwrap()
    }

    /// Sends the server a packet from Alice's machine, in the clear; nobody listens there.
    pub(crate) fn tell_server(&self, words: &[u8]) {
        let address = format!("/dev/udp/{}/9", self.server_ip);
        let mut command = self.alice.command("bash");
        command.args(["-c", "exec dd bs=4096 count=1 status=none > \"$0\"", &address]);
        let mut bash = command.stdin(Stdio::piped()).spawn().unwrap();
        bash.stdin.take().unwrap().write_all(words).unwrap();
        assert!(bash.wait().unwrap().success());
    }
}

/// Lets a machine send no more than [`UPLINK`], which leaves the processor time for other things.
fn slow_down(machine: &Machine) {
    slow_down_to(machine, "eth0", UPLINK);
}

fn slow_down_to(machine: &Machine, interface: &str, rate: &str) {
    let words = ["tc", "qdisc", "add", "dev", interface, "root", "tbf", "rate", rate];
    machine.run(&[&words[..], &["burst", "256kb", "latency", "50ms"]].concat());
}

/// A switch, and a cable from it to each of these interfaces.
fn switch<const N: usize>(hosts: [(&Machine, &str, &str); N]) -> Machine {
    let switch = Machine::new();
    switch.run(&["ip", "link", "add", "name", "bridge", "type", "bridge"]);
    switch.run(&["ip", "link", "set", "bridge", "up"]);
    for (number, (host, interface, address)) in hosts.into_iter().enumerate() {
        let port = format!("port{number}");
        host.cable(interface, &switch, &port);
        switch.run(&["ip", "link", "set", &port, "master", "bridge"]);
        host.address(interface, address);
    }
    switch
}

/// A computer and its NAT, as most homes have it: mappings do not depend on the destination
/// (Linux keeps the port), and nothing comes in that was not asked for.
fn home(network: &str) -> (Machine, Machine) {
    let (host, nat) = (Machine::new(), Machine::new());
    host.cable("eth0", &nat, "lan");
    host.address("eth0", &format!("{network}.2/24"));
    nat.address("lan", &format!("{network}.1/24"));
    host.default_route(&format!("{network}.1"));
    nat.forward();
    // What comes unasked is dropped, so that nothing remembers it: else it would occupy the very
    // mapping that the computer's own packets to its sender are to use.
    nat.filter(
        "table inet home {
            chain unasked {
                iifname wan ct state new drop
            }
            chain input {
                type filter hook input priority 0;
                jump unasked
            }
            chain forward {
                type filter hook forward priority 0;
                jump unasked
            }
            chain leaving {
                type nat hook postrouting priority 100;
                oifname wan masquerade
            }
        }",
    );
    (host, nat)
}
