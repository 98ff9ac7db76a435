//! What the program answers strangers: anybody can write another's address into a packet, and whoever
//! has that address gets the answer. So it is never longer than what was sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use filefleet_server::protos::{
    relay::{BindFrame, NO_COOKIE, SessionId, SessionKey, Side},
    stun,
};
use tokio::{net::UdpSocket, task::JoinSet, time::timeout};

use crate::{
    process::{Process, command},
    support::{LONG_ENOUGH, Peer, SOON, bare_endpoint, local, name, relay_of, trusting_config},
};

/// Which ports answer a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    Main,
    Relay,
    Both,
    Neither,
    /// Depends on where it comes from.
    Some,
}

/// A packet that says nothing of who has sent it.
#[derive(Debug, Clone)]
struct Packet {
    kind: String,
    bytes: Vec<u8>,
    answers: Answers,
}

fn packet(kind: impl Into<String>, bytes: Vec<u8>, answers: Answers) -> Packet {
    Packet { kind: kind.into(), bytes, answers }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stderr, reason = "these are the figures")]
async fn the_program_answers_no_stranger_with_more_bytes_than_it_got() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::run(command().args(["--listen", "[::]:0", "--data-dir"]).arg(dir.path()));
    let alice = Peer::registered(&server.address, "alice", 1).await;
    let _bob = Peer::registered(&server.address, "bob", 2).await;
    let call = alice.client.call(&name("bob")).await.unwrap();
    let (main, relay) = (server.address.port, relay_of(&call).port());
    let mut strangers = Vec::new();
    for (port, is_main) in [(main, true), (relay, false)] {
        for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            for packet in packets(call.session).await {
                strangers.push((packet, SocketAddr::new(ip, port), is_main));
            }
        }
    }
    // All at once: what is not answered is waited for but once.
    let mut waiting = JoinSet::new();
    for (packet, server, is_main) in strangers {
        waiting.spawn(async move {
            let received = answered(&packet.bytes, server).await;
            (packet, is_main, received)
        });
    }
    while let Some(result) = waiting.join_next().await {
        let (Packet { kind, bytes, answers }, is_main, received) = result.unwrap();
        if received > 0 {
            eprintln!("{kind}: {} bytes, answered with {received}", bytes.len());
        }
        assert!(received <= bytes.len(), "{kind}: {received} for {}", bytes.len());
        let expected = match answers {
            Answers::Main => is_main,
            Answers::Relay => !is_main,
            Answers::Both => true,
            Answers::Neither => false,
            Answers::Some => continue,
        };
        assert_eq!(received > 0, expected, "{kind}, main port: {is_main}");
    }
}

/// How many bytes come back for a packet.
async fn answered(packet: &[u8], server: SocketAddr) -> usize {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let socket = UdpSocket::bind((any, 0)).await.unwrap();
    socket.send_to(packet, server).await.unwrap();
    let (mut received, mut buffer) = (0, [0; 2000]);
    while let Ok(answer) = timeout(LONG_ENOUGH, socket.recv_from(&mut buffer)).await {
        received += answer.unwrap().0;
    }
    received
}

/// Packets of every kind; `session` is one that there is.
async fn packets(session: SessionId) -> Vec<Packet> {
    let mut packets = [quic().await, stun_messages(), binds(session)].concat();
    packets.push(packet("garbage", vec![0x0f; 1000], Answers::Neither));
    packets
}

