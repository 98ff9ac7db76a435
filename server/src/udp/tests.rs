#![allow(clippy::unwrap_used)]
use std::task::Waker;

use proptest::prelude::*;

use super::*;

const STUN_ID: stun::TransactionId = [9; 12];

fn socket(capacity: usize) -> (Arc<DemuxSocket>, mpsc::Receiver<OtherDatagram>) {
    DemuxSocket::new(bind_udp("127.0.0.1:0".parse().unwrap()).unwrap(), capacity).unwrap()
}

fn batch(datagrams: &[Vec<u8>]) -> (Vec<u8>, RecvMeta) {
    let buffer = datagrams.concat();
    let meta = RecvMeta {
        addr: "[::ffff:192.0.2.1]:5".parse().unwrap(),
        len: buffer.len(),
        stride: datagrams.first().map_or(0, Vec::len),
        ..RecvMeta::default()
    };
    (buffer, meta)
}

#[test]
fn protocols_are_told_apart_by_their_first_byte() {
    assert_eq!(classify(&stun::request(STUN_ID)), Datagram::Stun);
    assert_eq!(classify(&stun::request(STUN_ID)[..19]), Datagram::Unknown);
    assert_eq!(classify(&[8]), Datagram::RelayBind);
    for first in 0..=255_u8 {
        let expected = match first {
            8 => Datagram::RelayBind,
            64.. => Datagram::Quic,
            _ => Datagram::Unknown,
        };
        assert_eq!(classify(&[first; 40]), expected, "{first}");
    }
    assert_eq!(classify(&[]), Datagram::Unknown);
}

#[test]
fn mapped_addresses_are_seen_at_the_socket_only() {
    let mapped: SocketAddr = "[::ffff:192.0.2.1]:5".parse().unwrap();
    let plain: SocketAddr = "192.0.2.1:5".parse().unwrap();
    let v6: SocketAddr = "[2001:db8::1]:5".parse().unwrap();
    assert_eq!(canonical(mapped), plain);
    assert_eq!(for_socket(plain, true), mapped);
    assert_eq!(for_socket(plain, false), plain);
    assert_eq!((canonical(v6), for_socket(v6, true)), (v6, v6));
}

#[tokio::test]
async fn a_batch_is_sorted_into_quic_and_the_rest() {
    let (socket, mut others) = socket(8);
    let stun = stun::request(STUN_ID);
    let quic = vec![0x40; stun.len()];
    let mut bind = vec![relay::FIRST_BYTE; stun.len()];
    bind.truncate(20);
    let (mut buffer, mut meta) =
        batch(&[quic.clone(), stun.clone(), quic.clone(), vec![5; stun.len()], bind.clone()]);
    socket.sort(&mut buffer, &mut meta);
    assert_eq!(buffer[..meta.len], [&quic[..], &quic].concat());

    let first = others.try_recv().unwrap();
    assert_eq!((first.kind, first.payload.as_ref()), (Datagram::Stun, stun.as_slice()));
    assert_eq!(first.source, "192.0.2.1:5".parse().unwrap());
    let second = others.try_recv().unwrap();
    assert_eq!((second.kind, second.payload.as_ref()), (Datagram::RelayBind, bind.as_slice()));
    assert!(others.try_recv().is_err());
    assert_eq!(socket.dropped(), 1);
}

#[tokio::test]
async fn what_nobody_takes_is_dropped_and_counted() {
    let (socket, mut others) = socket(1);
    let (mut buffer, mut meta) = batch(&[vec![8; 30], vec![8; 30], vec![8; 30]]);
    socket.sort(&mut buffer, &mut meta);
    assert_eq!((meta.len, socket.dropped()), (0, 2));
    assert!(others.try_recv().is_ok());
}

#[tokio::test]
async fn an_empty_datagram_is_harmless() {
    let (socket, _others) = socket(1);
    let (mut buffer, mut meta) = batch(&[]);
    socket.sort(&mut buffer, &mut meta);
    assert_eq!(meta.len, 0);
}

#[tokio::test]
async fn an_unreachable_destination_is_no_error() {
    let (socket, _others) = socket(1);
    socket.writable().await.unwrap();
    // IPv6 from an IPv4 socket, and a port nobody listens on: the datagrams are lost, no more.
    for destination in ["[2001:db8::1]:9", "127.0.0.1:9"] {
        let transmit = Transmit {
            destination: destination.parse().unwrap(),
            ecn: None,
            contents: b"lost",
            segment_size: None,
            src_ip: None,
        };
        socket.try_send(&transmit).unwrap();
    }
    let mut storage = [0; 2048];
    let mut buffers = [IoSliceMut::new(&mut storage)];
    let mut meta = [RecvMeta::default()];
    let mut cx = Context::from_waker(Waker::noop());
    assert!(socket.poll_recv(&mut cx, &mut buffers, &mut meta).is_pending());
}

#[tokio::test]
async fn a_dual_stack_socket_reaches_ipv4() {
    let (socket, mut others) =
        DemuxSocket::new(bind_udp("[::]:0".parse().unwrap()).unwrap(), 1).unwrap();
    let port = socket.local_addr().unwrap().port();
    let peer = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    peer.send_to(&stun::request(STUN_ID), ("127.0.0.1", port)).await.unwrap();

    let mut storage = vec![0; 70_000];
    let received = std::future::poll_fn(|cx| {
        let mut buffers = [IoSliceMut::new(&mut storage)];
        let mut meta = [RecvMeta::default()];
        socket.poll_recv(cx, &mut buffers, &mut meta)
    });
    assert_eq!(received.await.unwrap(), 1);
    let datagram = others.recv().await.unwrap();
    assert_eq!(datagram.source, peer.local_addr().unwrap());

    socket.writable().await.unwrap();
    assert!(socket.send_to(b"answer", datagram.source, datagram.local_ip));
    let mut answer = [0; 16];
    let (len, _) = peer.recv_from(&mut answer).await.unwrap();
    assert_eq!(&answer[..len], b"answer");
}

proptest! {
    #[test]
    fn sorting_keeps_every_quic_datagram_in_order(
        datagrams in proptest::collection::vec((any::<u8>(), any::<u8>()), 1..20),
        stride in 1..40_usize,
        last in 1..40_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _guard = runtime.enter();
        let (socket, _others) = socket(4);
        let count = datagrams.len();
        let datagrams: Vec<_> = datagrams
            .iter()
            .enumerate()
            .map(|(index, (first, rest))| {
                let len = if index + 1 == count { last.min(stride) } else { stride };
                let mut datagram = vec![*rest; len];
                datagram[0] = *first;
                datagram
            })
            .collect();
        let (mut buffer, mut meta) = batch(&datagrams);
        meta.stride = stride;
        socket.sort(&mut buffer, &mut meta);
        let expected: Vec<_> =
            datagrams.into_iter().filter(|datagram| datagram[0] >= 64).collect();
        prop_assert_eq!(&buffer[..meta.len], expected.concat());
    }
}
