//! One connection to the server, from finding its address to being registered.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use quinn::{RecvStream, SendStream, TransportConfig, crypto::rustls::QuicClientConfig};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use tracing::debug;

use super::{
    Config, Error, Relay,
    backoff::random_between,
    race::race,
    resolve, trust,
    tunnel::{Tunnel, Tunnels},
};
use crate::{
    protos::{
        rendezvous::{
            ClientFrame, CloseCode, EXPORTER_LABEL, Exported, FrameReader, Proof, ServerFrame,
            encode,
        },
        tunnel::Port,
    },
    udp::canonical,
};

/// Keeps a NAT mapping alive (RFC 4787 asks for 2 minutes; homes have been seen at 30 s), at a
/// different moment for each client.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(26));
/// Two keep-alives lost in a row, and a little.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Makes the first packet be sent again after 0.3 s instead of 1 s.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// Head start of UDP over a tunnel: a handshake with a retry, on a slow path.
const UDP_HEAD_START: Duration = Duration::from_secs(1);
/// How long the server may leave a frame lying in our send buffer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes connections to one server.
pub(super) struct Connector {
    endpoint: quinn::Endpoint,
    config: Config,
    tunnels: Tunnels,
    crypto: OnceLock<Arc<QuicClientConfig>>,
}

/// A registration that holds as long as this does.
pub(super) struct Registration {
    pub(super) server_addr: Option<SocketAddr>,
    pub(super) relay: Relay,
    pub(super) observed: Option<SocketAddr>,
    pub(super) reader: FrameReader<RecvStream>,
    connection: quinn::Connection,
    stream: SendStream,
    _tunnel: Option<Tunnel>,
}

/// A connection, and what carries it if UDP does not.
struct Wire {
    connection: quinn::Connection,
    tunnel: Option<Tunnel>,
}

impl Connector {
    pub(super) fn new(endpoint: quinn::Endpoint, config: Config) -> Self {
        let tunnels = Tunnels::new(config.server.clone());
        Self { endpoint, config, tunnels, crypto: OnceLock::new() }
    }

    /// Connects, by UDP if that works, and registers; dropping the future gives the attempt up.
    pub(super) async fn register(&self, limit: Duration) -> Result<Registration, Error> {
        let attempt = async {
            let wire = self.connect().await?;
            self.register_on(wire).await
        };
        timeout(limit, attempt).await.unwrap_or(Err(Error::TimedOut))
    }

    /// Connects and registers by UDP, for a client that has been tunnelled.
    pub(super) async fn register_by_udp(&self, limit: Duration) -> Result<Registration, Error> {
        let attempt = async {
            let wire = self.by_udp().await?;
            self.register_on(wire).await
        };
        timeout(limit, attempt).await.unwrap_or(Err(Error::TimedOut))
    }

    /// UDP first, and after its head start a tunnel beside it.
    async fn connect(&self) -> Result<Wire, Error> {
        let tunnelled = async {
            sleep(UDP_HEAD_START).await;
            self.by_tunnel().await
        };
        tokio::pin! {
            let by_udp = self.by_udp();
            let by_tunnel = tunnelled;
        }
        tokio::select! {
            wire = &mut by_udp => match wire {
                Err(error) if !error.is_lasting() => by_tunnel.await,
                wire => wire,
            },
            wire = &mut by_tunnel => match wire {
                Err(_) => by_udp.await,
                wire => wire,
            },
        }
    }

    /// The first of the server's addresses that answers, the next ones joining in bit by bit.
    async fn by_udp(&self) -> Result<Wire, Error> {
        let server = &self.config.server;
        let addresses = resolve::addresses(&server.host, server.port)
            .await
            .map_err(|error| unreachable(&error))?;
        let config = self.client_config()?;
        let attempts = addresses.into_iter().map(|address| {
            let (endpoint, config) = (self.endpoint.clone(), config.clone());
            let host = server.host.clone();
            // Packets leave as soon as it connects, which must wait for its turn.
            async move {
                let connecting = endpoint.connect_with(config, address, &host);
                let connecting = connecting.map_err(|error| unreachable(&error))?;
                connecting.await.map_err(|error| Error::of_handshake(&error))
            }
        });
        let connection = race(attempts)
            .await
            .map_err(|error| error.unwrap_or_else(|| unreachable(&"it has no address")))?;
        Ok(Wire { connection, tunnel: None })
    }

