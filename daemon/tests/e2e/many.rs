//! Many transfers at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::support::{Pair, Sending, Tree, User, write_random};

const TRANSFERS: usize = 20;
/// More, all together, than may lie in memory.
const LARGE: u64 = 16 << 20;
/// The most that either daemon may have occupied, in KiB.
const PEAK: u64 = 150 << 10;

#[test]
fn twenty_transfers_at_once_end_right_in_little_memory() {
    let pair = Pair::trusting();
    let sources: Vec<_> = (0..TRANSFERS).map(|number| source(&pair.alice, number)).collect();
    let mut watching = pair.bob.watch();
    let send = |source: &PathBuf| pair.alice.send("bob", &[source]);
    let sending: Vec<_> = sources.iter().map(send).collect();
    let mut active = BTreeSet::new();
    watching.until("transfer", |transfer| {
        match transfer["state"] == "active" {
            true => active.insert(transfer["id"].to_string()),
            false => active.remove(&transfer["id"].to_string()),
        };
        active.len() > TRANSFERS / 2
    });
    sending.into_iter().for_each(|sending: Sending| drop(sending.done()));
    for source in &sources {
        let received = pair.bob.received().join(source.file_name().unwrap());
        assert_eq!(Tree::read(&received), Tree::read(source));
    }
    assert_eq!(pair.bob.received_names().len(), TRANSFERS);
    for user in [&pair.alice, &pair.bob] {
        let peak = peak(user);
        assert!(peak < PEAK, "{peak} KiB");
    }
}

fn source(alice: &User, number: usize) -> PathBuf {
    let source = alice.file(&format!("tree {number}"));
    Tree::make(&source, 20);
    write_random(&source.join("larger"), LARGE);
    source
}

/// The most memory that a daemon has occupied so far, in KiB.
fn peak(user: &User) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", user.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap()
}
