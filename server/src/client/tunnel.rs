//! Tunnels to a server that UDP does not reach (see [`crate::protos::tunnel`]).

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::pki_types::ServerName;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::{Error, race::race, resolve, trust};
use crate::{
    protos::{address::ServerAddress, tunnel::Port},
    tunnel::{forward, local_socket, own_address, prepare},
};

/// The port that firewalls let through when they let nothing else through.
const HTTPS_PORT: u16 = 443;
/// From the first packet to the end of the TLS handshake.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Until a tunnel that broke is made again.
const PAUSE: Duration = Duration::from_secs(1);

/// The way to a server that UDP does not reach. Clones share what they learn about it.
#[derive(Debug, Clone)]
pub struct Tunnels(Arc<Way>);

#[derive(Debug)]
struct Way {
    server: ServerAddress,
    /// Where the server was last reached.
    address: Mutex<Option<SocketAddr>>,
}

/// A tunnel: to a socket of this machine it looks like the port of the server that it leads to.
/// Dropped, it ends.
#[derive(Debug)]
pub struct Tunnel {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl PartialEq for Tunnels {
    /// Whether they lead to the same server and share what they know.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tunnels {}

impl Tunnel {
    /// Where the socket sends what is to go through the tunnel.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Tunnels {
    pub(super) fn new(server: ServerAddress) -> Self {
        Self(Arc::new(Way { server, address: Mutex::new(None) }))
    }

    /// Whether a tunnel to the server could be had: a TLS handshake, and no more.
    pub async fn try_out(server: ServerAddress) -> Result<(), Error> {
        Self::new(server).connect(Port::Rendezvous).await.map(drop)
    }

    /// A tunnel for the socket that is bound here. It is there at once; what is sent before the
    /// server has answered waits, or is lost. If it breaks it is made again, until it is dropped.
    pub fn open(&self, port: Port, bound: SocketAddr) -> io::Result<Tunnel> {
        let socket = local_socket(own_address(bound))?;
        let (address, way) = (socket.local_addr()?, self.clone());
        let task = tokio::spawn(async move {
            loop {
                match way.connect(port).await {
                    Ok(stream) => log_end(forward(stream, &socket).await),
                    Err(error) => debug!(%error, ?port, "no tunnel"),
                }
                sleep(PAUSE).await;
            }
        });
        Ok(Tunnel { address, _task: AbortOnDropHandle::new(task) })
    }

    /// A tunnel that leads somewhere already, and `ended` when it does no longer.
    pub(super) async fn open_once(
        &self,
        port: Port,
        bound: SocketAddr,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Tunnel, Error> {
        let stream = self.connect(port).await?;
        let unreachable = |error: io::Error| Error::Unreachable(error.to_string());
        let socket = local_socket(own_address(bound)).map_err(unreachable)?;
        let address = socket.local_addr().map_err(unreachable)?;
        let task = tokio::spawn(async move {
            log_end(forward(stream, &socket).await);
            ended();
        });
        Ok(Tunnel { address, _task: AbortOnDropHandle::new(task) })
    }

    /// TLS with the server, at whichever of its addresses and ports answers first.
    async fn connect(&self, port: Port) -> Result<TlsStream<TcpStream>, Error> {
        let unreachable = |error: &dyn std::fmt::Display| Error::Unreachable(error.to_string());
        let Way { server, address } = &*self.0;
        let name =
            ServerName::try_from(server.host.clone()).map_err(|error| unreachable(&error))?;
        let config = trust::tls_config(server.pin, port.alpn()).map_err(|error| {
            debug!(%error, "no server can be trusted");
            Error::ServerIdentity
        })?;
        let connector = TlsConnector::from(Arc::new(config));
        let addresses = self.addresses().await.map_err(|error| unreachable(&error))?;
        let attempts = addresses.into_iter().map(|address| {
            let (connector, name) = (connector.clone(), name.clone());
            async move {
                let handshake = handshake(address, connector, name);
                timeout(SETUP_TIMEOUT, handshake).await.unwrap_or(Err(Error::TimedOut))
            }
        });
        let stream = race(attempts)
            .await
            .map_err(|error| error.unwrap_or_else(|| unreachable(&"it has no address")))?;
        *address.lock().unwrap_or_else(PoisonError::into_inner) =
            stream.get_ref().0.peer_addr().ok();
        Ok(stream)
    }

    /// Where the server may be reached, best first.
    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let Way { server, address } = &*self.0;
        let found = resolve::addresses(&server.host, server.port).await?;
        let at = |port| found.iter().map(move |address| SocketAddr::new(address.ip(), port));
        let last = *address.lock().unwrap_or_else(PoisonError::into_inner);
        let mut addresses: Vec<_> = at(server.port).chain(at(HTTPS_PORT)).collect();
        addresses.dedup();
        addresses.sort_by_key(|address| Some(*address) != last);
        Ok(addresses)
    }
}

async fn handshake(
    address: SocketAddr,
    connector: TlsConnector,
    name: ServerName<'static>,
) -> Result<TlsStream<TcpStream>, Error> {
    let unreachable = |error: io::Error| Error::Unreachable(error.to_string());
    let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
    prepare(&tcp).map_err(unreachable)?;
    connector.connect(name, tcp).await.map_err(|error| match is_about_identity(&error) {
        true => Error::ServerIdentity,
        false => Error::Unreachable(error.to_string()),
    })
}

/// Whether TLS failed because of the server's certificate.
fn is_about_identity(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

fn log_end(ended: io::Result<()>) {
    match ended {
        Ok(()) => debug!("the server has ended a tunnel"),
        Err(error) => debug!(%error, "a tunnel broke"),
    }
}
