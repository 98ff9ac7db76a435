//! One link: making it and greeting. A link that is made belongs to the peer's device and
//! identity, and both sides have said so; nothing else is read before.

mod run;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ed25519_dalek::SigningKey;
use filefleet_server::{
    protos::{
        certificate::{DeviceCertificate, DeviceKey},
        relay::Side,
    },
    udp::canonical,
};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, ReadExactError, RecvStream, SendStream,
    ServerConfig, WriteError,
};
use tokio::time::timeout;

pub(super) use self::run::{LinkEnd, Wiring};
use super::{
    LinkId, LinkKind, Peer,
    close::CloseCode,
    frame::{Frame, FrameError, HEADER_LEN, Hello, decode_header},
    nearby::Nearby,
};
use crate::{
    connect::driver::{Connector, Scattered},
    discover::portmap::PortMapper,
    transport::{
        Congestion, Path, endpoint_config, mtu,
        relayed::{Gone, RelayedPath, Ticket},
        scattered::ScatteredPath,
        tls::{Expected, KeySet, SERVER_NAME, Tls, TlsError, peer_device_key},
        transport_config,
    },
};

/// From the first packet of a link to the end of the greeting. Generous: a slow path is better
/// than none, and nothing waits for this but the link itself.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a relayed link's goodbye may take.
pub(super) const FAREWELL: Duration = Duration::from_millis(300);

/// What every link is made from.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) device_key: SigningKey,
    pub(super) certificate: DeviceCertificate,
    pub(super) tls: Tls,
    pub(super) keys: KeySet,
    pub(super) congestion: Congestion,
    /// The endpoint over the main socket.
    pub(super) main: Endpoint,
    /// Looks for direct paths over the main socket.
    pub(super) connector: Connector,
    /// Asks the router to map the main socket's port.
    pub(super) mapper: PortMapper,
    /// Finds contacts on the same network.
    pub(super) nearby: Nearby,
    /// Whether ports of NATs may be guessed.
    pub(super) guess_ports: bool,
}

/// A link whose two ends have greeted each other.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: LinkId,
    pub(super) kind: LinkKind,
    pub(super) connection: Connection,
    /// What the peer's hello said.
    pub(super) incarnation: u64,
    /// Whether this side is the QUIC client, which on the relay is who called.
    pub(super) ours: bool,
    /// Keeps the path of a link that does not run over the main socket.
    path: Option<OwnPath>,
    send: SendStream,
    recv: RecvStream,
}

/// A path with a socket and an endpoint of its own.
#[derive(Debug)]
enum OwnPath {
    Relayed(RelayedPath),
    Scattered(ScatteredPath),
}

