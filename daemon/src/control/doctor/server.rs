//! What was found about the way to the server.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use filefleet_ctl::proto::{Check, Finding, Level};
use filefleet_server::client;
use filefleet_server::protos::name::Name;

use super::super::error;
use super::{advice, finding};
use crate::doctor::{ClockOffset, Examination, ServerFacts};

/// From here on people notice that their calls take long.
const SLOW: Duration = Duration::from_millis(800);
/// Clocks that nobody sets by the network are off by less.
const CLOCK_OFF: Duration = Duration::from_secs(120);
/// Certificates are refused before and after the days for which they are made.
const CLOCK_WRONG: Duration = Duration::from_secs(24 * 3600);

/// Addresses that a sentence names.
const MAX_NAMED: usize = 3;

pub(super) fn findings(name: Option<&Name>, examination: &Examination) -> Vec<Finding> {
    let (Some(server), Some(name)) = (&examination.server, name) else {
        return vec![advice(
            Check::Registration,
            Level::Problem,
            "you have not claimed a name at any server, so nobody can find you",
            "ffctl register NAME --server ADDRESS",
        )];
    };
    let mut findings = vec![resolution(server)];
    if server.resolved.as_ref().is_ok_and(|addresses| !addresses.is_empty()) {
        findings.push(udp(server));
        findings.extend(tcp(server));
        findings.extend(certificate(server));
    }
    findings.push(registration(name, server));
    findings.extend(relay(server));
    findings.extend(server.round_trip.map(round_trip));
    findings.extend(server.clock.map(clock));
    findings
}

fn resolution(server: &ServerFacts) -> Finding {
    let host = &server.address.host;
    match &server.resolved {
        Ok(_) if host.parse::<IpAddr>().is_ok() => {
            finding(Check::Resolution, Level::Ok, format!("the server is at {host}"))
        }
        Ok(addresses) if !addresses.is_empty() => {
            finding(Check::Resolution, Level::Ok, format!("{host} is at {}", named(addresses)))
        }
        Ok(_) => advice(
            Check::Resolution,
            Level::Problem,
            format!("the name {host} has no address"),
            "check the server's name with whoever runs it",
        ),
        Err(why) => advice(
            Check::Resolution,
            Level::Problem,
            format!("no address of {host} can be found: {why}"),
            "check that this computer is online, and the server's name",
        ),
    }
}

