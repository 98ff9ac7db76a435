//! Sessions over the relay alone.

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
    let (_, kind, mut stream) = soon(session.open_stream()).await.unwrap();
    assert_eq!(kind, LinkKind::Relayed);
    stream.write_all(&[7; 100_000]).await.unwrap();
    stream.finish().unwrap();
    let mut incoming = soon(at_bob.streams.recv()).await.unwrap();
    assert_eq!(soon(incoming.stream.read_to_end(1 << 20)).await.unwrap(), vec![7; 100_000]);
}
