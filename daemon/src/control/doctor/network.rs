//! What was found about the NAT and what surrounds it.

use filefleet_ctl::proto::{Check, Finding, Level, NatKind};

use super::{advice, finding, kind};
use crate::doctor::Examination;
use crate::doctor::verdict::{Filtering, Ipv6, Untold};

pub(super) fn findings(examination: &Examination) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(address(examination));
    if examination.server.as_ref().is_some_and(|server| server.has_udp()) {
        findings.push(nat(examination));
        findings.push(port_mapping(examination));
    }
    findings.push(ipv6(examination.ipv6()));
    findings
}

fn address(examination: &Examination) -> Option<Finding> {
    let public: Vec<_> = examination.public().iter().map(ToString::to_string).collect();
    let message = format!("others see this computer at {}", public.join(" and "));
    (!public.is_empty()).then(|| finding(Check::Address, Level::Ok, message))
}

fn nat(examination: &Examination) -> Finding {
    let Some(nat) = examination.nat() else {
        let message =
            "what the NAT does could not be found out: one of the server's ports is silent";
        return finding(Check::Nat, Level::Warn, message);
    };
    match (kind(nat), nat.filtering) {
        (Ok(NatKind::None), Ok(Filtering::PortDependent)) => finding(
            Check::Nat,
            Level::Ok,
            "there is no NAT, but a firewall that lets in only whom this computer has sent something",
        ),
        (Ok(NatKind::None), _) => {
            finding(Check::Nat, Level::Ok, "there is no NAT: this computer's address is public")
        }
        (Ok(NatKind::Open), _) => finding(
            Check::Nat,
            Level::Ok,
            "the NAT is open: one address for everybody, and it lets in whoever comes",
        ),
        (Ok(NatKind::Moderate), _) => finding(
            Check::Nat,
            Level::Ok,
            "the NAT is moderate: one address for everybody, and it lets in only whom this computer \
             has sent something",
        ),
        (Ok(NatKind::Strict), _) => strict(examination),
        (Err(why), _) => untold(why),
    }
}

/// The NAT is open or moderate.
fn untold(why: Untold) -> Finding {
    let (level, why) = match why {
        Untold::OverIpv6 => (Level::Ok, "is not known, for the server is reached over IPv6"),
        Untold::NotSent => (Level::Warn, "is not known, for the server could not try"),
        Untold::NoAnswer => {
            (Level::Warn, "is not known, for the server has not answered; it may be too old")
        }
    };
    finding(
        Check::Nat,
        level,
        format!("the NAT has one address for everybody; whom it lets in {why}"),
    )
}

fn strict(examination: &Examination) -> Finding {
    let message = "the NAT is strict: everybody sees another port, which nobody else can use";
    match examination.usable_mapping() {
        Some(_) => {
            let message = format!("{message}; the port that the router has opened makes up for it");
            finding(Check::Nat, Level::Ok, message)
        }
        None => advice(
            Check::Nat,
            Level::Warn,
            message,
            "a router that opens ports (PCP, NAT-PMP or UPnP), or IPv6 on both sides, avoids it",
        ),
    }
}

fn port_mapping(examination: &Examination) -> Finding {
    let needed = examination.nat().is_none_or(|nat| !nat.is_absent);
    match (examination.surroundings.mapped, examination.usable_mapping()) {
        (Some(mapped), Some(_)) => {
            finding(Check::PortMapping, Level::Ok, format!("the router has opened {mapped} for us"))
        }
        (Some(mapped), None) => advice(
            Check::PortMapping,
            Level::Warn,
            format!(
                "the router has opened {mapped}, but is behind another NAT itself, where that is \
                 of no use"
            ),
            "a public address from the internet provider, or IPv6, would help",
        ),
        (None, _) if !needed => {
            finding(Check::PortMapping, Level::Ok, "no port has to be opened by a router")
        }
        (None, _) if !examination.map_port => advice(
            Check::PortMapping,
            Level::Ok,
            "the router is not asked to open a port",
            "ffctl config set map-port true, and start the daemon again",
        ),
        (None, _) => finding(Check::PortMapping, Level::Ok, "the router has opened no port for us"),
    }
}

fn ipv6(ipv6: Ipv6) -> Finding {
    match ipv6 {
        Ipv6::None => {
            finding(Check::Ipv6, Level::Ok, "there is no public IPv6 address; IPv4 is enough")
        }
        Ipv6::Unproven => finding(
            Check::Ipv6,
            Level::Ok,
            "there is a public IPv6 address, which is tried; the server has none to prove it with",
        ),
        Ipv6::Broken => advice(
            Check::Ipv6,
            Level::Warn,
            "there is a public IPv6 address, but the server does not answer there",
            "IPv4 is used instead; the router's or the provider's IPv6 may be broken",
        ),
        Ipv6::Works => finding(
            Check::Ipv6,
            Level::Ok,
            "IPv6 works: people who have it, too, are mostly reached without any NAT",
        ),
    }
}