/// The first few addresses, and how many more there are.
fn named(addresses: &[SocketAddr]) -> String {
    let first: Vec<_> = addresses.iter().take(MAX_NAMED).map(|it| it.ip().to_string()).collect();
    match addresses.len().saturating_sub(MAX_NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn udp(server: &ServerFacts) -> Finding {
    let port = server.address.port;
    match (server.has_udp(), &server.tcp) {
        (true, _) if server.state.is_tunnelled() => finding(
            Check::Udp,
            Level::Ok,
            "the server answers by UDP again; TLS over TCP is given up for it soon",
        ),
        (true, _) => finding(Check::Udp, Level::Ok, "the server answers by UDP"),
        (false, Some(Ok(()))) => advice(
            Check::Udp,
            Level::Warn,
            "no UDP gets through to the server, so that everything goes through the relay",
            format!("a firewall that lets UDP out, above all to port {port}, would allow more"),
        ),
        (false, _) => advice(
            Check::Udp,
            Level::Problem,
            "the server does not answer by UDP",
            format!("check that it runs, and that nothing blocks its port {port}"),
        ),
    }
}

fn tcp(server: &ServerFacts) -> Option<Finding> {
    // Who answers is not the server, whatever it says at which port.
    if server.is_impostor() == Some(true) {
        return None;
    }
    let (message, cause) = match server.tcp.as_ref()? {
        Ok(()) => {
            let message = "the server takes TLS over TCP, for networks that let no UDP through";
            return Some(finding(Check::Tcp, Level::Ok, message));
        }
        Err(client::Error::TimedOut) => ("the server does not answer by TCP", None),
        Err(client::Error::Unreachable(why)) => ("the server cannot be reached by TCP", Some(why)),
        Err(_) => ("the server cannot be used by TCP", None),
    };
    let message = match cause {
        Some(why) => format!("{message}: {why}"),
        None => message.to_owned(),
    };
    Some(match server.has_udp() {
        true => advice(
            Check::Tcp,
            Level::Warn,
            message,
            "only networks that block UDP need it; whoever runs the server has to open the port",
        ),
        false => finding(Check::Tcp, Level::Problem, message),
    })
}

fn certificate(server: &ServerFacts) -> Option<Finding> {
    let is_pinned = server.address.pin.is_some();
    Some(match (server.is_impostor()?, is_pinned) {
        (false, true) => {
            finding(Check::Certificate, Level::Ok, "the server has the key that its address names")
        }
        (false, false) => finding(
            Check::Certificate,
            Level::Ok,
            "this computer trusts whoever vouches for the server's key",
        ),
        (true, true) => advice(
            Check::Certificate,
            Level::Problem,
            "whoever answers has another key than the server's address names",
            "ask whoever runs the server what 'filefleet-server fingerprint' prints",
        ),
        (true, false) => advice(
            Check::Certificate,
            Level::Problem,
            "nobody whom this computer trusts vouches for the server's key",
            "register with an address that ends in '#' and the server's fingerprint",
        ),
    })
}

fn registration(name: &Name, server: &ServerFacts) -> Finding {
    let state = &server.state;
    if server.is_registered() {
        let how = if state.is_tunnelled() { ", through TLS over TCP" } else { "" };
        let message = format!("the server knows you as '{name}'{how}");
        return finding(Check::Registration, Level::Ok, message);
    }
    if state.registered {
        let message = "nothing comes back from the server any more";
        let hint = "wait a minute: the daemon looks for another way to it";
        return advice(Check::Registration, Level::Problem, message, hint);
    }
    let why = match &state.last_error {
        Some(why) => error::of_rendezvous(name, why),
        None => error::server_silent(&server.address),
    };
    let message = format!("you are not registered: {}", why.message);
    Finding { hint: why.hint, ..finding(Check::Registration, Level::Problem, message) }
}

fn relay(server: &ServerFacts) -> Option<Finding> {
    let answers = server.relay.as_ref()?;
    let port = server.state.relay_addr()?.port();
    // Where nothing was asked, nothing has failed.
    if server.answers.is_empty() {
        return None;
    }
    Some(match answers.is_empty() {
        false => finding(Check::Relay, Level::Ok, "the server's relay answers"),
        true => advice(
            Check::Relay,
            Level::Problem,
            format!(
                "the server's relay does not answer at UDP port {port}, and no transfer can begin"
            ),
            "whoever runs the server has to open that port, too",
        ),
    })
}

fn round_trip(time: Duration) -> Finding {
    let message = format!("a packet to the server and back takes {} ms", time.as_millis().max(1));
    match time < SLOW {
        true => finding(Check::RoundTrip, Level::Ok, message),
        false => advice(
            Check::RoundTrip,
            Level::Warn,
            message,
            "transfers begin slowly; a server that is nearer, or an idle line, would help",
        ),
    }
}

fn clock(ClockOffset { is_ahead, by }: ClockOffset) -> Finding {
    if by < CLOCK_OFF {
        return finding(Check::Clock, Level::Ok, "this computer's clock agrees with the server's");
    }
    let by_words = filefleet_ctl::format::duration(by);
    let where_to = if is_ahead { "behind" } else { "ahead of" };
    let level = if by < CLOCK_WRONG { Level::Warn } else { Level::Problem };
    advice(
        Check::Clock,
        level,
        format!(
            "this computer's clock is {by_words} {where_to} the server's: certificates may seem \
             to have expired, and times of transfers are wrong"
        ),
        "let the computer set its clock by the network",
    )
}
