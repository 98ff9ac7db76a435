//! Without any server: contacts on one switch find each other, and strangers there get nothing.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use filefleet_server::protos::stun::{self, StunKey, StunMessage};
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{Machine, Network, PATIENCE, Pair, hash_of, lacks_namespaces};

/// Bob's port, so that a stranger knows it.
const PORT: u16 = 7_007;
/// Bob's address on the switch.
const BOB: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);
/// The stranger's, on the machine where the server was.
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 3);
const MDNS: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5_353);

#[test]
fn contacts_who_have_met_need_no_server_on_one_switch() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::one_switch();
    let mut pair = Pair::on(&network);
    pair.meet_and_lose_server();
    pair.alice.sees("bob", true);
    pair.bob.sees("alice", true);
    let done = pair.film_arrives(pair.send_film());
    assert_eq!(done["link"], "lan", "{done}");
    assert_eq!(done["links"].as_object().unwrap().len(), 1, "{done}");
    let status = pair.alice.ffctl(&["status", "--json"]).done().json();
    assert_eq!((&status["registered"], &status["lan_discovery"]), (&false.into(), &true.into()));

    // Bob goes away, and what is sent meanwhile is delivered when he is back.
    pair.bob.stop();
    pair.alice.sees("bob", false);
    let letter = pair.alice.file("letter");
    fs::write(&letter, "Dear Bob").unwrap();
    let id = pair.alice.send("bob", "letter").queued("server_unreachable");
    let mut watching = pair.alice.watch();
    pair.bob.start();
    watching.ended(&id, "done");
    assert_eq!(hash_of(&pair.bob.received("letter")), hash_of(&letter));

    // Who does not want to be found is not.
    pair.bob.ffctl(&["config", "set", "lan-discovery", "false"]).done();
    pair.alice.sees("bob", false);
    pair.bob.sees("alice", false);
    pair.bob.ffctl(&["config", "set", "lan-discovery", "true"]).done();
    pair.alice.sees("bob", true);
}

#[test]
fn a_cable_with_nothing_but_addresses_of_its_own_is_enough() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::one_switch();
    let mut pair = Pair::on(&network);
    pair.meet_and_lose_server();
    pair.alice.stop();
    pair.bob.stop();
    for machine in [&network.alice, &network.bob] {
        machine.run(&["ip", "-4", "address", "flush", "dev", "eth0"]);
    }
    pair.alice.start();
    pair.bob.start();
    pair.alice.sees("bob", true);
    let done = pair.film_arrives(pair.send_film());
    assert_eq!(done["link"], "lan", "{done}");
}

#[test]
fn two_who_call_each_other_at_the_same_time_both_get_through() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::one_switch();
    let mut pair = Pair::on(&network);
    pair.meet_and_lose_server();
    pair.alice.ffctl(&["contacts", "set", "bob", "--accept", "always"]).done();
    pair.alice.sees("bob", true);
    pair.bob.sees("alice", true);
    fs::write(pair.alice.file("from alice"), "to bob").unwrap();
    fs::write(pair.bob.file("from bob"), "to alice").unwrap();
    let sending = [pair.alice.send("bob", "from alice"), pair.bob.send("alice", "from bob")];
    for sending in sending {
        assert_eq!(sending.done()["link"], "lan");
    }
    assert_eq!(fs::read(pair.bob.received("from alice")).unwrap(), b"to bob");
    assert_eq!(fs::read(pair.alice.received("from bob")).unwrap(), b"to alice");
}

/// Contacts who see each other without a server; where Bob listens is known.
fn met_where_bobs_port_is_known(network: &Network) -> Pair<'_> {
    let mut pair = Pair::on(network);
    pair.bob.ffctl(&["config", "set", "port", &PORT.to_string()]).done();
    pair.meet_and_lose_server();
    pair.alice.sees("bob", true);
    pair
}

#[test]
fn a_stranger_who_announces_what_a_contact_announced_gets_nothing() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::one_switch();
    let mut pair = met_where_bobs_port_is_known(&network);

    let stranger = Stranger::on(&network.server);
    let announced = stranger.listen_to(BOB);
    for name in [&b"alice"[..], b"bob"] {
        let told = |packet: &Vec<u8>| packet.windows(name.len()).any(|run| run == name);
        assert!(!announced.iter().any(told), "a name is announced");
    }

    // Bob is gone; the stranger has his address, his port and what he announced.
    pair.bob.stop();
    pair.alice.sees("bob", false);
    network.bob.run(&["ip", "link", "set", "eth0", "down"]);
    network.server.address("eth0", &format!("{BOB}/24"));
    network.alice.run(&["ip", "neigh", "flush", "dev", "eth0"]);
    let bobs = network.server.enter(|| UdpSocket::bind((BOB, PORT)).unwrap());
    bobs.set_read_timeout(Some(PATIENCE)).unwrap();
    let as_bob = Stranger::with_address(&network.server, BOB);
    let (heard_in, heard) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| pose(&bobs, &heard_in));
        as_bob.announce(&announced);
        // Alice wants to know whether it is Bob, and is not convinced.
        let first = heard.recv_timeout(PATIENCE).expect("Alice has taken notice");
        assert!(stun::is_stun(&first));
        pair.alice.send_with(&["--no-queue"], "bob", "note").failed(1, "server_unreachable");
        pair.alice.sees("bob", false);
        as_bob.0.send_to(END, (BOB, PORT)).unwrap();
    });
    drop(heard_in);
    // Nobody has said anything to the stranger but what is asked of everybody who poses as Bob.
    let other: Vec<_> = heard.iter().filter(|packet| !stun::is_stun(packet)).collect();
    assert_eq!(other, [END], "the stranger got more than questions");
}

