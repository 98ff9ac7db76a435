//! An examination of the network in words: what was found, what it means, and what to do about it.

mod network;
mod outlook;
mod server;

use filefleet_ctl::proto::{
    Check, DoctorView, Finding, Ipv6, Level, NatFiltering, NatKind, NatMapping, NetworkView,
};
use filefleet_server::protos::name::Name;

use crate::connect::birthday::Mapping;
use crate::doctor::verdict::{self, Filtering, Nat, Untold};
use crate::doctor::{ClockOffset, Examination};

/// What is shown of an examination. `name` is the one that was claimed.
pub(crate) fn view(name: Option<&Name>, examination: &Examination) -> DoctorView {
    let mut findings = server::findings(name, examination);
    findings.extend(network::findings(examination));
    let outlook = outlook::words(examination.outlook()).to_owned();
    DoctorView { findings, outlook, network: facts(examination) }
}

fn facts(examination: &Examination) -> NetworkView {
    let (nat, server) = (examination.nat(), examination.server.as_ref());
    NetworkView {
        nat: nat.and_then(|nat| kind(nat).ok()),
        mapping: nat.map(|nat| match nat.mapping {
            Mapping::Independent => NatMapping::Independent,
            Mapping::Dependent => NatMapping::Dependent,
        }),
        filtering: nat.and_then(|nat| nat.filtering.ok()).map(|filtering| match filtering {
            Filtering::PortIndependent => NatFiltering::PortIndependent,
            Filtering::PortDependent => NatFiltering::PortDependent,
        }),
        public: examination.public().iter().map(ToString::to_string).collect(),
        mapped: examination.surroundings.mapped.map(|mapped| mapped.to_string()),
        udp: server.map(|server| server.has_udp()),
        tcp: server.and_then(|server| server.tcp.as_ref()).map(Result::is_ok),
        ipv6: Some(match examination.ipv6() {
            verdict::Ipv6::None => Ipv6::None,
            verdict::Ipv6::Unproven => Ipv6::Unproven,
            verdict::Ipv6::Broken => Ipv6::Broken,
            verdict::Ipv6::Works => Ipv6::Works,
        }),
        round_trip: server.and_then(|it| it.round_trip).map(|time| time.as_secs_f64()),
        clock_offset: server.and_then(|server| server.clock).map(seconds),
    }
}

/// The kind of a NAT in one word, or why its filtering, which would decide, is not known.
fn kind(nat: Nat) -> Result<NatKind, Untold> {
    Ok(match nat {
        Nat { is_absent: true, .. } => NatKind::None,
        Nat { mapping: Mapping::Dependent, .. } => NatKind::Strict,
        Nat { filtering, .. } => match filtering? {
            Filtering::PortIndependent => NatKind::Open,
            Filtering::PortDependent => NatKind::Moderate,
        },
    })
}

/// Negative if the server's clock is behind.
fn seconds(ClockOffset { is_ahead, by }: ClockOffset) -> f64 {
    if is_ahead { by.as_secs_f64() } else { -by.as_secs_f64() }
}

fn finding(check: Check, level: Level, message: impl Into<String>) -> Finding {
    Finding { check, level, message: message.into(), hint: None }
}

/// The same, with what to do.
fn advice(
    check: Check,
    level: Level,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Finding {
    Finding { hint: Some(hint.into()), ..finding(check, level, message) }
}

#[cfg(test)]
mod tests;
