//! Tunnels of clients that no UDP reaches: TLS over TCP that leads to the server's own two UDP
//! ports and nowhere else (see [`crate::protos::tunnel`]).
//!
//! Each has a UDP socket on this machine, so that what serves the ports need not know of tunnels.
//! Only the limits do, which count by a client's own address: [`Origins`].

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustls::{ServerConfig, version::TLS13};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::{debug, warn};

use super::{Services, files::Certificate};
use crate::{
    protos::{tls::crypto_provider, tunnel::Port},
    tunnel::{forward, local_socket, own_address, prepare},
    udp::canonical,
};

/// How long a client has for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Tunnels of one registered client, on average: its own, and those of its relay sessions.
const TUNNELS_PER_CONNECTION: usize = 4;
/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 1024;
/// After the machine has run out of sockets.
const PAUSE: Duration = Duration::from_millis(100);

/// The server's own ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) rendezvous: SocketAddr,
    pub(super) relay: SocketAddr,
}

/// The addresses that the clients of tunnels have on the network, by the sockets that stand for them.
#[derive(Debug, Clone, Default)]
pub(super) struct Origins(Arc<Mutex<HashMap<SocketAddr, IpAddr>>>);

/// Keeps a tunnel's origin known.
struct Known {
    origins: Origins,
    socket: SocketAddr,
}

impl Origins {
    /// Where what comes from this address really comes from.
    pub(super) fn of(&self, source: SocketAddr) -> IpAddr {
        self.lock().get(&source).copied().unwrap_or(source.ip())
    }

    /// Where the beacon of the next start reaches the client: not in a tunnel that is no more then.
    pub(super) fn beacon_address(&self, source: SocketAddr) -> Option<SocketAddr> {
        (!self.lock().contains_key(&source)).then_some(source)
    }

    fn note(&self, socket: SocketAddr, origin: IpAddr) -> Known {
        self.lock().insert(socket, origin);
        Known { origins: self.clone(), socket }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.origins.lock().remove(&self.socket);
    }
}

/// TLS for tunnels, with the server's certificate.
pub(super) fn tls_config(certificate: &Certificate) -> Result<ServerConfig, rustls::Error> {
    let mut tls = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())?;
    tls.alpn_protocols = Port::ALL.map(|port| port.alpn().to_vec()).into();
    tls.send_tls13_tickets = 0;
    Ok(tls)
}

/// One TCP port that takes tunnels.
pub(super) struct Tunnels {
    listener: TcpListener,
    entrance: Arc<Entrance>,
}

struct Entrance {
    ports: Ports,
    tls: TlsAcceptor,
    services: Arc<Services>,
}

impl Tunnels {
    /// Binds the port; inside a tokio runtime.
    pub(super) fn bind(
        address: SocketAddr,
        ports: Ports,
        tls: Arc<ServerConfig>,
        services: Arc<Services>,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted server takes its port back from connections that linger.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let entrance = Arc::new(Entrance { ports, tls: TlsAcceptor::from(tls), services });
        Ok(Self { listener, entrance })
    }

    /// Serves until told to stop, and then ends every tunnel.
    pub(super) async fn run(self) {
        let Self { listener, entrance } = self;
        let room = entrance.services.limits.connections * TUNNELS_PER_CONNECTION;
        let room = Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)));
        let mut tunnels = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = entrance.services.stop.cancelled() => return,
                Some(_) = tunnels.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((tcp, address)) => {
                        let address = canonical(address);
                        // Dropped, the connection is closed.
                        let Ok(permit) = room.clone().try_acquire_owned() else { continue };
                        if entrance.services.connections.admits(address.ip()) {
                            let entrance = entrance.clone();
                            tunnels.spawn(async move {
                                let _permit = permit;
                                if let Err(error) = entrance.serve(tcp, address).await {
                                    debug!(%error, %address, "a tunnel ended");
                                }
                            });
                        }
                    }
                    Err(error) => {
                        warn!(%error, "no tunnel can be accepted");
                        sleep(PAUSE).await;
                    }
                },
            }
        }
    }
}

impl Entrance {
    async fn serve(&self, tcp: TcpStream, address: SocketAddr) -> io::Result<()> {
        prepare(&tcp)?;
        let (stream, port) = timeout(HANDSHAKE_TIMEOUT, self.handshake(tcp)).await??;
        let inside = match port {
            Port::Rendezvous => self.ports.rendezvous,
            Port::Relay => self.ports.relay,
        };
        let socket: UdpSocket = local_socket(own_address(inside))?;
        let _known = self.services.origins.note(socket.local_addr()?, address.ip());
        debug!(%address, ?port, "a tunnel begins");
        forward(stream, &socket).await
    }

    async fn handshake(&self, tcp: TcpStream) -> io::Result<(TlsStream<TcpStream>, Port)> {
        let stream = self.tls.accept(tcp).await?;
        let port = stream.get_ref().1.alpn_protocol().and_then(Port::of_alpn);
        let port = port.ok_or_else(|| io::Error::other("no protocol of ours"))?;
        Ok((stream, port))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tunnels_client_is_known_by_its_own_address() {
        let origins = Origins::default();
        let socket: SocketAddr = "127.0.0.1:5".parse().unwrap();
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let known = origins.note(socket, client);
        assert_eq!((origins.of(socket), origins.beacon_address(socket)), (client, None));
        drop(known);
        assert_eq!(
            (origins.of(socket), origins.beacon_address(socket)),
            (socket.ip(), Some(socket))
        );
    }
}