    /// Through a tunnel, which ends the connection when it ends.
    async fn by_tunnel(&self) -> Result<Wire, Error> {
        let config = self.client_config()?;
        let bound = self.endpoint.local_addr().map_err(|error| unreachable(&error))?;
        let (connected, connection) = oneshot::channel::<quinn::Connection>();
        let mut connection = connection;
        let ended = move || {
            if let Ok(connection) = connection.try_recv() {
                connection.close(CloseCode::Done.into(), b"");
            }
        };
        let tunnel = self.tunnels.open_once(Port::Rendezvous, bound, ended).await?;
        let connection = self
            .endpoint
            .connect_with(config, tunnel.address(), &self.config.server.host)
            .map_err(|error| unreachable(&error))?
            .await
            .map_err(|error| Error::of_handshake(&error))?;
        // If the tunnel has ended already, nobody is left to be told.
        let _ = connected.send(connection.clone());
        Ok(Wire { connection, tunnel: Some(tunnel) })
    }

    fn client_config(&self) -> Result<quinn::ClientConfig, Error> {
        let crypto = match self.crypto.get() {
            Some(crypto) => Arc::clone(crypto),
            None => {
                let crypto = trust::quic_config(self.config.server.pin).map_err(|error| {
                    debug!(%error, "no server can be trusted");
                    Error::ServerIdentity
                })?;
                Arc::clone(self.crypto.get_or_init(|| Arc::new(crypto)))
            }
        };
        let mut transport = TransportConfig::default();
        transport
            .keep_alive_interval(Some(random_between(KEEP_ALIVE.0, KEEP_ALIVE.1)))
            .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("fits in 62 bits")))
            .initial_rtt(INITIAL_RTT)
            .max_concurrent_bidi_streams(0_u8.into())
            .max_concurrent_uni_streams(0_u8.into())
            .datagram_receive_buffer_size(None)
            .mtu_discovery_config(None);
        let mut config = quinn::ClientConfig::new(crypto);
        config.transport_config(Arc::new(transport));
        Ok(config)
    }

    async fn register_on(&self, wire: Wire) -> Result<Registration, Error> {
        let Wire { connection, tunnel } = wire;
        let lost = |_| Error::of_end(connection.close_reason().as_ref());
        let (mut stream, receive) = connection.open_bi().await.map_err(lost)?;
        let mut exported = Exported::default();
        connection
            .export_keying_material(&mut exported, EXPORTER_LABEL, &[])
            .map_err(|_| Error::Protocol)?;
        let frame = ClientFrame::Register {
            name: self.config.name.clone(),
            certificate: Box::new(self.config.certificate.clone()),
            proof: Proof::sign(&self.config.device_key, &exported),
        };
        stream.write_all(&encode(&frame)).await.map_err(|_| Error::ConnectionLost)?;
        let mut reader = FrameReader::new(receive);
        let (relay_port, observed) = first_answer(&mut reader).await?;
        let server_addr = canonical(connection.remote_address());
        let by_udp = tunnel.is_none();
        let relay = match by_udp {
            true => Relay::Udp(SocketAddr::new(server_addr.ip(), relay_port)),
            false => Relay::Tunnel(self.tunnels.clone()),
        };
        Ok(Registration {
            server_addr: by_udp.then_some(server_addr),
            relay,
            observed: by_udp.then_some(observed),
            reader,
            connection,
            stream,
            _tunnel: tunnel,
        })
    }
}

fn unreachable(error: &dyn std::fmt::Display) -> Error {
    Error::Unreachable(error.to_string())
}

async fn first_answer(reader: &mut FrameReader<RecvStream>) -> Result<(u16, SocketAddr), Error> {
    loop {
        match reader.next().await {
            Ok(Some(ServerFrame::Registered { relay_port, observed })) => {
                return Ok((relay_port, observed));
            }
            Ok(Some(ServerFrame::Error { code, .. })) => return Err(Error::of_code(code)),
            Ok(Some(ServerFrame::Unknown)) => {}
            Ok(Some(_)) => return Err(Error::Protocol),
            Ok(None) | Err(_) => return Err(Error::ConnectionLost),
        }
    }
}

impl Registration {
    /// Sends one frame.
    pub(super) async fn send(&mut self, frame: &ClientFrame) -> Result<(), Error> {
        match timeout(WRITE_TIMEOUT, self.stream.write_all(&encode(frame))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::ConnectionLost),
        }
    }

    /// Whether the server is reached in TLS over TCP only.
    pub(super) fn is_tunnelled(&self) -> bool {
        matches!(self.relay, Relay::Tunnel(_))
    }

    /// QUIC's estimate.
    pub(super) fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    /// Why the connection is no more.
    pub(super) fn end(&self) -> Error {
        Error::of_end(self.connection.close_reason().as_ref())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connection.close(CloseCode::Done.into(), b"");
    }
}
