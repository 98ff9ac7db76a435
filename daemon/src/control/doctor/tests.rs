#![allow(clippy::unwrap_used)]

use std::time::Duration;

use filefleet_server::client::Error;

use super::*;
use crate::doctor::{
    Unasked,
    verdict::tests::{behind_moderate, behind_open, behind_strict, examination, server},
};

fn shown(examination: &Examination) -> DoctorView {
    view(Some(&"alice".parse().unwrap()), examination)
}

fn found(view: &DoctorView, check: Check) -> Finding {
    let found = view.findings.iter().find(|finding| finding.check == check);
    found.unwrap_or_else(|| panic!("{check:?} in {view:?}")).clone()
}

/// What stands in the way, with how bad it is.
fn trouble(view: &DoctorView) -> Vec<(Check, Level)> {
    let findings = view.findings.iter().filter(|finding| finding.level != Level::Ok);
    findings.map(|finding| (finding.check, finding.level)).collect()
}

#[test]
fn where_everything_is_well_there_is_no_trouble() {
    let view = shown(&behind_open());
    assert_eq!(trouble(&view), []);
    assert_eq!(view.network.nat, Some(NatKind::Open));
    assert_eq!(view.network.public, ["203.0.113.1:9"]);
    assert_eq!(
        view.outlook,
        "Direct links work with everybody whose own network lets UDP through."
    );
    assert_eq!(
        found(&view, Check::RoundTrip).message,
        "a packet to the server and back takes 20 ms"
    );
}

#[test]
fn each_kind_of_nat_has_its_name() {
    let own = "192.168.1.2:9";
    for (examined, kind, level) in [
        (examination(own, own, true), NatKind::None, Level::Ok),
        (examination(own, own, false), NatKind::None, Level::Ok),
        (behind_moderate(), NatKind::Moderate, Level::Ok),
        (behind_strict(), NatKind::Strict, Level::Warn),
    ] {
        let view = shown(&examined);
        assert_eq!(view.network.nat, Some(kind));
        assert_eq!(found(&view, Check::Nat).level, level, "{kind:?}");
    }
}

#[test]
fn why_it_is_not_known_whom_the_nat_lets_in_is_said() {
    let observed = |text: &str| Unasked { observed: text.parse().unwrap(), arrived: Some(false) };
    let not_sent = Unasked { arrived: None, ..observed("203.0.113.1:9") };
    for (unasked, level, why) in [
        (Some(observed("[2001:db8::1]:9")), Level::Ok, "over IPv6"),
        (Some(not_sent), Level::Warn, "could not try"),
        (None, Level::Warn, "may be too old"),
    ] {
        let mut examined = behind_open();
        server(&mut examined).unasked = unasked;
        let view = shown(&examined);
        let finding = found(&view, Check::Nat);
        assert_eq!(finding.level, level, "{why}");
        assert!(finding.message.contains(why), "{}", finding.message);
        assert_eq!(view.network.nat, None);
    }
}

#[test]
fn a_port_that_the_router_has_opened_makes_up_for_a_strict_nat() {
    let mut examined = behind_strict();
    examined.surroundings.mapped = Some("203.0.113.1:7777".parse().unwrap());
    assert_eq!(trouble(&shown(&examined)), []);
    examined.surroundings.mapped = Some("10.0.0.1:7777".parse().unwrap());
    let expected = [(Check::Nat, Level::Warn), (Check::PortMapping, Level::Warn)];
    assert_eq!(trouble(&shown(&examined)), expected);
}

#[test]
fn blocked_udp_is_a_warning_while_tcp_works_and_else_a_problem() {
    let mut examined = behind_open();
    let facts = server(&mut examined);
    (facts.answers, facts.relay, facts.unasked) = (Vec::new(), None, None);
    facts.state.registered = false;
    facts.state.last_error = Some(Error::TimedOut);
    let expected = [(Check::Udp, Level::Warn), (Check::Registration, Level::Problem)];
    assert_eq!(trouble(&shown(&examined)), expected);
    server(&mut examined).tcp = Some(Err(Error::Unreachable("refused\u{7}".to_owned())));
    let view = shown(&examined);
    let expected = [Check::Udp, Check::Tcp, Check::Registration].map(|it| (it, Level::Problem));
    assert_eq!(trouble(&view), expected);
    let message = "the server cannot be reached by TCP: refused\u{7}";
    assert_eq!(found(&view, Check::Tcp).message, message);
}

