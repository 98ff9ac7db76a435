//! One connection to the server, from finding its address to being registered.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use quinn::{RecvStream, SendStream, TransportConfig, crypto::rustls::QuicClientConfig};
use tokio::{
    net::lookup_host,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{Config, Error, backoff::random_between, trust};
use crate::{
    protos::rendezvous::{
        ClientFrame, CloseCode, EXPORTER_LABEL, Exported, FrameReader, Proof, ServerFrame, encode,
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
/// Head start of one address of the server over the next (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// How many addresses of the server are tried.
const MAX_ADDRESSES: usize = 8;
/// How long the server may leave a frame lying in our send buffer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes connections to one server.
pub(super) struct Connector {
    endpoint: quinn::Endpoint,
    config: Config,
    crypto: OnceLock<Arc<QuicClientConfig>>,
}

/// A registration that holds as long as this does.
pub(super) struct Registration {
    pub(super) server_addr: SocketAddr,
    pub(super) relay_addr: SocketAddr,
    pub(super) observed: SocketAddr,
    pub(super) reader: FrameReader<RecvStream>,
    connection: quinn::Connection,
    stream: SendStream,
}

impl Connector {
    pub(super) fn new(endpoint: quinn::Endpoint, config: Config) -> Self {
        Self { endpoint, config, crypto: OnceLock::new() }
    }

    /// Connects and registers; dropping the future gives the attempt up.
    pub(super) async fn register(&self, limit: Duration) -> Result<Registration, Error> {
        let attempt = async {
            let connection = self.connect().await?;
            self.register_on(connection).await
        };
        timeout(limit, attempt).await.unwrap_or(Err(Error::TimedOut))
    }

    /// The first of the server's addresses that answers, the next ones joining in bit by bit.
    async fn connect(&self) -> Result<quinn::Connection, Error> {
        let server = &self.config.server;
        let unreachable = |error: &dyn std::fmt::Display| Error::Unreachable(error.to_string());
        let addresses = lookup_host((server.host.as_str(), server.port))
            .await
            .map_err(|error| unreachable(&error))?;
        let config = self.client_config().map_err(|error| unreachable(&error))?;
        let mut addresses = addresses.take(MAX_ADDRESSES);
        let mut attempts = JoinSet::new();
        let mut next_start = Instant::now();
        let mut next = addresses.next();
        let mut failure = Error::Unreachable("it has no address".to_owned());
        loop {
            tokio::select! {
                biased;
                Some(result) = attempts.join_next() => match result {
                    Ok(Ok(connection)) => return Ok(connection),
                    Ok(Err(error)) => {
                        failure = Error::of_handshake(&error);
                        next_start = Instant::now();
                    }
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                },
                () = sleep_until(next_start), if next.is_some() => {
                    if let Some(address) = next.take() {
                        match self.endpoint.connect_with(config.clone(), address, &server.host) {
                            Ok(connecting) => drop(attempts.spawn(connecting)),
                            Err(error) => failure = unreachable(&error),
                        }
                    }
                    next = addresses.next();
                    next_start = Instant::now() + STAGGER;
                }
                else => return Err(failure),
            }
        }
    }

    fn client_config(&self) -> Result<quinn::ClientConfig, rustls::Error> {
        let crypto = match self.crypto.get() {
            Some(crypto) => Arc::clone(crypto),
            None => {
                let crypto = Arc::new(trust::client_config(self.config.server.pin)?);
                Arc::clone(self.crypto.get_or_init(|| crypto))
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

    async fn register_on(&self, connection: quinn::Connection) -> Result<Registration, Error> {
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
        Ok(Registration {
            server_addr,
            relay_addr: SocketAddr::new(server_addr.ip(), relay_port),
            observed,
            reader,
            connection,
            stream,
        })
    }
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
