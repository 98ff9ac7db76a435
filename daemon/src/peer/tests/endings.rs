//! Who is refused, and how sessions end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use filefleet_server::{
    protos::{certificate::IdentityKey, rendezvous::RefuseReason},
    udp::{bind_udp, wrap},
};
use quinn::{Endpoint, EndpointConfig, TokioRuntime};

use super::{
    super::{Admission, CloseReason, ConnectError, LinkKind, PeerEvent},
    support::{TestServer, User, kinds, soon},
};
use crate::transport::tls::{Expected, SERVER_NAME, Tls};

fn nobody() -> IdentityKey {
    IdentityKey::from_bytes([9; 32])
}

#[tokio::test]
async fn another_identity_than_the_pinned_one_is_refused_and_both_are_told() {
    let server = TestServer::start();
    let mut alice = User::start("alice", 1, &server).await;
    let mut bob = User::start("bob", 2, &server).await;
    // Alice has pinned another bob.
    let bobs = "bob".parse().unwrap();
    match soon(alice.peers.session(&bobs, Some(nobody()))).await {
        Err(ConnectError::IdentityChanged { found }) => assert_eq!(found, bob.identity),
        other => panic!("{other:?}"),
    }
    // Bob has pinned another alice.
    bob.gate.0.lock().unwrap().insert("alice".into(), Admission::IdentityChanged);
    match soon(alice.peers.session(&bobs, Some(bob.identity))).await {
        Err(ConnectError::Refused(RefuseReason::IdentityChanged)) => {}
        other => panic!("{other:?}"),
    }
    let PeerEvent::IdentityRefused { identity, .. } = alice.event().await else { panic!() };
    assert_eq!(identity, bob.identity);
    let PeerEvent::RefusedAsOther { name } = alice.event().await else { panic!() };
    assert_eq!(name.as_str(), "bob");
    // Bob hears of both calls, in any order.
    let events = [bob.event().await, bob.event().await];
    let of_alice = |event: &PeerEvent| match event {
        PeerEvent::RefusedAsOther { name } => name.as_str() == "alice",
        PeerEvent::IdentityRefused { name, identity } => {
            name.as_str() == "alice" && *identity == alice.identity
        }
        PeerEvent::Session { .. } => false,
    };
    assert!(events.iter().all(of_alice), "{events:?}");
}

#[tokio::test]
async fn who_is_blocked_or_unknown_or_offline_gets_no_session() {
    let server = TestServer::start();
    let alice = User::start("alice", 1, &server).await;
    let bob = User::start("bob", 2, &server).await;
    bob.gate.0.lock().unwrap().insert("alice".into(), Admission::Blocked);
    let blocked = soon(alice.peers.session(&"bob".parse().unwrap(), None)).await;
    assert!(matches!(blocked, Err(ConnectError::Refused(RefuseReason::Blocked))), "{blocked:?}");
    let unknown = soon(alice.peers.session(&"carol".parse().unwrap(), None)).await;
    assert!(matches!(unknown, Err(ConnectError::Server(_))), "{unknown:?}");
    alice.peers.set_rendezvous(None);
    let alone = soon(alice.peers.session(&"bob".parse().unwrap(), None)).await;
    assert!(matches!(alone, Err(ConnectError::NotRegistered)), "{alone:?}");
}

#[tokio::test]
async fn crossing_calls_give_one_session_and_one_relayed_link() {
    let server = TestServer::start();
    let mut alice = User::start("alice", 1, &server).await;
    let mut bob = User::start("bob", 2, &server).await;
    let (to_bob, to_alice) = tokio::join!(alice.call("bob"), bob.call("alice"));
    let (at_alice, mut at_bob) = (alice.got().await, bob.got().await);
    let guards = (to_bob.hold(), to_alice.hold());
    to_bob.send(Bytes::from_static(b"one")).await.unwrap();
    assert_eq!(at_bob.hear().await, "one");
    let relayed =
        |links: &[_]| kinds(links).iter().filter(|k| **k == LinkKind::Relayed).count() == 1;
    at_alice.links(relayed).await;
    at_bob.links(relayed).await;
    assert_eq!((to_bob.close_reason(), to_alice.close_reason()), (None, None));
    assert!(alice.events.try_recv().is_err() && bob.events.try_recv().is_err());
    drop(guards);
}

#[tokio::test]
async fn many_who_want_the_same_session_get_it_by_one_call() {
    let server = TestServer::start();
    let mut alice = User::start("alice", 1, &server).await;
    let _bob = User::start("bob", 2, &server).await;
    tokio::join!(alice.call("bob"), alice.call("bob"), alice.call("bob"));
    alice.call("bob").await;
    alice.got().await;
    assert!(alice.events.try_recv().is_err());
}