#[test]
fn a_stranger_draws_no_answer_from_the_main_port() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::one_switch();
    let pair = met_where_bobs_port_is_known(&network);

    let stranger = network.server.enter(|| UdpSocket::bind((STRANGER, 0)).unwrap());
    let mut id = [0; 12];
    fill(&mut id);
    let key = StunKey::new("a guess");
    let keyed = stun::keyed_request(id, "00000001:00000002", &key);
    // A packet that begins a QUIC connection (RFC 9000 section 17.2.2), and one of an unknown version.
    let initial = |version: [u8; 4]| {
        let mut packet = vec![0; 1_200];
        fill(&mut packet);
        packet[0] = 0xc3;
        packet[1..5].copy_from_slice(&version);
        packet[5] = 8;
        packet
    };
    let first = stun::request(id);
    for packet in [first, keyed, initial([0, 0, 0, 1]), initial([9, 9, 9, 9])] {
        stranger.send_to(&packet, (BOB, PORT)).unwrap();
    }
    // What Alice sends arrives after it, at the same port.
    let done = pair.film_arrives(pair.send_film());
    assert_eq!(done["link"], "lan", "{done}");
    stranger.set_nonblocking(true).unwrap();
    let answer = stranger.recv_from(&mut [0; 2_048]);
    assert_eq!(answer.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// Nobody answers the same question twice within a second (RFC 6762 section 6).
const ASK_AGAIN: Duration = Duration::from_millis(1_200);

/// Bytes that are the same every time and look like none of ours.
fn fill(bytes: &mut [u8]) {
    blake3::Hasher::new().update(b"stranger").finalize_xof().fill(bytes);
}

/// Ends whoever poses as Bob, at their own wish.
const END: &[u8] = b"end";

/// Answers every check as well as somebody can who has no key, and passes on what came.
fn pose(socket: &UdpSocket, heard: &Sender<Vec<u8>>) {
    let mut buffer = [0; 2_048];
    loop {
        let (length, source) = socket.recv_from(&mut buffer).unwrap();
        let packet = &buffer[..length];
        heard.send(packet.to_vec()).unwrap();
        if packet == END {
            return;
        }
        if let Ok(StunMessage::Request { id, .. }) = stun::decode(packet, None) {
            let keyed = stun::keyed_response(id, source, &StunKey::new("a guess"));
            socket.send_to(&stun::response(id, source), source).unwrap();
            socket.send_to(&keyed, source).unwrap();
        }
    }
}

/// Somebody on the switch who speaks multicast DNS and has no keys.
struct Stranger(UdpSocket);

impl Stranger {
    fn on(machine: &Machine) -> Self {
        machine.run(&["ip", "route", "add", "224.0.0.0/4", "dev", "eth0"]);
        Self::with_address(machine, STRANGER)
    }

    fn with_address(machine: &Machine, address: Ipv4Addr) -> Self {
        let socket = machine.enter(|| {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
            socket.set_reuse_address(true).unwrap();
            socket.set_multicast_if_v4(&address).unwrap();
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, MDNS.1)).into()).unwrap();
            socket.join_multicast_v4(&MDNS.0, &address).unwrap();
            socket.set_read_timeout(Some(ASK_AGAIN)).unwrap();
            socket
        });
        Self(socket.into())
    }

    /// Asks who is there, until this machine has said everything.
    fn listen_to(&self, address: Ipv4Addr) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut buffer = [0; 9_000];
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "nothing is announced");
            let Ok((length, source)) = self.0.recv_from(&mut buffer) else {
                self.0.send_to(&query("_filefleet._udp.local"), MDNS).unwrap();
                continue;
            };
            let packet = &buffer[..length];
            let answers = u16::from_be_bytes([packet[6], packet[7]]);
            if source.ip() == address && answers > 0 {
                packets.push(packet.to_vec());
                if has_text(packet) {
                    return packets;
                }
            }
        }
    }

    fn announce(&self, packets: &[Vec<u8>]) {
        for packet in packets {
            self.0.send_to(packet, MDNS).unwrap();
        }
    }
}

/// A question for the instances of a service (RFC 6763 section 4.1).
fn query(service: &str) -> Vec<u8> {
    let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in service.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend(label.bytes());
    }
    packet.extend([0, 0, 12, 0, 1]);
    packet
}

/// Whether the first part of an announcement is in a packet: a string of a TXT record, as long as
/// they get, or as an announcement to few contacts is.
fn has_text(packet: &[u8]) -> bool {
    packet.windows(3).any(|run| run == b"0=\x01")
}
