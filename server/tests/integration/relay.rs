//! The relay over real sockets: binding, reflecting in batches, and nobody else.

use std::{
    future::poll_fn,
    io::{ErrorKind, IoSliceMut},
    net::SocketAddr,
    sync::Arc,
};

use filefleet_server::{
    client::Call,
    config::Settings,
    protos::relay::{BindFrame, SessionKey},
    server::Server,
    udp::{bind_udp, datagrams, wrap},
};
use quinn::{
    AsyncUdpSocket,
    udp::{EcnCodepoint, RecvMeta, Transmit},
};
use tokio::time::timeout;

use crate::support::{LONG_ENOUGH, Peer, SOON, local, name, relay_of, settings, start};

/// One side's socket.
struct End {
    socket: Arc<dyn AsyncUdpSocket>,
    relay: SocketAddr,
}

impl End {
    fn new(relay: SocketAddr) -> Self {
        Self { socket: wrap(bind_udp(local(0)).unwrap()).unwrap(), relay }
    }

    async fn send(&self, contents: &[u8], segment_size: Option<usize>) {
        let ecn = Some(EcnCodepoint::Ect0);
        let transmit =
            Transmit { destination: self.relay, ecn, contents, segment_size, src_ip: None };
        let mut poller = Arc::clone(&self.socket).create_io_poller();
        while let Err(error) = self.socket.try_send(&transmit) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            poll_fn(|cx| poller.as_mut().poll_writable(cx)).await.unwrap();
        }
    }

    /// The datagrams of the next batch.
    async fn receive(&self) -> (Vec<Vec<u8>>, RecvMeta) {
        timeout(SOON, self.next_batch()).await.unwrap()
    }

    async fn hears_nothing(&self) {
        assert!(timeout(LONG_ENOUGH, self.next_batch()).await.is_err());
    }

    async fn next_batch(&self) -> (Vec<Vec<u8>>, RecvMeta) {
        let mut storage = vec![0; 65_536];
        let mut meta = [RecvMeta::default()];
        let received = poll_fn(|cx| {
            let mut buffers = [IoSliceMut::new(&mut storage)];
            self.socket.poll_recv(cx, &mut buffers, &mut meta)
        });
        assert_eq!(received.await.unwrap(), 1);
        (datagrams(&storage, &meta[0]).map(<[u8]>::to_vec).collect(), meta[0])
    }

    async fn ask(&self, frame: &BindFrame) -> BindFrame {
        self.send(&frame.encode(), None).await;
        let (answer, _) = self.receive().await;
        BindFrame::decode(&answer[0]).unwrap()
    }

    /// The Bind of a call that answers a fresh challenge.
    async fn answer_challenge(&self, call: &Call, key: &SessionKey, sequence: u64) -> BindFrame {
        let (session, side) = (call.session, call.side);
        match self.ask(&BindFrame::Hello { session, side }).await {
            BindFrame::Challenge { cookie, .. } => key.bind(session, side, sequence, cookie),
            other => panic!("{other:?}"),
        }
    }

    async fn bind(&self, call: &Call, sequence: u64) -> BindFrame {
        let bind = self.answer_challenge(call, &call.key, sequence).await;
        let observed = self.socket.local_addr().unwrap();
        let bound = BindFrame::Bound { session: call.session, observed };
        assert_eq!(self.ask(&bind).await, bound);
        bind
    }
}

/// Whether the sender's mark has come through. On Windows not every socket shows marks.
fn is_marked(meta: &RecvMeta) -> bool {
    meta.ecn == Some(EcnCodepoint::Ect0) || (cfg!(windows) && meta.ecn.is_none())
}

/// A call between two people, and an unbound socket for each.
async fn call(server: &Server) -> [(Call, End); 2] {
    let alice = Peer::registered(server.address(), "alice", 1).await;
    let mut bob = Peer::registered(server.address(), "bob", 2).await;
    let call = alice.client.call(&name("bob")).await.unwrap();
    let incoming = bob.incoming_call().await;
    [call, incoming].map(|call| {
        let end = End::new(relay_of(&call));
        (call, end)
    })
}

