#![allow(clippy::unwrap_used)]

use std::time::Duration;

use filefleet_server::client::{Relay, State};

use super::{super::ClockOffset, *};
use crate::connect::{
    candidate::{Interface, Network},
    driver::Surroundings,
};

const MAIN: &str = "198.51.100.9:7835";
const RELAY: &str = "198.51.100.9:7836";
const HERE: &str = "192.168.1.2";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn reply(server: &str, mapped: &str) -> Reply {
    Reply { server: address(server), mapped: address(mapped) }
}

/// What is found of a machine whose main socket the server's two ports see like this, and which gets
/// or does not get what is sent unasked.
pub(crate) fn examination(main: &str, relay: &str, arrived: bool) -> Examination {
    let state = State {
        registered: true,
        server_addr: Some(address(MAIN)),
        relay: Some(Relay::Udp(address(RELAY))),
        observed: Some(address(main)),
        last_error: None,
    };
    let interface = Interface { ip: HERE.parse().unwrap(), prefix_len: 24 };
    Examination {
        surroundings: Surroundings { network: Network(vec![interface]), mapped: None },
        map_port: true,
        guess_ports: true,
        server: Some(ServerFacts {
            address: "example.org".parse().unwrap(),
            resolved: Ok(vec![address(MAIN)]),
            answers: vec![reply(MAIN, main)],
            relay: Some(vec![reply(RELAY, relay)]),
            tcp: Some(Ok(())),
            state,
            round_trip: Some(Duration::from_millis(20)),
            clock: Some(ClockOffset { is_ahead: true, by: Duration::from_millis(3) }),
            unasked: Some(Unasked { observed: address(main), arrived: Some(arrived) }),
        }),
    }
}

pub(crate) fn behind_open() -> Examination {
    examination("203.0.113.1:9", "203.0.113.1:9", true)
}

pub(crate) fn behind_moderate() -> Examination {
    examination("203.0.113.1:9", "203.0.113.1:9", false)
}

pub(crate) fn behind_strict() -> Examination {
    examination("203.0.113.1:9", "203.0.113.1:10", false)
}

pub(crate) fn server(examination: &mut Examination) -> &mut ServerFacts {
    examination.server.as_mut().unwrap()
}

#[test]
fn the_kinds_of_nat_are_told_apart() {
    let own = format!("{HERE}:9");
    let nat = |is_absent, mapping, filtering| Some(Nat { is_absent, mapping, filtering });
    let (taken, dropped) = (Ok(Filtering::PortIndependent), Ok(Filtering::PortDependent));
    let none = examination(&own, &own, true).nat();
    assert_eq!(none, nat(true, Mapping::Independent, taken));
    assert_eq!(behind_open().nat(), nat(false, Mapping::Independent, taken));
    assert_eq!(behind_moderate().nat(), nat(false, Mapping::Independent, dropped));
    assert_eq!(behind_strict().nat(), nat(false, Mapping::Dependent, dropped));
}

#[test]
fn what_was_not_answered_is_not_guessed() {
    let mut silent_relay = behind_open();
    server(&mut silent_relay).relay = Some(Vec::new());
    assert_eq!(silent_relay.nat(), None);
    let observed = |text| Unasked { observed: address(text), arrived: Some(false) };
    let not_sent = Unasked { arrived: None, ..observed("203.0.113.1:9") };
    for (unasked, why) in [
        (None, Untold::NoAnswer),
        (Some(not_sent), Untold::NotSent),
        (Some(observed("[2001:db8::1]:9")), Untold::OverIpv6),
    ] {
        let mut examined = behind_open();
        server(&mut examined).unasked = unasked;
        assert_eq!(examined.nat().unwrap().filtering, Err(why));
        assert_eq!(examined.outlook(), Outlook::Unknown);
    }
}

#[test]
fn what_to_expect_follows_from_the_nat() {
    assert_eq!(behind_open().outlook(), Outlook::Everybody);
    let guessing = true;
    assert_eq!(behind_moderate().outlook(), Outlook::AllButStrict { guessing });
    assert_eq!(behind_strict().outlook(), Outlook::FromBehindStrict { guessing });
    let careful = Examination { guess_ports: false, ..behind_strict() };
    assert_eq!(careful.outlook(), Outlook::FromBehindStrict { guessing: false });
}

#[test]
fn a_mapping_by_the_router_serves_everybody_unless_another_nat_is_before_it() {
    let mut mapped = behind_strict();
    mapped.surroundings.mapped = Some(address("203.0.113.1:7777"));
    assert_eq!(mapped.outlook(), Outlook::Everybody);
    mapped.surroundings.mapped = Some(address("100.64.0.9:7777"));
    assert_eq!(mapped.usable_mapping(), None);
    assert_eq!(mapped.outlook(), Outlook::FromBehindStrict { guessing: true });
}

#[test]
fn without_udp_or_without_a_server_no_nat_matters() {
    let mut blocked = behind_open();
    let facts = server(&mut blocked);
    (facts.answers, facts.relay, facts.unasked) = (Vec::new(), None, None);
    facts.state.relay = Some(Relay::Udp(address(RELAY)));
    assert!(facts.has_udp(), "the server has answered the probe");
    facts.clock = None;
    assert!(!facts.has_udp() && !facts.is_registered(), "nothing comes back any more");
    assert_eq!(blocked.outlook(), Outlook::Unreachable);
    assert_eq!(Examination { server: None, ..behind_open() }.outlook(), Outlook::Nameless);
}

#[test]
fn whoever_shows_another_key_is_an_impostor() {
    let mut examined = behind_open();
    let facts = server(&mut examined);
    assert_eq!(facts.is_impostor(), Some(false));
    facts.state.registered = false;
    facts.tcp = Some(Err(client::Error::TimedOut));
    assert_eq!(facts.is_impostor(), None);
    facts.tcp = Some(Err(client::Error::ServerIdentity));
    assert_eq!(facts.is_impostor(), Some(true));
    facts.tcp = None;
    facts.state.last_error = Some(client::Error::ServerIdentity);
    assert_eq!(facts.is_impostor(), Some(true));
}

#[test]
fn ipv6_works_where_the_server_answers() {
    let mut examined = behind_open();
    assert_eq!(examined.ipv6(), Ipv6::None);
    let interfaces = &mut examined.surroundings.network.0;
    for ip in ["fd00::1", "fe80::1", "::1"] {
        interfaces.push(Interface { ip: ip.parse().unwrap(), prefix_len: 64 });
    }
    assert_eq!(examined.ipv6(), Ipv6::None);
    let interfaces = &mut examined.surroundings.network.0;
    interfaces.push(Interface { ip: "2001:db8::1".parse().unwrap(), prefix_len: 64 });
    assert_eq!(examined.ipv6(), Ipv6::Unproven);
    let there = "[2001:db8:1::9]:7835";
    server(&mut examined).resolved.as_mut().unwrap().push(address(there));
    assert_eq!(examined.ipv6(), Ipv6::Broken);
    server(&mut examined).answers.push(reply(there, "[2001:db8::1]:9"));
    assert_eq!(examined.ipv6(), Ipv6::Works);
}
