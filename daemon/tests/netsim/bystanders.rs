//! Whom peers and strangers can make a daemon talk to, and what they learn of it.

use std::net::UdpSocket;

use crate::support::{Capture, Machine, Network, Pair, hash_of, lacks_namespaces};

/// Somebody else's address.
const BYSTANDER: &str = "10.7.9.2";
/// Packets that who has nothing to do with a transfer may have to bear.
const BEARABLE: u64 = 10;
/// How often Bob says again where he wants to be looked for.
const OFFERS: u8 = 12;

#[test]
#[allow(clippy::print_stderr, reason = "these are the figures")]
fn who_is_named_by_a_peer_and_does_not_answer_gets_ten_packets_at_most() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    let bystander = network.add_bystander(BYSTANDER);
    bystander.filter(
        "table inet bystander {
            counter heard {}
            chain input {
                type filter hook input priority filter
                meta nfproto ipv4 counter name heard
            }
        }",
    );
    // Bob's daemon names every address of his machine, and so this one.
    let bob = &network.bob;
    bob.run(&["ip", "link", "add", "name", "lies", "type", "bridge"]);
    bob.run(&["ip", "link", "set", "lies", "up"]);
    bob.address("lies", &format!("{BYSTANDER}/32"));
    let mut pair = Pair::on(&network);
    let mut sending = pair.send_film();
    sending.halfway();
    // With every change of his network he wants everybody to be asked anew.
    for number in 1..=OFFERS {
        bob.address("lies", &format!("10.7.10.{number}/32"));
        pair.bob.says("the network has changed");
    }
    pair.film_arrives(sending);
    let heard = heard(&bystander);
    eprintln!("named by a peer {OFFERS} times: {heard} packets");
    assert!((1..=BEARABLE).contains(&heard), "{heard} packets");
}

/// How many packets have come.
#[track_caller]
fn heard(bystander: &Machine) -> u64 {
    let said = bystander.run(&["nft", "list", "counter", "inet", "bystander", "heard"]);
    let mut words = said.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).unwrap_or_else(|| panic!("{said}")).parse().unwrap()
}

const NOTE: &str = "note.txt";
/// Alice's and Bob's addresses, as they are in the header of every packet.
const ALICE: [u8; 4] = [10, 7, 1, 2];
const BOB: [u8; 4] = [10, 7, 2, 2];

#[test]
fn a_stranger_sees_no_address_and_draws_no_packet_before_he_is_accepted() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    let pair = Pair::on(&network);
    let file_path = pair.bob.file(NOTE);
    std::fs::write(&file_path, vec![7; 1 << 20]).unwrap();
    let mut at_alice = Capture::on(&network.alice);
    let mut at_bob = Capture::on(&network.bob);

    // Alice has never heard of Bob.
    let mut sending = pair.bob.send("alice", NOTE);
    let id = sending.id();
    sending.waiting();
    let (alices, bobs) = (
        at_alice.until(mark(&network.alice, &network, b"before Alice has said yes")),
        at_bob.until(mark(&network.bob, &network, b"before Bob has heard yes")),
    );
    assert!(has(&alices, ALICE) && has(&bobs, BOB), "their own packets are seen");
    assert!(!has(&bobs, ALICE), "Bob has seen a packet of Alice's");
    assert!(!has(&alices, BOB), "Alice has sent or got a packet of Bob's");

    pair.alice.ffctl(&["accept", &id]).done();
    sending.done();
    assert_eq!(hash_of(&pair.alice.received(NOTE)), hash_of(&file_path));
    let bobs = at_bob.until(mark(&network.bob, &network, b"after Bob has heard yes"));
    assert!(has(&bobs, ALICE), "accepted, they look for each other");
    for capture in [at_alice, at_bob] {
        assert_eq!(capture.missed(), 0, "the capture has holes");
    }
}

/// Sends a packet with this in it, so that all that went before has been captured when it has.
fn mark<'a>(machine: &Machine, network: &Network, words: &'a [u8]) -> &'a [u8] {
    let server = (network.server_ip, 9);
    machine.enter(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(words, server)).unwrap();
    words
}

fn has(packets: &[u8], address: [u8; 4]) -> bool {
    packets.array_windows().any(|window| *window == address)
}
