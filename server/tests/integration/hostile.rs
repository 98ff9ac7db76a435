//! Strangers that do not keep to the protocol.

use std::net::SocketAddr;

use filefleet_server::{
    protos::{
        relay::{BindFrame, NO_COOKIE, SessionKey, Side},
        rendezvous::{ClientFrame, CloseCode, ErrorCode, Proof, ServerFrame, encode},
        stun,
    },
    server::Server,
};
use tokio::{net::UdpSocket, time::timeout};

use crate::support::{
    Bare, LONG_ENOUGH, Peer, Person, SOON, bare_endpoint, local, name, person, start,
    trusting_config,
};

fn register(text: &str, person: &Person, proof: Proof) -> Vec<u8> {
    let certificate = Box::new(person.certificate.clone());
    encode(&ClientFrame::Register { name: name(text), certificate, proof })
}

fn main_port(server: &Server) -> SocketAddr {
    local(server.address().port)
}

#[tokio::test]
async fn a_certificate_without_its_device_key_registers_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (alice, mallory) = (person(1), person(2));
    let other_connection = Bare::connect(main_port(&server)).await;
    let mut bare = Bare::connect(main_port(&server)).await;
    for (key, exported) in
        [(&mallory.device_key, bare.exported()), (&alice.device_key, other_connection.exported())]
    {
        let proof = Proof::sign(key, &exported);
        bare.send.write_all(&register("alice", &alice, proof)).await.unwrap();
        let Some(ServerFrame::Error { id: None, code, .. }) = bare.next().await else { panic!() };
        assert_eq!(code, ErrorCode::NotProven);
        bare = Bare::connect(main_port(&server)).await;
    }
    // The name is still free.
    Peer::registered(server.address(), "alice", 3).await;
}

#[tokio::test]
async fn a_taken_name_is_told_by_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let _alice = Peer::registered(server.address(), "alice", 1).await;
    let mallory = person(2);
    let mut bare = Bare::connect(main_port(&server)).await;
    let proof = Proof::sign(&mallory.device_key, &bare.exported());
    bare.send.write_all(&register("alice", &mallory, proof)).await.unwrap();
    let Some(frame @ ServerFrame::Error { .. }) = bare.next().await else { panic!() };
    let json = String::from_utf8(encode(&frame)).unwrap();
    assert!(json.contains(r#""code":"name_taken""#), "{json}");
}

#[tokio::test]
async fn frames_that_are_too_long_or_malformed_end_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mut json = 9_u32.to_be_bytes().to_vec();
    json.extend(b"{\"type\":}");
    for bytes in [vec![0xff; 4], vec![0, 1, 0, 1], json, encode(&ClientFrame::Ping)] {
        let mut bare = Bare::connect(main_port(&server)).await;
        bare.send.write_all(&bytes).await.unwrap();
        assert_eq!(bare.close_code().await, CloseCode::ProtocolViolation.into(), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_registered_client_that_breaks_the_protocol_is_closed_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let alice = person(1);
    let mut bare = Bare::connect(main_port(&server)).await;
    let proof = Proof::sign(&alice.device_key, &bare.exported());
    bare.send.write_all(&register("alice", &alice, proof)).await.unwrap();
    assert!(matches!(bare.next().await, Some(ServerFrame::Registered { .. })));
    let unknown = br#"{"type":"weather"}"#;
    let length = u32::try_from(unknown.len()).unwrap().to_be_bytes();
    bare.send
        .write_all(&[&length[..], unknown, &encode(&ClientFrame::Ping)].concat())
        .await
        .unwrap();
    assert_eq!(bare.next().await, Some(ServerFrame::Pong));
    bare.send.write_all(&[0xff; 4]).await.unwrap();
    assert_eq!(bare.close_code().await, CloseCode::ProtocolViolation.into());
}

#[tokio::test]
async fn garbage_to_both_ports_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let socket = UdpSocket::bind(local(0)).await.unwrap();
    let mut state = 1_u32;
    let mut random = move || {
        // xorshift: the same garbage in every run
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    for round in 0..500_u32 {
        let length = random() % 1400;
        let mut datagram: Vec<u8> = (0..length).map(|_| random().to_be_bytes()[0]).collect();
        if let Some(first) = datagram.first_mut() {
            // Every protocol's first bytes come up.
            *first = u8::try_from(round % 256).unwrap();
        }
        for port in [main_port(&server), server.relay()] {
            socket.send_to(&datagram, port).await.unwrap();
        }
    }
    let alice = Peer::registered(server.address(), "alice", 1).await;
    let _bob = Peer::registered(server.address(), "bob", 2).await;
    alice.client.call(&name("bob")).await.unwrap();
}

/// The first datagram of a handshake, as a stranger would replay it from a spoofed address.
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

#[tokio::test]
async fn no_stranger_gets_more_bytes_than_it_sent() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let session = [7; 16];
    let initial = initial_packet().await;
    assert!(initial.len() >= 1200);
    let mut unknown_version = initial.clone();
    unknown_version[1..5].copy_from_slice(&[0x1a; 4]);
    let bind = |cookie| SessionKey::from_bytes([1; 32]).bind(session, Side::Caller, 1, cookie);
    let (main, relay) = (main_port(&server), server.relay());
    let bare_request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[1; 12]].concat();
    let hello = BindFrame::Hello { session, side: Side::Caller };
    let packets = [
        ("initial", initial, vec![main]),
        ("unknown version", unknown_version, vec![main]),
        ("short header", vec![0x40; 1200], vec![]),
        ("STUN request", stun::request([1; 12]), vec![main, relay]),
        ("bare STUN request", bare_request, vec![]),
        ("STUN indication", stun::indication([1; 12]), vec![]),
        ("hello", hello.encode(), vec![relay]),
        ("first bind", bind(NO_COOKIE).encode(), vec![relay]),
        ("bind with a cookie of another", bind([1; 24]).encode(), vec![]),
        ("garbage", vec![0x0f; 1000], vec![]),
    ];
    for (kind, packet, answered_by) in packets {
        for port in [main, relay] {
            let socket = UdpSocket::bind(local(0)).await.unwrap();
            socket.send_to(&packet, port).await.unwrap();
            let mut received = 0;
            let mut buffer = [0; 2000];
            while let Ok(answer) = timeout(LONG_ENOUGH, socket.recv_from(&mut buffer)).await {
                received += answer.unwrap().0;
            }
            assert!(received <= packet.len(), "{kind}: {received} for {}", packet.len());
            assert_eq!(received > 0, answered_by.contains(&port), "{kind} to {port}");
        }
    }
}