#[tokio::test]
async fn bound_sides_reach_each_other_and_nobody_else_reaches_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let [(call, alice), (incoming, bob)] = call(&server).await;
    alice.bind(&call, 1).await;
    bob.bind(&incoming, 1).await;
    let stranger = End::new(server.relay());
    for (from, to) in [(&alice, &bob), (&bob, &alice)] {
        stranger.send(&[0x40; 100], None).await;
        from.send(&[0x41; 100], None).await;
        let (received, meta) = to.receive().await;
        assert_eq!(received, [vec![0x41; 100]]);
        assert_eq!(meta.addr, server.relay());
        assert!(is_marked(&meta), "{meta:?}");
    }
    alice.hears_nothing().await;
    bob.hears_nothing().await;
}

#[tokio::test]
async fn a_batch_passes_whole_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let [(call, alice), (incoming, bob)] = call(&server).await;
    alice.bind(&call, 1).await;
    bob.bind(&incoming, 1).await;
    let segments = alice.socket.max_transmit_segments().min(40);
    let expected: Vec<_> = (0..segments)
        .map(|index| {
            let last = index + 1 == segments;
            vec![0x40 + u8::try_from(index).unwrap(); if last { 700 } else { 1200 }]
        })
        .collect();
    alice.send(&expected.concat(), (segments > 1).then_some(1200)).await;
    let mut received = Vec::new();
    let mut batches = 0;
    while received.len() < segments {
        let (datagrams, meta) = bob.receive().await;
        assert!(is_marked(&meta), "{meta:?}");
        received.extend(datagrams);
        batches += 1;
    }
    assert_eq!(received, expected);
    if segments > 1 {
        assert_eq!(batches, 1, "a batch was taken apart");
    }
}

#[tokio::test]
async fn binds_with_a_wrong_key_or_said_twice_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let [(call, alice), (incoming, bob)] = call(&server).await;
    let bound = alice.bind(&call, 5).await;
    bob.bind(&incoming, 1).await;

    let mallory = End::new(server.relay());
    mallory.send(&bound.encode(), None).await;
    let forged = mallory.answer_challenge(&call, &SessionKey::from_bytes([0; 32]), 9).await;
    mallory.send(&forged.encode(), None).await;
    alice.send(&bound.encode(), None).await;
    let older = alice.answer_challenge(&call, &call.key, 4).await;
    alice.send(&older.encode(), None).await;
    mallory.hears_nothing().await;
    alice.hears_nothing().await;

    bob.send(&[0x40; 50], None).await;
    assert_eq!(alice.receive().await.0, [vec![0x40; 50]]);
}

#[tokio::test]
async fn a_side_that_binds_from_elsewhere_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let [(call, alice), (incoming, bob)] = call(&server).await;
    alice.bind(&call, 1).await;
    bob.bind(&incoming, 1).await;
    let moved = End::new(server.relay());
    moved.bind(&call, 2).await;
    bob.send(&[0x40; 50], None).await;
    assert_eq!(moved.receive().await.0, [vec![0x40; 50]]);
    alice.hears_nothing().await;
}

#[tokio::test]
async fn a_server_on_every_address_serves_ipv4_too() {
    let dir = tempfile::tempdir().unwrap();
    let any = "[::]:0".parse().unwrap();
    let settings = Settings { listen: any, relay: any, ..settings(dir.path(), 0) };
    let server = Server::start(&settings).unwrap();
    assert_eq!(server.address().host, "127.0.0.1");
    let [(call, alice), (incoming, bob)] = call(&server).await;
    assert_eq!(relay_of(&call), local(server.relay().port()));
    alice.bind(&call, 1).await;
    bob.bind(&incoming, 1).await;
    // Sockets that take no batch are for Windows alone.
    let (len, segment_size) = if cfg!(windows) { (1000, None) } else { (2000, Some(1000)) };
    alice.send(&vec![0x41; len], segment_size).await;
    let (received, meta) = bob.receive().await;
    assert_eq!(received.concat().len(), len);
    assert!(is_marked(&meta), "{meta:?}");
}

#[tokio::test]
async fn a_refused_session_is_gone() {
    use filefleet_server::client::RefuseReason;
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let alice = Peer::registered(server.address(), "alice", 1).await;
    let mut bob = Peer::registered(server.address(), "bob", 2).await;
    let call = alice.client.call(&name("bob")).await.unwrap();
    bob.incoming_call().await;
    bob.client.refuse(call.session, RefuseReason::Blocked).await.unwrap();
    // Frames of one client are handled in order.
    bob.client.look_up(&name("bob")).await.unwrap();
    let end = End::new(relay_of(&call));
    let hello = BindFrame::Hello { session: call.session, side: call.side };
    assert_eq!(end.ask(&hello).await, BindFrame::Gone { session: call.session });
}
