//! Sessions over the relay alone.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;

use super::{
    super::LinkKind,
    support::{TestServer, User, soon},
};

#[tokio::test]
async fn messages_and_streams_pass_a_relayed_link() {
    let server = TestServer::start();
    let mut alice = User::start("alice", 1, &server).await;
    let mut bob = User::start("bob", 2, &server).await;
    let session = alice.call("bob").await;
    let mut at_alice = alice.got().await;
    let mut at_bob = bob.got().await;
    assert_eq!(session.identity(), bob.identity);
    assert_eq!(at_bob.session.identity(), alice.identity);
    assert_eq!(at_bob.session.name().as_str(), "alice");
    session.send(Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(at_bob.hear().await, "hello");
    at_bob.session.send(Bytes::from_static(b"hi")).await.unwrap();
    assert_eq!(at_alice.hear().await, "hi");
    let (_, kind, mut stream, _) = soon(session.open_stream()).await.unwrap();
    assert_eq!(kind, LinkKind::Relayed);
    stream.write_all(&[7; 100_000]).await.unwrap();
    stream.finish().unwrap();
    let mut incoming = soon(at_bob.streams.recv()).await.unwrap();
    assert_eq!(soon(incoming.stream.read_to_end(1 << 20)).await.unwrap(), vec![7; 100_000]);
}

#[tokio::test]
async fn streams_of_a_link_take_turns_in_the_order_of_asking() {
    let server = TestServer::start();
    let mut alice = User::start("alice", 1, &server).await;
    let _bob = User::start("bob", 2, &server).await;
    alice.call("bob").await;
    let session = alice.got().await.session;
    let (_, _, first, turn) = soon(session.open_stream()).await.unwrap();
    let (mut second, mut third) = (pin!(session.open_stream()), pin!(session.open_stream()));
    assert!(poll_once(second.as_mut()).await.is_pending());
    assert!(poll_once(third.as_mut()).await.is_pending());
    drop(turn);
    assert!(poll_once(third.as_mut()).await.is_pending(), "it asked later");
    let (_, _, second, turn) = soon(second).await.unwrap();
    drop(turn);
    let (_, _, third, _) = soon(third).await.unwrap();
    let priorities = [first, second, third].map(|stream| stream.priority().unwrap());
    assert!(priorities.is_sorted_by(|one, next| one > next), "{priorities:?}");
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
