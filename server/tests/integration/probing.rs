//! How a client finds out what its NAT lets in.

use std::time::{Duration, SystemTime};

use filefleet_server::{
    protos::{
        rendezvous::{ClientFrame, CloseCode, Transaction, encode},
        stun::{self, StunMessage},
    },
    udp::Datagram,
};
use tokio::time::timeout;

use crate::support::{Bare, Peer, SOON, local, start};

const ID: [u8; 12] = [7; 12];
/// Both clocks are this machine's.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_client_gets_a_response_from_a_port_that_it_never_sent_anything_to() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (peer, mut others) = Peer::without_beacons(server.address(), "alice", 1);
    let state = peer.reaches(|state| state.registered).await;
    let probed = peer.client.probe(ID).await.unwrap();
    assert!(probed.sent);
    assert_eq!(Some(probed.observed), state.observed);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    assert!(now.abs_diff(probed.clock) < AT_ONCE, "{now:?} {probed:?}");

    let response = timeout(SOON, others.recv()).await.unwrap().unwrap();
    let message = stun::decode(&response.payload, None).unwrap();
    let expected = StunMessage::Response { id: ID, mapped: probed.observed, authenticated: false };
    assert_eq!((response.kind, message), (Datagram::Stun, expected));
    assert_eq!(response.source.ip(), server.relay().ip());
    assert!(response.source != local(server.address().port) && response.source != server.relay());
}

#[tokio::test]
async fn whoever_is_not_registered_is_sent_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mut bare = Bare::connect(local(server.address().port)).await;
    let probe = ClientFrame::Probe { id: 1, transaction: Transaction(ID) };
    bare.send.write_all(&encode(&probe)).await.unwrap();
    assert_eq!(bare.close_code().await, CloseCode::ProtocolViolation.into());
}

#[tokio::test]
async fn the_round_trip_is_known_while_there_is_a_registration() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let peer = Peer::registered(server.address(), "alice", 1).await;
    assert!(peer.client.round_trip().await.unwrap() < SOON);
    server.shutdown().await;
    peer.reaches(|state| !state.registered).await;
    assert_eq!(peer.client.round_trip().await, None);
}
