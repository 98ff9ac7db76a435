//! The crash drill: sender, receiver and server are killed without warning at random moments of
//! transfers of mixed trees, and started again. Every transfer must end complete, once; no file under
//! its real name may ever have wrong content; and little may be sent again.
//!
//! `FILEFLEET_DRILL_ROUNDS` and `FILEFLEET_DRILL_SEED` choose how many transfers and which.

mod chance;
mod sent;
mod trees;
mod watcher;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::chance::Chance;
use self::sent::Sent;
use self::watcher::Watcher;
use crate::support::{Pair, Tree, User};

/// The rounds of a run that nobody has told how many.
const ROUNDS: u32 = 20;
/// The most that may be sent again for each kill.
const AGAIN: u64 = 32 << 20;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Sender,
    Receiver,
    Server,
}

#[test]
#[allow(clippy::print_stderr, reason = "the harness shows it: what failed can be run again")]
fn whoever_is_killed_at_whatever_moment_all_arrives_once() {
    let rounds = number("FILEFLEET_DRILL_ROUNDS").unwrap_or(ROUNDS.into());
    let seed = number("FILEFLEET_DRILL_SEED").unwrap_or_else(|| std::process::id().into());
    eprintln!("drill: {rounds} rounds, FILEFLEET_DRILL_SEED={seed}");
    let mut chance = Chance::new(seed);
    let mut pair = Pair::trusting();
    fs::create_dir(pair.bob.received()).unwrap();
    let undisturbed = Round::new(&pair, "calm", &mut chance).run(&mut pair, &[], Duration::ZERO);
    let mut most = 0;
    for number in 0..rounds {
        let victims = chance.victims();
        // Some die before it has begun, some when it is over.
        let moment = undisturbed.took.mul_f64(1.2 * chance.part());
        eprintln!("drill: round {number}: {victims:?} after {moment:?}");
        let round = Round::new(&pair, &format!("round {number}"), &mut chance);
        let outcome = round.run(&mut pair, &victims, moment);
        let again = outcome.again / victims.len() as u64;
        assert!(again <= AGAIN, "{again} bytes per kill were sent again");
        most = most.max(again);
        eprintln!("drill: done in {:?}, {} bytes sent again", outcome.took, outcome.again);
    }
    eprintln!("drill: at most {most} bytes per kill were sent again");
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// One transfer.
struct Round {
    name: String,
    watcher: Watcher,
}

struct Outcome {
    took: Duration,
    /// Bytes that were sent more than once.
    again: u64,
}

impl Round {
    fn new(pair: &Pair, name: &str, chance: &mut Chance) -> Self {
        let source = pair.alice.file(name);
        trees::make(&source, chance);
        let watcher = Watcher::start(&pair.bob.received(), source.parent().unwrap());
        Self { name: name.to_owned(), watcher }
    }

    /// Sends the tree, kills the victims after `moment`, starts them again and waits for the end.
    fn run(self, pair: &mut Pair, victims: &[Victim], moment: Duration) -> Outcome {
        let source = pair.alice.file(&self.name);
        let start = Instant::now();
        let mut sent = Sent::watch(pair);
        let mut sending = pair.alice.send_with(&["--detach"], "bob", &[&source]);
        let id = sending.id();
        if !victims.is_empty() {
            // The moment is what is tried; nothing is waited for.
            std::thread::sleep(moment.saturating_sub(start.elapsed()));
            victims.iter().for_each(|victim| victim.kill(pair));
            self.watcher.check_all();
            sent.killed(pair, &id, victims);
            victims.iter().rev().for_each(|victim| victim.start(pair));
        }
        let done = ended(&pair.alice, &id);
        ended(&pair.bob, &id);
        let took = start.elapsed();
        self.verify(pair, &source);
        Outcome { took, again: sent.again(&done) }
    }

    /// All of the tree is there, as it is, and nothing else.
    fn verify(self, pair: &Pair, source: &Path) {
        self.watcher.finish();
        let received = pair.bob.received().join(&self.name);
        assert_eq!(Tree::read(&received), Tree::read(source));
        trees::check_hard_links(&received);
        assert_eq!(pair.bob.received_names(), [self.name.as_str()]);
        fs::remove_dir_all(received).unwrap();
        fs::remove_dir_all(source).unwrap();
    }
}

impl Victim {
    fn kill(self, pair: &mut Pair) {
        match self {
            Self::Sender => pair.alice.kill(),
            Self::Receiver => pair.bob.kill(),
            Self::Server => pair.server.kill(),
        }
    }

    fn start(self, pair: &mut Pair) {
        match self {
            Self::Sender => pair.alice.start(),
            Self::Receiver => pair.bob.start(),
            Self::Server => pair.server.restart(),
        }
    }
}

/// Waits until this user's side of the transfer is done; what is known of it then.
#[track_caller]
fn ended(user: &User, id: &str) -> Value {
    let mut watching = user.watch();
    let of_id = |transfers: Vec<Value>| {
        let mut found = transfers.into_iter().filter(|transfer| transfer["id"] == id);
        let transfer = found.next().expect("it was taken on");
        assert!(found.next().is_none(), "twice");
        transfer
    };
    match of_id(user.transfers()) {
        transfer if transfer["state"] == "done" => transfer,
        _ => watching.ended(id, "done"),
    }
}
