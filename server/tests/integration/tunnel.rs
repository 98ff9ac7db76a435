//! Clients that no UDP reaches: through tunnels to the registration and to the relay.

use std::path::Path;

use filefleet_server::{
    client::{Call, Error, Relay, Tunnel, Tunnels},
    config::Settings,
    protos::{address::ServerAddress, relay::BindFrame, tunnel::Port},
    server::Server,
    udp::bind_udp,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Peer, SOON, local, name, settings};

/// A server whose TCP port has another number than its UDP port, and its address as clients know it
/// to whom it is as if UDP were blocked.
async fn start_with_tunnels(dir: &Path) -> (Server, ServerAddress) {
    // A port that is free a moment after it was given is free now.
    let port = TcpListener::bind(local(0)).await.unwrap().local_addr().unwrap().port();
    let settings = Settings { tcp: vec![local(port)], ..settings(dir, 0) };
    let server = Server::start(&settings).unwrap();
    let address = ServerAddress { port, ..server.address().clone() };
    (server, address)
}

/// A socket whose datagrams go through a tunnel to the relay.
struct End {
    socket: UdpSocket,
    _tunnel: Tunnel,
}

impl End {
    async fn new(relay: Relay) -> Self {
        let Relay::Tunnel(tunnels) = relay else { panic!("{relay:?}") };
        let socket = UdpSocket::from_std(bind_udp(local(0)).unwrap()).unwrap();
        let tunnel = tunnels.open(Port::Relay, socket.local_addr().unwrap()).unwrap();
        socket.connect(tunnel.address()).await.unwrap();
        Self { socket, _tunnel: tunnel }
    }

    async fn receive(&self) -> Vec<u8> {
        let mut datagram = vec![0; 2048];
        let len = timeout(SOON, self.socket.recv(&mut datagram)).await.unwrap().unwrap();
        datagram.truncate(len);
        datagram
    }

    async fn ask(&self, frame: &BindFrame) -> BindFrame {
        self.socket.send(&frame.encode()).await.unwrap();
        BindFrame::decode(&self.receive().await).unwrap()
    }

    async fn bind(&self, call: &Call) {
        let (session, side) = (call.session, call.side);
        let BindFrame::Challenge { cookie, .. } =
            self.ask(&BindFrame::Hello { session, side }).await
        else {
            panic!("no challenge");
        };
        let answer = self.ask(&call.key.bind(session, side, 1, cookie)).await;
        assert!(matches!(answer, BindFrame::Bound { .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn nothing_unasked_is_sent_to_the_end_of_a_tunnel() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = start_with_tunnels(dir.path()).await;
    let (peer, mut others) = Peer::without_beacons(&address, "alice", 1);
    assert!(peer.reaches(|state| state.registered).await.is_tunnelled());
    assert!(!peer.client.probe([7; 12]).await.unwrap().sent);
    assert!(others.try_recv().is_err());
    Tunnels::try_out(address).await.unwrap();
}

#[tokio::test]
async fn who_is_not_reached_by_udp_registers_and_calls_through_tunnels() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = start_with_tunnels(dir.path()).await;
    let alice = Peer::registered(&address, "alice", 1).await;
    let mut bob = Peer::registered(&address, "bob", 2).await;
    let state = alice.client.state().borrow().clone();
    assert!(state.is_tunnelled());
    assert_eq!((state.server_addr, state.observed, state.relay_addr()), (None, None, None));

    let call = alice.client.call(&name("bob")).await.unwrap();
    let incoming = bob.incoming_call().await;
    let (here, there) =
        (End::new(call.relay.clone()).await, End::new(incoming.relay.clone()).await);
    here.bind(&call).await;
    there.bind(&incoming).await;
    here.socket.send(&[0x41; 1400]).await.unwrap();
    assert_eq!(there.receive().await, [0x41; 1400]);
    there.socket.send(&[0x42; 20]).await.unwrap();
    assert_eq!(here.receive().await, [0x42; 20]);
}

#[tokio::test]
async fn udp_is_used_again_as_soon_as_it_reaches_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = start_with_tunnels(dir.path()).await;
    let alice = Peer::registered(&address, "alice", 1).await;
    assert!(alice.client.state().borrow().is_tunnelled());
    let _network = lets_udp_through(address.port, server.address().port).await;
    alice.client.network_changed();
    let state = alice.reaches(|state| state.registered && !state.is_tunnelled()).await;
    assert_eq!(state.server_addr, Some(local(address.port)));
    // The better registration serves requests.
    assert_eq!(alice.client.look_up(&name("nobody")).await, Err(Error::UnknownName));
}

/// Copies what comes to one UDP port to another and back, as a network that lets UDP through.
async fn lets_udp_through(from: u16, to: u16) -> AbortOnDropHandle<()> {
    let outside = UdpSocket::bind(local(from)).await.unwrap();
    let inside = UdpSocket::bind(local(0)).await.unwrap();
    inside.connect(local(to)).await.unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let (mut out, mut back) = ([0; 2048], [0; 2048]);
        let mut client = None;
        loop {
            tokio::select! {
                Ok((len, source)) = outside.recv_from(&mut out) => {
                    client = Some(source);
                    inside.send(&out[..len]).await.unwrap();
                }
                Ok(len) = inside.recv(&mut back) => {
                    if let Some(client) = client {
                        outside.send_to(&back[..len], client).await.unwrap();
                    }
                }
            }
        }
    }))
}

#[tokio::test]
async fn who_speaks_no_tls_gets_no_tunnel() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = start_with_tunnels(dir.path()).await;
    let mut tcp = TcpStream::connect(local(address.port)).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    // An alert, and the end; or a reset.
    let _ = timeout(SOON, tcp.read_to_end(&mut said)).await.unwrap();
    assert!(said.len() < 16, "{said:?}");
}
