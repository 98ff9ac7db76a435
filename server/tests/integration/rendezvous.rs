//! Registering, finding, calling and refusing.

use filefleet_server::{
    client::{Error, Event, RefuseReason},
    config::Limits,
    protos::{address::ServerAddress, relay::Side},
    server::Server,
};

use crate::support::{Peer, name, relay_of, settings, start};

#[tokio::test]
async fn people_find_and_call_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let alice = Peer::registered(server.address(), "alice", 1).await;
    let mut bob = Peer::registered(server.address(), "bob", 2).await;

    let found = alice.client.look_up(&name("bob")).await.unwrap();
    assert_eq!(found.identity, bob.person.certificate.identity());
    assert_eq!(alice.client.look_up(&name("carol")).await, Err(Error::UnknownName));

    let call = alice.client.call(&name("bob")).await.unwrap();
    let incoming = bob.incoming_call().await;
    assert_eq!((call.session, &call.key), (incoming.session, &incoming.key));
    assert_eq!((call.side, incoming.side), (Side::Caller, Side::Callee));
    assert_eq!((relay_of(&call), relay_of(&incoming)), (server.relay(), server.relay()));
    assert_eq!((&call.name, &call.certificate), (&name("bob"), &bob.person.certificate));
    assert_eq!(
        (&incoming.name, &incoming.certificate),
        (&name("alice"), &alice.person.certificate)
    );
}

#[tokio::test]
async fn a_refusal_reaches_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mut alice = Peer::registered(server.address(), "alice", 1).await;
    let mut bob = Peer::registered(server.address(), "bob", 2).await;
    let call = alice.client.call(&name("bob")).await.unwrap();
    let incoming = bob.incoming_call().await;
    bob.client.refuse(incoming.session, RefuseReason::IdentityChanged).await.unwrap();
    let refused = Event::Refused { session: call.session, reason: RefuseReason::IdentityChanged };
    assert_eq!(alice.event().await, refused);
}

#[tokio::test]
async fn who_left_is_offline_and_contacts_see_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mut alice = Peer::registered(server.address(), "alice", 1).await;
    let bob = Peer::registered(server.address(), "bob", 2).await;
    let identity = bob.person.certificate.identity();
    alice.client.set_contacts(vec![identity]).await;
    bob.client.set_contacts(vec![alice.person.certificate.identity()]).await;
    assert_eq!(alice.event().await, Event::Presence { identity, online: true });
    bob.client.shutdown().await;
    assert_eq!(alice.event().await, Event::Presence { identity, online: false });
    // A call waits for its callee for a while, since the server is young.
    assert_eq!(alice.client.call(&name("bob")).await, Err(Error::Offline));
    assert_eq!(bob.client.call(&name("alice")).await, Err(Error::ShutDown));
}

#[tokio::test]
async fn contacts_are_named_again_after_a_reconnect() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let address = server.address().clone();
    let mut alice = Peer::registered(&address, "alice", 1).await;
    let bob = Peer::registered(&address, "bob", 2).await;
    let identity = bob.person.certificate.identity();
    alice.client.set_contacts(vec![identity]).await;
    bob.client.set_contacts(vec![alice.person.certificate.identity()]).await;
    assert_eq!(alice.event().await, Event::Presence { identity, online: true });
    server.shutdown().await;
    let _server = Server::start(&settings(dir.path(), address.port)).unwrap();
    loop {
        if alice.event().await == (Event::Presence { identity, online: true }) {
            break;
        }
    }
}

#[tokio::test]
async fn a_name_stays_its_first_holders_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let alice = Peer::registered(server.address(), "alice", 1).await;
    alice.client.shutdown().await;
    for server in [server, start(dir.path())] {
        let squatter = Peer::new(server.address(), "alice", 2);
        let state = squatter.reaches(|state| state.last_error.is_some()).await;
        assert_eq!(state.last_error, Some(Error::NameTaken));
        assert_eq!(squatter.client.look_up(&name("alice")).await, Err(Error::NameTaken));
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_newer_registration_of_the_same_identity_replaces_the_older() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let older = Peer::registered(server.address(), "alice", 1).await;
    let mut newer = Peer::registered(server.address(), "alice", 1).await;
    let state = older.reaches(|state| !state.registered).await;
    assert_eq!(state.last_error, Some(Error::Replaced));
    let bob = Peer::registered(server.address(), "bob", 2).await;
    bob.client.call(&name("alice")).await.unwrap();
    newer.incoming_call().await;
}

#[tokio::test]
async fn a_server_with_another_key_or_no_voucher_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let pinned = server.address().clone();
    for pin in [Some([0; 32]), None] {
        let peer = Peer::new(&ServerAddress { pin, ..pinned.clone() }, "alice", 1);
        let state = peer.reaches(|state| state.last_error.is_some()).await;
        assert_eq!(state.last_error, Some(Error::ServerIdentity), "{pin:?}");
        assert!(!state.registered);
    }
}

#[tokio::test]
async fn calls_beyond_the_relays_sessions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { relay_sessions_per_client: 1, ..Limits::default() };
    let server =
        Server::start(&filefleet_server::config::Settings { limits, ..settings(dir.path(), 0) })
            .unwrap();
    let alice = Peer::registered(server.address(), "alice", 1).await;
    let mut bob = Peer::registered(server.address(), "bob", 2).await;
    let call = alice.client.call(&name("bob")).await.unwrap();
    assert_eq!(alice.client.call(&name("bob")).await, Err(Error::RateLimited));
    bob.incoming_call().await;
    bob.client.refuse(call.session, RefuseReason::Busy).await.unwrap();
    // Frames of one client are handled in order: after this answer, the refusal has been, too.
    bob.client.look_up(&name("alice")).await.unwrap();
    alice.client.call(&name("bob")).await.unwrap();
}

#[tokio::test]
async fn a_request_waits_for_a_server_that_is_not_there_yet() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let address = server.address().clone();
    server.shutdown().await;
    let alice = Peer::new(&address, "alice", 1);
    let look_up = tokio::spawn({
        let client = alice.client.clone();
        async move { client.look_up(&name("alice")).await }
    });
    let _server = Server::start(&settings(dir.path(), address.port)).unwrap();
    let found = look_up.await.unwrap().unwrap();
    assert_eq!(found.identity, alice.person.certificate.identity());
}