/// Why a link was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("no socket for a relayed link")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Gone(#[from] Gone),
    #[error("no connection")]
    Connect(#[from] quinn::ConnectError),
    #[error("the connection was lost")]
    Connection(#[from] ConnectionError),
    #[error("the control stream broke off")]
    Read(#[from] ReadExactError),
    #[error("the control stream broke off")]
    Write(#[from] WriteError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the peer did not greet first")]
    NoHello,
    #[error("the certificate is for another device")]
    WrongDevice,
    #[error("the certificate is of another identity")]
    WrongIdentity,
    #[error("the peer did not answer in time")]
    TimedOut,
}

impl LinkError {
    /// What the peer is told.
    fn code(&self) -> CloseCode {
        match self {
            Self::WrongIdentity => CloseCode::IdentityChanged,
            _ => CloseCode::Protocol,
        }
    }

    /// What the peer said, if it was the peer who closed.
    pub(super) fn of_peer(&self) -> Option<CloseCode> {
        let error = match self {
            Self::Connection(error) => error,
            Self::Read(ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error))) => error,
            Self::Write(WriteError::ConnectionLost(error)) => error,
            _ => return None,
        };
        CloseCode::of(error)
    }
}

impl Local {
    /// What a direct link to this address is.
    pub(super) fn kind_of(&self, remote: SocketAddr) -> LinkKind {
        match self.connector.is_on_link(remote) {
            true => LinkKind::Lan,
            false => LinkKind::Direct,
        }
    }

    fn client(&self, device: DeviceKey, path: Path) -> Result<ClientConfig, TlsError> {
        let tls = self.tls.client(Expected::Exactly(device))?;
        let mut config = ClientConfig::new(Arc::new(tls));
        config.transport_config(transport_config(path, self.congestion.clone()));
        Ok(config)
    }

    pub(super) fn server(&self, expected: Expected, path: Path) -> Result<ServerConfig, TlsError> {
        server_config(&self.tls, expected, path, self.congestion.clone())
    }

    /// Makes the relayed link of a call.
    pub(super) async fn relayed(
        &self,
        peer: &Peer,
        incarnation: u64,
        ticket: Ticket,
    ) -> Result<Opened, LinkError> {
        let side = ticket.side;
        let device = peer.device();
        let server = match side {
            Side::Caller => None,
            Side::Callee => Some(self.server(Expected::Exactly(device), Path::Relayed)?),
        };
        let path = RelayedPath::open(
            ticket,
            endpoint_config(&self.device_key),
            server,
            self.connector.changes(),
        )?;
        let setup = async {
            path.bound().await?;
            let connection = match side {
                Side::Caller => {
                    let config = self.client(device, Path::Relayed)?;
                    path.endpoint().connect_with(config, path.relay(), SERVER_NAME)?.await?
                }
                Side::Callee => path.endpoint().accept().await.ok_or(Gone)?.await?,
            };
            self.greet(peer, incarnation, connection, LinkKind::Relayed, side == Side::Caller).await
        };
        // The relay may lose the session before the link is up, as when it is restarted.
        let opened = tokio::select! {
            opened = within_setup(setup) => opened?,
            () = path.gone() => return Err(Gone.into()),
        };
        Ok(Opened { path: Some(OwnPath::Relayed(path)), ..opened })
    }

    /// Makes the link over a socket of its own that the peer has found; one side is to dial.
    pub(super) async fn scattered(
        &self,
        peer: &Peer,
        incarnation: u64,
        scattered: Scattered,
        dial: bool,
    ) -> Result<Opened, LinkError> {
        let device = peer.device();
        let server = match dial {
            true => None,
            false => Some(self.server(Expected::Exactly(device), Path::Scattered)?),
        };
        let path = ScatteredPath::open(scattered, endpoint_config(&self.device_key), server)?;
        let setup = async {
            let connection = if dial {
                path.passed().await;
                let config = self.client(device, Path::Scattered)?;
                path.endpoint().connect_with(config, path.remote(), SERVER_NAME)?.await?
            } else {
                path.endpoint().accept().await.ok_or(LinkError::TimedOut)?.await?
            };
            self.greet(peer, incarnation, connection, LinkKind::Direct, dial).await
        };
        let opened = within_setup(setup).await?;
        Ok(Opened { path: Some(OwnPath::Scattered(path)), ..opened })
    }

    /// Connects to an address that has answered connectivity checks.
    pub(super) async fn dial(
        &self,
        peer: &Peer,
        incarnation: u64,
        remote: SocketAddr,
    ) -> Result<Opened, LinkError> {
        let kind = self.kind_of(remote);
        let largest_payload = mtu::largest_payload(remote);
        let config = self.client(peer.device(), Path::Direct { largest_payload })?;
        let connecting = self.main.connect_with(config, remote, SERVER_NAME)?;
        let setup = async {
            let connection = connecting.await?;
            self.greet(peer, incarnation, connection, kind, true).await
        };
        within_setup(setup).await
    }

    /// Takes a connection that the peer has made to the main socket.
    pub(super) async fn adopt(
        &self,
        peer: &Peer,
        incarnation: u64,
        connection: Connection,
    ) -> Result<Opened, LinkError> {
        let kind = self.kind_of(canonical(connection.remote_address()));
        within_setup(self.greet(peer, incarnation, connection, kind, false)).await
    }

    async fn greet(
        &self,
        peer: &Peer,
        incarnation: u64,
        connection: Connection,
        kind: LinkKind,
        ours: bool,
    ) -> Result<Opened, LinkError> {
        let hello = Hello { incarnation, certificate: self.certificate.clone() };
        let greeted = exchange_hello(&connection, peer, hello, ours).await;
        match greeted {
            Ok((send, recv, incarnation)) => {
                let id = LinkId::next();
                Ok(Opened { id, kind, connection, incarnation, ours, path: None, send, recv })
            }
            Err(error) => {
                connection.close(error.code().wire(), b"");
                Err(error)
            }
        }
    }
}

/// The settings under which connections of the `expected` devices are accepted.
pub(super) fn server_config(
    tls: &Tls,
    expected: Expected,
    path: Path,
    congestion: Congestion,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::with_crypto(Arc::new(tls.server(expected)?));
    config.transport_config(transport_config(path, congestion));
    // Elsewhere there is one address, whatever the peer's may be.
    config.migration(matches!(path, Path::Direct { .. }));
    Ok(config)
}

async fn within_setup(
    setup: impl Future<Output = Result<Opened, LinkError>>,
) -> Result<Opened, LinkError> {
    timeout(SETUP_TIMEOUT, setup).await.unwrap_or(Err(LinkError::TimedOut))
}

async fn exchange_hello(
    connection: &Connection,
    peer: &Peer,
    hello: Hello,
    ours: bool,
) -> Result<(SendStream, RecvStream, u64), LinkError> {
    let (mut send, mut recv) =
        if ours { connection.open_bi().await? } else { connection.accept_bi().await? };
    if ours {
        write_frame(&mut send, &Frame::Hello(hello.clone())).await?;
    }
    let theirs = match read_frame(&mut recv).await? {
        Some(Frame::Hello(theirs)) => theirs,
        _ => return Err(LinkError::NoHello),
    };
    // The proof of TLS, the certificate and the expectation must all be about the same device.
    if peer_device_key(connection) != Some(theirs.certificate.device())
        || theirs.certificate.device() != peer.device()
    {
        return Err(LinkError::WrongDevice);
    }
    if theirs.certificate.identity() != peer.identity() {
        return Err(LinkError::WrongIdentity);
    }
    if !ours {
        write_frame(&mut send, &Frame::Hello(hello)).await?;
    }
    Ok((send, recv, theirs.incarnation))
}

async fn write_frame(send: &mut SendStream, frame: &Frame) -> Result<(), WriteError> {
    send.write_all_chunks(&mut frame.encode()).await
}

/// Reads the next frame; `None` if this version does not know it.
async fn read_frame(recv: &mut RecvStream) -> Result<Option<Frame>, LinkError> {
    let mut header = [0; HEADER_LEN];
    recv.read_exact(&mut header).await?;
    let (frame_type, length) = decode_header(header)?;
    let mut payload = BytesMut::zeroed(length);
    recv.read_exact(&mut payload).await?;
    Ok(Frame::decode(frame_type, Bytes::from(payload))?)
}