#[test]
fn a_registration_over_which_nothing_comes_back_is_none() {
    let mut examined = behind_open();
    let facts = server(&mut examined);
    (facts.answers, facts.relay, facts.unasked) = (Vec::new(), None, None);
    (facts.clock, facts.tcp) = (None, Some(Err(Error::TimedOut)));
    let view = shown(&examined);
    let expected = [Check::Udp, Check::Tcp, Check::Registration].map(|it| (it, Level::Problem));
    assert_eq!(trouble(&view), expected);
    assert!(view.outlook.starts_with("Nobody can be found"));
}

#[test]
fn a_name_without_an_address_is_the_step_that_fails() {
    let mut examined = behind_open();
    let facts = server(&mut examined);
    facts.resolved = Err("no such host".to_owned());
    (facts.answers, facts.relay, facts.tcp) = (Vec::new(), None, None);
    facts.state = Default::default();
    let view = shown(&examined);
    let expected = [(Check::Resolution, Level::Problem), (Check::Registration, Level::Problem)];
    assert_eq!(trouble(&view), expected);
    assert!(found(&view, Check::Resolution).message.contains("no such host"));
    assert_eq!(view.network.nat, None);
}

#[test]
fn another_key_is_a_problem_whether_it_was_pinned_or_not() {
    let mut examined = behind_open();
    let facts = server(&mut examined);
    facts.state.registered = false;
    facts.state.last_error = Some(Error::ServerIdentity);
    facts.tcp = Some(Err(Error::ServerIdentity));
    let expected = [(Check::Certificate, Level::Problem), (Check::Registration, Level::Problem)];
    let unpinned = shown(&examined);
    assert_eq!(trouble(&unpinned), expected);
    server(&mut examined).address.pin = Some([1; 32]);
    let pinned = shown(&examined);
    assert_eq!(trouble(&pinned), expected);
    assert_ne!(found(&pinned, Check::Certificate), found(&unpinned, Check::Certificate));
}

#[test]
fn a_silent_relay_is_a_problem() {
    let mut examined = behind_open();
    server(&mut examined).relay = Some(Vec::new());
    let view = shown(&examined);
    assert_eq!(trouble(&view), [(Check::Relay, Level::Problem), (Check::Nat, Level::Warn)]);
    assert!(found(&view, Check::Relay).message.contains("7836"));
}

#[test]
fn a_clock_that_is_far_off_is_told_with_its_direction() {
    let mut examined = behind_open();
    let mut at = |is_ahead, seconds| {
        let by = Duration::from_secs(seconds);
        server(&mut examined).clock = Some(ClockOffset { is_ahead, by });
        let view = shown(&examined);
        (found(&view, Check::Clock), view.network.clock_offset.unwrap())
    };
    assert_eq!((at(true, 119).0.level, at(true, 119).1), (Level::Ok, 119.0));
    let (ahead, offset) = at(false, 3600);
    assert_eq!((ahead.level, offset), (Level::Warn, -3600.0));
    assert!(ahead.message.contains("1 h 0 min ahead of the server's"), "{ahead:?}");
    assert_eq!(at(true, 3 * 24 * 3600).0.level, Level::Problem);
}

#[test]
fn whoever_has_no_name_yet_is_told_how_to_claim_one() {
    let view = view(None, &Examination { server: None, ..behind_open() });
    assert_eq!(trouble(&view), [(Check::Registration, Level::Problem)]);
    assert!(found(&view, Check::Registration).hint.unwrap().contains("ffctl register"));
}