/// The first datagram of a handshake, as a stranger would send it from another's address.
async fn initial_packet() -> Vec<u8> {
    let trap = UdpSocket::bind(local(0)).await.unwrap();
    let endpoint = bare_endpoint();
    let address = trap.local_addr().unwrap();
    let _connecting = endpoint.connect_with(trusting_config(), address, "server").unwrap();
    let mut buffer = vec![0; 2000];
    let (length, _) = timeout(SOON, trap.recv_from(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(length);
    buffer
}

/// An Initial of a connection of its own, with these bytes in place of others.
async fn initial_with(position: usize, bytes: &[u8]) -> Vec<u8> {
    let mut initial = initial_packet().await;
    assert!(initial.len() >= 1200);
    initial[position..][..bytes.len()].copy_from_slice(bytes);
    initial
}

async fn quic() -> Vec<Packet> {
    let initial = initial_packet().await;
    let version = initial_with(1, &[0x1a; 4]).await;
    let token = with_token(&initial_packet().await, &[7; 64]);
    let mut packets = vec![
        packet("initial cut short", initial[..1199].to_vec(), Answers::Neither),
        packet("initial", initial, Answers::Main),
        packet("initial with a token of nobody's", token, Answers::Main),
        packet("initial not encrypted right", initial_with(1100, &[0; 50]).await, Answers::Some),
        packet("0-RTT", initial_with(0, &[0xd0]).await, Answers::Neither),
        packet("handshake", initial_with(0, &[0xe0]).await, Answers::Neither),
        packet("retry", initial_with(0, &[0xf0]).await, Answers::Neither),
        packet("version negotiation", initial_with(1, &[0; 4]).await, Answers::Neither),
        packet("unknown version", version.clone(), Answers::Main),
    ];
    for length in [7, 20, 50, 100, 600, 1199] {
        let (kind, bytes) = (format!("unknown version in {length} bytes"), &version[..length]);
        packets.push(packet(kind, bytes.to_vec(), Answers::Neither));
    }
    for length in [1, 9, 21, 22, 25, 40, 100, 1200, 1452] {
        let kind = format!("short header in {length} bytes");
        packets.push(packet(kind, vec![0x40; length], Answers::Neither));
    }
    packets
}

/// Puts a token into an Initial without one (RFC 9000 section 17.2.2).
fn with_token(initial: &[u8], token: &[u8]) -> Vec<u8> {
    let after = |at: usize| at + 1 + usize::from(initial[at]);
    let token_len = after(after(5));
    assert_eq!(initial[token_len], 0, "it has a token already");
    let len = u16::try_from(token.len()).unwrap() | 0x4000;
    [&initial[..token_len], &len.to_be_bytes(), token, &initial[token_len + 1..]].concat()
}

fn stun_messages() -> Vec<Packet> {
    let id = [1; 12];
    let header = |message_type: u16, length: u16| {
        let [a, b] = message_type.to_be_bytes();
        let [c, d] = length.to_be_bytes();
        [&[a, b, c, d, 0x21, 0x12, 0xa4, 0x42][..], &id].concat()
    };
    let address = "192.0.2.1:9".parse().unwrap();
    let key = stun::StunKey::new("of nobody");
    let keyed = stun::keyed_request(id, "00000001:00000002", &key);
    vec![
        packet("STUN request", stun::request(id), Answers::Both),
        packet("bare STUN request", header(1, 0), Answers::Neither),
        packet("STUN request cut short", stun::request(id)[..24].to_vec(), Answers::Neither),
        packet("STUN check", keyed, Answers::Both),
        packet("STUN indication", stun::indication(id), Answers::Neither),
        packet("STUN response", stun::response(id, address), Answers::Neither),
        packet("TURN allocation", header(3, 0), Answers::Neither),
    ]
}

/// Of a session that there is and of one that there is not.
fn binds(session: SessionId) -> Vec<Packet> {
    let mut packets = Vec::new();
    for (which, session, first) in
        [("live", session, Answers::Some), ("unknown", [7; 16], Answers::Relay)]
    {
        let bind = |cookie| SessionKey::from_bytes([1; 32]).bind(session, Side::Caller, 1, cookie);
        let hello = BindFrame::Hello { session, side: Side::Caller }.encode();
        packets.extend([
            packet(format!("{which} hello"), hello.clone(), Answers::Relay),
            packet(format!("{which} hello cut short"), hello[..40].to_vec(), Answers::Neither),
            packet(format!("{which} first bind"), bind(NO_COOKIE).encode(), first),
            packet(format!("{which} forged bind"), bind([1; 24]).encode(), Answers::Neither),
        ]);
    }
    packets
}