#[tokio::test]
async fn a_goodbye_is_heard() {
    let server = TestServer::start();
    let alice = User::start("alice", 1, &server).await;
    let mut bob = User::start("bob", 2, &server).await;
    let session = alice.call("bob").await;
    let at_bob = bob.got().await;
    soon(alice.peers.shutdown()).await;
    assert_eq!(soon(at_bob.session.closed()).await, CloseReason::GoingAway);
    assert_eq!(soon(session.closed()).await, CloseReason::ShuttingDown);
    assert!(session.send(Bytes::new()).await.is_err());
    assert!(soon(alice.peers.session(&"bob".parse().unwrap(), None)).await.is_err());
}

#[tokio::test]
async fn reasons_for_closing_are_told() {
    let server = TestServer::start();
    let alice = User::start("alice", 1, &server).await;
    let mut bob = User::start("bob", 2, &server).await;
    for (ours, theirs) in [
        (CloseReason::Blocked, CloseReason::Blocked),
        (CloseReason::IdentityChanged, CloseReason::IdentityChanged),
        (CloseReason::Idle, CloseReason::Idle),
        (CloseReason::LocallyClosed, CloseReason::GoingAway),
    ] {
        let session = alice.call("bob").await;
        let at_bob = bob.got().await;
        session.close(ours);
        assert_eq!(soon(session.closed()).await, ours);
        assert_eq!(soon(at_bob.session.closed()).await, theirs);
    }
}

#[tokio::test]
async fn a_restarted_peer_replaces_its_old_session() {
    let server = TestServer::start();
    let mut alice = User::start("alice", 1, &server).await;
    let bob = User::start("bob", 2, &server).await;
    let old = alice.call("bob").await;
    let _at_alice = alice.got().await;
    // Bob's process dies without a word.
    drop(bob);
    let bob = User::start("bob", 2, &server).await;
    let session = bob.call("alice").await;
    session.send(Bytes::from_static(b"back")).await.unwrap();
    let mut at_alice = alice.got().await;
    assert_eq!(at_alice.hear().await, "back");
    assert!(matches!(
        soon(old.closed()).await,
        CloseReason::Replaced | CloseReason::GoingAway | CloseReason::TimedOut
    ));
}

#[tokio::test]
async fn who_has_passed_no_check_is_not_heard_on_the_main_socket() {
    let server = TestServer::start();
    let alice = User::start("alice", 1, &server).await;
    let _bob = User::start("bob", 2, &server).await;
    alice.call("bob").await;
    // With everything but a check: bob's own key, of which alice has a live session.
    let bob = SigningKey::from_bytes(&[2; 32]);
    let tls = Tls::new(&bob).unwrap().client(Expected::Exactly(alice.device)).unwrap();
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_millis(500).try_into().unwrap()));
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    let socket = wrap(bind_udp("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
    let (own, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
    let endpoint = Endpoint::new_with_abstract_socket(own, None, socket, runtime).unwrap();
    let port = alice.peers.endpoint().local_addr().unwrap().port();
    let to = ([127, 0, 0, 1], port).into();
    let refused = soon(endpoint.connect_with(config, to, SERVER_NAME).unwrap()).await;
    assert!(matches!(refused, Err(quinn::ConnectionError::TimedOut)), "{refused:?}");
}

#[tokio::test]
async fn nobody_calls_themselves() {
    let server = TestServer::start();
    let alice = User::start("alice", 1, &server).await;
    let this = soon(alice.peers.session(&"alice".parse().unwrap(), None)).await;
    assert!(matches!(this, Err(ConnectError::Yourself | ConnectError::Server(_))), "{this:?}");
}

#[tokio::test]
async fn garbage_on_every_port_changes_nothing() {
    let server = TestServer::start();
    let mut alice = User::start("alice", 1, &server).await;
    let mut bob = User::start("bob", 2, &server).await;
    let session = alice.call("bob").await;
    let (at_alice, mut at_bob) = (alice.got().await, bob.got().await);
    at_bob.session.allow_direct();
    at_alice.links(|links| links.len() >= 2).await;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let main = alice.peers.endpoint().local_addr().unwrap().port();
    for first in 0..=255_u8 {
        for length in [1, 19, 20, 64, 96, 1200] {
            let mut garbage = vec![first; length];
            if length >= 20 && first < 4 {
                garbage[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            }
            socket.send_to(&garbage, ("127.0.0.1", main)).unwrap();
        }
    }
    for _ in 0..50 {
        session.send(Bytes::from_static(b"still")).await.unwrap();
        assert_eq!(at_bob.hear().await, "still");
    }
    assert_eq!(session.close_reason(), None);
}
