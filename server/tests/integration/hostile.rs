//! Strangers that do not keep to the protocol.

use std::net::SocketAddr;

use filefleet_server::{
    protos::rendezvous::{ClientFrame, CloseCode, ErrorCode, Proof, ServerFrame, encode},
    server::Server,
};
use tokio::net::UdpSocket;

use crate::support::{Bare, Peer, Person, local, name, person, start};

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
