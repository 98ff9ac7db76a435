//! A router that maps ports for those who ask it: Debian's `miniupnpd`.

use std::fs;
use std::process::Command;

use super::super::{Program, Scratch};
use super::{Machine, Nat, Network};

/// By what the router may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    Pcp,
    NatPmp,
    Upnp,
}

/// The program on a router whose interfaces are `lan` and `wan`.
pub(crate) struct Igd {
    #[expect(dead_code, reason = "dropping it ends it")]
    program: Program,
    #[expect(dead_code, reason = "dropping it removes it")]
    dir: Scratch,
}

/// The tables that `miniupnpd` writes to, as its own script makes them.
const TABLES: &str = "table inet filter {
    chain miniupnpd {}
    chain prerouting_miniupnpd {}
    chain postrouting_miniupnpd {}
    chain forward {
        type filter hook forward priority filter
        jump miniupnpd
    }
    chain prerouting {
        type nat hook prerouting priority dstnat
        jump prerouting_miniupnpd
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        jump postrouting_miniupnpd
    }
}";

/// Nobody answers requests of PCP: their first byte is the version, 2. (NAT-PMP's is 0.)
const NO_PCP: &str = "table inet no_pcp {
    chain input {
        type filter hook input priority filter
        udp dport 5351 @th,64,8 2 drop
    }
}";

impl Igd {
    pub(super) fn start(router: &Machine, asking: Asking) -> Self {
        router.filter(TABLES);
        if asking == Asking::NatPmp {
            router.filter(NO_PCP);
        }
        let yes = |when| if when { "yes" } else { "no" };
        let settings = format!(
            "ext_ifname=wan\nlistening_ip=lan\nuuid=00000000-0000-0000-0000-000000000001\n\
             enable_upnp={}\nenable_natpmp={}\nallow 1024-65535 0.0.0.0/0 1024-65535\n",
            yes(asking == Asking::Upnp),
            yes(asking != Asking::Upnp)
        );
        let dir = Scratch::new();
        let (file_path, pid_path) = (dir.path().join("conf"), dir.path().join("pid"));
        fs::write(&file_path, settings).unwrap();
        let mut command: Command = router.command("miniupnpd");
        // In the foreground, and saying what it does.
        command.arg("-d").arg("-f").arg(file_path).arg("-P").arg(pid_path);
        let mut program = Program::start(&command);
        program.says(if asking == Asking::Upnp {
            "HTTP listening"
        } else {
            "Listening for NAT-PMP"
        });
        Self { program, dir }
    }
}

/// Alice and Bob behind strict NATs, of which Bob's maps ports.
pub(crate) struct MappingNetwork {
    #[expect(dead_code, reason = "dropping it ends it")]
    igd: Igd,
    pub(crate) network: Network,
}

impl MappingNetwork {
    pub(crate) fn new(asking: Asking) -> Self {
        let network = Network::between(Nat::Strict, Nat::Strict);
        let igd = Igd::start(network.bobs_router(), asking);
        Self { igd, network }
    }

    /// How many mappings the router has.
    #[track_caller]
    pub(crate) fn mappings(&self) -> usize {
        let words = ["nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd"];
        let rules = self.network.bobs_router().run(&words);
        rules.lines().filter(|line| line.contains("dnat")).count()
    }
}
