//! A large file that was half sent when both daemons were killed: the other half is sent, and what has
//! changed of the first, on either side, meanwhile.
//!
//! `FILEFLEET_RESUME_MIB` chooses how large the file is.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::support::{Pair, hash_of, names_in, write_random};

/// Without the variable: what CI has time for.
const MIB: u64 = 256;
/// The other half, and what was under way.
const MOST_PERCENT: u64 = 51;
/// Two blocks more are sent again than were lost; of a small file that is one in a hundred.
const KILL_AT_PERCENT: u64 = 53;

/// What has arrived of the one file that is under way.
fn partial(received: &Path) -> PathBuf {
    let hidden = names_in(received).into_iter().find(|name| name.starts_with(".filefleet"));
    let hidden = received.join(hidden.unwrap());
    let [part] = &names_in(&hidden)[..] else { panic!("one partial file") };
    hidden.join(part)
}

/// Makes 7 bytes other than they were.
fn alter(file_path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(file_path).unwrap();
    let mut bytes = [0; 7];
    file.read_exact_at(&mut bytes, at).unwrap();
    bytes.iter_mut().for_each(|byte| *byte ^= 0xff);
    file.write_all_at(&bytes, at).unwrap();
}

#[test]
fn of_a_file_that_was_half_sent_only_the_rest_and_what_differs_is_sent() {
    let mib = std::env::var("FILEFLEET_RESUME_MIB").map_or(MIB, |mib| mib.parse().unwrap());
    let len = mib << 20;
    let mut pair = Pair::trusting();
    let source = pair.alice.file("large");
    write_random(&source, len);
    let mut sending = pair.alice.send("bob", &[&source]);
    let half = |done: Option<u64>| done.is_some_and(|done| done >= len / 100 * KILL_AT_PERCENT);
    let event = sending.progress(|event| half(event["bytes_done"].as_u64()));
    assert!(event["bytes_done"].as_u64() < Some(len), "{event}");
    pair.alice.kill();
    pair.bob.kill();
    drop(sending);

    alter(&source, (10 << 20) + 3);
    alter(&partial(&pair.bob.received()), (20 << 20) + 3);
    pair.alice.start();
    let before = pair.alice.transfers()[0]["sent_bytes"].as_u64().unwrap();
    let mut watching = pair.alice.watch();
    pair.bob.start();
    let done = watching.until("transfer", |transfer| transfer["state"] == "done");
    let sent = done["sent_bytes"].as_u64().unwrap() - before;
    #[expect(clippy::print_stderr, reason = "the figure for the note")]
    {
        eprintln!(
            "{sent} of {len} bytes were sent again, {:.2} %",
            sent as f64 * 100.0 / len as f64
        );
    }
    assert!(sent <= len / 100 * MOST_PERCENT, "{sent} of {len}");
    assert_eq!(hash_of(&pair.bob.received().join("large")), hash_of(&source));
    assert_eq!(pair.bob.received_names(), ["large"]);
    let [at_source, arrived] = [source, pair.bob.received().join("large")]
        .map(|file_path| fs::metadata(file_path).unwrap().modified().unwrap());
    assert_eq!(arrived, at_source);
}
