#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Everything from the start on, with the time of each step.
fn run(part: Part, random: u64) -> Vec<(Duration, Step)> {
    let start = Instant::now();
    let mut birthday = Birthday::new(part, start, random);
    let mut steps = Vec::new();
    loop {
        let at = birthday.timeout();
        assert_eq!(birthday.poll(at - MS), None);
        let step = birthday.poll(at).unwrap();
        steps.push((at - start, step));
        if step == Step::Over {
            return steps;
        }
    }
}

fn random(seed: u64) -> u64 {
    let hash = blake3::hash(&seed.to_be_bytes());
    u64::from_be_bytes(hash.as_bytes()[..8].try_into().unwrap())
}

fn guesses(steps: &[(Duration, Step)]) -> Vec<(Duration, u16)> {
    let guess = |(at, step): &(Duration, Step)| match step {
        Step::Guess(port) => Some((*at, *port)),
        _ => None,
    };
    steps.iter().filter_map(guess).collect()
}

#[test]
fn two_ports_of_one_server_tell_what_the_mapping_depends_on() {
    let seen = |pairs: &[(&str, &str)]| {
        let parse =
            |(server, mapped): &(&str, &str)| (server.parse().unwrap(), mapped.parse().unwrap());
        Mapping::seen(&pairs.iter().map(parse).collect::<Vec<_>>())
    };
    let (one, two) = (("192.0.2.1:7", "198.51.100.1:5"), ("192.0.2.1:8", "198.51.100.1:5"));
    assert_eq!(seen(&[one, two]), Some(Mapping::Independent));
    assert_eq!(seen(&[one, ("192.0.2.1:8", "198.51.100.1:6")]), Some(Mapping::Dependent));
    assert_eq!(seen(&[one]), None);
    assert_eq!(seen(&[one, ("[2001:db8::1]:8", "[2001:db8::2]:5")]), None);
}

#[test]
fn only_a_dependent_mapping_against_an_independent_one_is_worth_guessing() {
    let (dependent, independent) = (Some(Mapping::Dependent), Some(Mapping::Independent));
    assert_eq!(Part::of(dependent, independent), Some(Part::Scatter));
    assert_eq!(Part::of(independent, dependent), Some(Part::Guess));
    for (ours, theirs) in
        [(dependent, dependent), (independent, independent), (None, dependent), (independent, None)]
    {
        assert_eq!(Part::of(ours, theirs), None);
    }
}

#[test]
fn sockets_are_opened_gradually_and_anew_in_the_second_round() {
    let steps = run(Part::Scatter, random(1));
    let opened =
        |steps: &[(Duration, Step)]| steps.iter().filter(|(_, step)| *step == Step::Open).count();
    let second = steps.iter().rposition(|(_, step)| *step == Step::Clear).unwrap();
    assert_eq!(steps[0], (Duration::ZERO, Step::Clear));
    assert_eq!(steps[second].0, ROUND);
    assert_eq!(opened(&steps[..second]), usize::from(MAX_SOCKETS));
    assert_eq!(opened(&steps[second..]), usize::from(MAX_SOCKETS));
    assert!(steps[usize::from(MAX_SOCKETS)].0 >= MS * 1000, "{:?}", steps[256]);
    assert_eq!(steps.last().unwrap(), &(2 * ROUND, Step::Over));
}

#[test]
fn guesses_are_paced_and_no_port_is_guessed_twice() {
    for seed in 0..20 {
        let guesses = guesses(&run(Part::Guess, random(seed)));
        assert_eq!(guesses.len(), 2 * usize::from(MAX_GUESSES));
        let ports: HashSet<_> = guesses.iter().map(|(_, port)| *port).collect();
        assert_eq!(ports.len(), guesses.len());
        assert!(ports.iter().all(|port| *port >= FIRST_PORT));
        let paced = |pair: &[(Duration, u16)]| pair[1].0 - pair[0].0 >= GUESS_PACE;
        assert!(guesses.windows(2).all(paced));
    }
}

#[test]
fn a_computer_that_slept_through_a_round_begins_the_next() {
    let start = Instant::now();
    let mut birthday = Birthday::new(Part::Guess, start, random(1));
    assert_eq!(birthday.poll(start), Some(Step::Clear));
    // A computer that slept through the round begins the next one.
    assert_eq!(birthday.poll(start + 3 * ROUND), Some(Step::Clear));
    assert_eq!(birthday.poll(start + 3 * ROUND), None);
    assert_eq!(birthday.poll(start + 6 * ROUND), Some(Step::Over));
    assert_eq!(birthday.poll(start + 6 * ROUND), Some(Step::Over));
}

/// A NAT's ports for the sockets, each with the time from when on it is open.
fn nat(steps: &[(Duration, Step)], seed: u64) -> Vec<(Duration, u16)> {
    let round = steps.iter().skip(1).take_while(|(_, step)| *step == Step::Open);
    let port = |number: usize| {
        let number = u64::try_from(number).unwrap();
        FIRST_PORT + u16::try_from(random(seed * 1000 + number) % PORTS).unwrap()
    };
    round.enumerate().map(|(number, (at, _))| (*at, port(number))).collect()
}

#[test]
fn one_round_hits_nearly_always_and_half_of_its_guesses_in_98_of_100() {
    let (mut early, mut all) = (0, 0);
    let scattered = run(Part::Scatter, 0);
    for seed in 0..1000 {
        let open = nat(&scattered, seed);
        let guesses = guesses(&run(Part::Guess, random(seed + 1_000_000)));
        let is_hit = |(at, port): &(Duration, u16)| {
            open.iter().any(|(since, open)| open == port && since <= at)
        };
        let round = &guesses[..usize::from(MAX_GUESSES)];
        let first = round.iter().position(is_hit);
        all += u32::from(first.is_some());
        // The first guesses find few sockets open.
        early += u32::from(first.is_some_and(|first| first < 1024 + 256));
    }
    assert!(early > 970, "{early} of 1000 by then");
    assert!(all > 995, "{all} of 1000 in one round");
}
