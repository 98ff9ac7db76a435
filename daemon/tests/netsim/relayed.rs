//! Where only the server can be reached, and what it gets to see.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::support::{Capture, Network, Pair, Runs, hash_of, lacks_namespaces};

const LEN: usize = 4 << 20;
const NAME: &str = "the plan for the surprise party.txt";
/// Packets with this in them are known to come after all that went before. They come more than once,
/// since the server answers with an ICMP error that repeats them.
const TRANSFER_ENDED: &[u8] = b"the transfer has ended";
const ALL_TOLD: &[u8] = b"everything has been told";

#[test]
fn where_only_the_server_is_reached_it_relays_what_it_cannot_read() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    network.separate();
    let pair = Pair::on(&network);
    let source = pair.alice.file(NAME);
    let (content, name) = (Runs::of(&write_plan(&source)), Runs::of(NAME.as_bytes()));

    let mut capture = Capture::on(&network.server);
    let done = pair.alice.send("bob", NAME).done();
    network.tell_server(TRANSFER_ENDED);
    let relayed = capture.until(TRANSFER_ENDED);

    assert_eq!(done["link"], "relayed", "{done}");
    assert_eq!(done["links"], serde_json::json!({ "relayed": LEN }), "{done}");
    assert_eq!(hash_of(&pair.bob.received(NAME)), hash_of(&source));
    assert!(network.dropped() > 0, "they did not even try to reach each other");

    assert!(relayed.len() >= LEN, "only {} bytes were captured", relayed.len());
    assert!(!content.are_in(&relayed), "content was relayed in the clear");
    assert!(!name.are_in(&relayed), "the file's name was relayed in the clear");

    // The same search finds what does pass in the clear.
    network.tell_server(&read_middle(&source));
    network.tell_server(NAME.as_bytes());
    network.tell_server(ALL_TOLD);
    let told = capture.until(ALL_TOLD);
    assert!(content.are_in(&told) && name.are_in(&told));
    assert_eq!(capture.missed(), 0, "the capture has holes");
}

/// Writes a file that repeats itself; what it has in it.
fn write_plan(file_path: &Path) -> Vec<u8> {
    let mut part = vec![0; 64 << 10];
    blake3::Hasher::new().update(b"plan").finalize_xof().fill(&mut part);
    let mut file = File::create_new(file_path).unwrap();
    for _ in 0..LEN / part.len() {
        file.write_all(&part).unwrap();
    }
    [&part[..], &part[..]].concat()
}

/// A hundred bytes from the middle of a file.
fn read_middle(file_path: &Path) -> Vec<u8> {
    let content = std::fs::read(file_path).unwrap();
    content[content.len() / 2 - 50..][..100].to_vec()
}
