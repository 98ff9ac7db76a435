use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const SECOND: Duration = Duration::from_secs(1);

fn ask(allowances: &mut Allowances, now: Instant, ip: IpAddr, reason: Reason) -> bool {
    let may = allowances.earliest(ip, reason).is_none_or(|at| at <= now);
    if may {
        allowances.spend(now, ip, reason);
    }
    may
}

/// How many of a thousand requests are allowed.
fn allowed(allowances: &mut Allowances, now: Instant, reason: Reason) -> usize {
    (0..1000).filter(|_| ask(allowances, now, HERE, reason)).count()
}

#[test]
fn who_does_not_answer_is_asked_ten_times_in_ten_minutes() {
    let (start, mut allowances) = (Instant::now(), Allowances::default());
    assert_eq!(allowed(&mut allowances, start, Reason::Named), 10);
    assert_eq!(allowed(&mut allowances, start + WINDOW - SECOND, Reason::Named), 0);
    assert_eq!(allowed(&mut allowances, start + WINDOW, Reason::Named), 10);
    assert!(!allowances.is_settled(start + WINDOW));
    assert!(allowances.is_settled(start + 2 * WINDOW));
}

#[test]
fn who_answers_may_be_asked_for_ten_minutes_more() {
    let (start, mut allowances) = (Instant::now(), Allowances::default());
    allowed(&mut allowances, start, Reason::Named);
    let later = start + WINDOW / 2;
    allowances.answered(later, HERE);
    assert_eq!(allowed(&mut allowances, later + WINDOW - SECOND, Reason::Named), 1000);
    assert_eq!(allowed(&mut allowances, later + WINDOW, Reason::Named), 10);
}

#[test]
fn who_is_heard_may_be_asked_though_it_was_named_in_vain_and_as_often_as_it_is_heard() {
    let (now, mut allowances) = (Instant::now(), Allowances::default());
    allowed(&mut allowances, now, Reason::Named);
    assert_eq!(allowed(&mut allowances, now, Reason::Heard), 10);
    for _ in 0..3 {
        allowances.heard(now, HERE, Reason::Heard);
    }
    assert_eq!(allowed(&mut allowances, now, Reason::Heard), 3);
    assert_eq!(allowed(&mut allowances, now, Reason::Named), 0);
}

#[test]
fn who_asks_from_where_it_was_named_in_vain_is_asked_as_often_as_it_asks() {
    let (now, mut allowances) = (Instant::now(), Allowances::default());
    allowed(&mut allowances, now, Reason::Named);
    for _ in 0..3 {
        allowances.heard(now, HERE, Reason::Named);
    }
    assert_eq!(allowed(&mut allowances, now, Reason::Named), 3);
}

#[test]
fn a_server_is_asked_at_will() {
    let mut allowances = Allowances::unlimited();
    assert_eq!(allowed(&mut allowances, Instant::now(), Reason::Named), 1000);
}

#[test]
fn in_another_network_everything_begins_anew() {
    let (now, mut allowances) = (Instant::now(), Allowances::default());
    allowed(&mut allowances, now, Reason::Named);
    allowances.forgive();
    assert_eq!(allowed(&mut allowances, now, Reason::Named), 10);
}

#[test]
fn no_more_addresses_are_asked_than_are_remembered() {
    let (now, mut allowances) = (Instant::now(), Allowances::default());
    let addresses = (0..10_000_u32).map(|n| IpAddr::from(n.to_be_bytes()));
    let asked: Vec<_> =
        addresses.filter(|ip| ask(&mut allowances, now, *ip, Reason::Named)).collect();
    assert_eq!(asked.len(), MAX_ADDRESSES);
    assert!(ask(&mut allowances, now, asked[0], Reason::Named));
    assert!(ask(&mut allowances, now + WINDOW, HERE, Reason::Named));
}
