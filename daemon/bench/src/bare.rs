//! Bare quinn from memory to memory: what the transport itself can do, without files, hashes or a
//! protocol. One connection, AES-128-GCM, a unidirectional stream for each MiB; the receiver throws
//! away what it gets and closes the connection when it has everything.
//!
//! It also serves to try a congestion controller over a [WAN link](crate::wan).

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{
    AckFrequencyConfig, ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
    congestion::ControllerFactory,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio::task::JoinSet;

/// One block of a stream, as FileFleet has them.
const BLOCK: u64 = 1 << 20;
/// Streams at a time.
const STREAMS: u32 = 32;
/// More than any path here has in flight.
const WINDOW: u32 = 32 << 20;
/// Asked of the kernel for each direction, as FileFleet does.
const SOCKET_BUFFER: usize = 8 << 20;
const SERVER_NAME: &str = "bench";
/// How often the smoothed round trip is noted.
const SAMPLING: Duration = Duration::from_millis(20);
/// A path on which nothing comes for so long is dead.
const MAX_IDLE_MS: u32 = 10_000;

/// Makes congestion controllers.
pub type Congestion = Arc<dyn ControllerFactory + Send + Sync>;

/// Why bytes did not get across.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No socket.
    #[error("cannot bind {0}")]
    Bind(SocketAddr, #[source] io::Error),
    /// No key or certificate.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// TLS could not be set up.
    #[error("cannot set TLS up")]
    Tls(#[from] rustls::Error),
    /// The connection could not be begun.
    #[error("cannot connect")]
    Connect(#[from] quinn::ConnectError),
    /// The connection broke.
    #[error("the connection broke")]
    Connection(#[from] quinn::ConnectionError),
    /// A stream broke.
    #[error("a stream broke")]
    Write(#[from] quinn::WriteError),
    /// A stream broke.
    #[error("a stream broke")]
    Read(#[from] quinn::ReadError),
    /// The endpoint was closed before anybody connected.
    #[error("nobody connected")]
    Nobody,
}

/// The end that takes bytes, at an address of its own.
#[derive(Debug)]
pub struct Receiver {
    endpoint: Endpoint,
    certificate: CertificateDer<'static>,
}

impl Receiver {
    /// Binds a socket. Must be called on a tokio runtime; the network namespace is the thread's.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())?;
        let quic = QuicServerConfig::try_from(tls).map_err(no_suite)?;
        let mut server = ServerConfig::with_crypto(Arc::new(quic));
        server.transport_config(Arc::new(transport()));
        Ok(Self { endpoint: endpoint(address, Some(server))?, certificate })
    }

    /// What [`send`] needs to know it by.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Takes everything from one sender; how many bytes that was.
    pub async fn receive(&self) -> Result<u64, Error> {
        let connection = self.endpoint.accept().await.ok_or(Error::Nobody)?.await?;
        let mut length = connection.accept_uni().await?;
        let mut expected = [0; 8];
        if length.read_exact(&mut expected).await.is_err() {
            return Err(Error::Nobody);
        }
        let expected = u64::from_be_bytes(expected);
        let mut blocks = JoinSet::new();
        let mut received = 0;
        while received < expected {
            tokio::select! {
                stream = connection.accept_uni() => { blocks.spawn(drain(stream?)); }
                Some(Ok(length)) = blocks.join_next() => received += length?,
            }
        }
        connection.close(VarInt::from_u32(0), b"");
        self.endpoint.wait_idle().await;
        Ok(received)
    }
}

/// Reads a stream to its end, in whatever order; how much that was.
async fn drain(mut stream: quinn::RecvStream) -> Result<u64, Error> {
    let mut length = 0;
    while let Some(chunk) = stream.read_chunk(usize::MAX, false).await? {
        length += u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
    }
    Ok(length)
}

/// What was seen of a transfer by its sender.
#[derive(Debug, Clone)]
pub struct Sent {
    /// From the first packet of the handshake to the receiver's word that it has everything.
    pub elapsed: Duration,
    /// quinn's own figures, at the end.
    pub stats: quinn::ConnectionStats,
    /// The smoothed round trip, in steps of 20 ms.
    pub rtts: Vec<Duration>,
}

/// Sends so many zeros. Must be called on a tokio runtime; the network namespace is the thread's.
pub async fn send(
    to: SocketAddr,
    certificate: &[u8],
    bytes: u64,
    congestion: Congestion,
) -> Result<Sent, Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(certificate.to_vec()))?;
    let tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client =
        ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).map_err(no_suite)?));
    let mut transport = transport();
    transport.congestion_controller_factory(congestion);
    client.transport_config(Arc::new(transport));
    let any = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let endpoint = endpoint(any, None)?;

    let start = Instant::now();
    let connection = endpoint.connect_with(client, to, SERVER_NAME)?.await?;
    let sampler = tokio::spawn(sample(connection.clone()));
    let written = write(&connection, bytes).await;
    // The receiver closes when it has everything, which may end the last stream early.
    if let (Err(error), None) = (written, connection.close_reason()) {
        return Err(error);
    }
    match connection.closed().await {
        quinn::ConnectionError::ApplicationClosed(_) => {}
        error => return Err(error.into()),
    }
    let elapsed = start.elapsed();
    let stats = connection.stats();
    let rtts = sampler.await.unwrap_or_default();
    endpoint.wait_idle().await;
    Ok(Sent { elapsed, stats, rtts })
}

/// Says how much will come, and sends it block by block; the streams are finished in the background.
async fn write(connection: &Connection, bytes: u64) -> Result<(), Error> {
    let mut length = connection.open_uni().await?;
    length.write_all(&bytes.to_be_bytes()).await?;
    let zeros = bytes::Bytes::from(vec![0; usize::try_from(BLOCK).unwrap_or(usize::MAX)]);
    let mut left = bytes;
    while left > 0 {
        let block = left.min(BLOCK);
        let mut stream = connection.open_uni().await?;
        let zeros = zeros.slice(..usize::try_from(block).unwrap_or(zeros.len()));
        stream.write_chunk(zeros).await?;
        left -= block;
    }
    Ok(())
}

/// Notes the smoothed round trip until the connection is closed.
async fn sample(connection: Connection) -> Vec<Duration> {
    let mut rtts = Vec::new();
    let mut ticks = tokio::time::interval(SAMPLING);
    loop {
        tokio::select! {
            biased;
            _ = connection.closed() => return rtts,
            _ = ticks.tick() => rtts.push(connection.rtt()),
        }
    }
}

/// AES-128-GCM only, as FileFleet prefers where the processor has it.
fn provider() -> Arc<CryptoProvider> {
    let suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(CryptoProvider { cipher_suites: suites, ..aws_lc_rs::default_provider() })
}

fn no_suite(_: quinn::crypto::rustls::NoInitialCipherSuite) -> Error {
    Error::Tls(rustls::Error::General("no cipher suite for QUIC".into()))
}

fn transport() -> TransportConfig {
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(10));
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(VarInt::from_u32(MAX_IDLE_MS).into()))
        .stream_receive_window(VarInt::from_u32(2 << 20))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        .send_fairness(false)
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        .ack_frequency_config(Some(acks));
    config
}

fn endpoint(address: SocketAddr, server: Option<ServerConfig>) -> Result<Endpoint, Error> {
    let bind = || {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        socket.bind(&address.into())?;
        Endpoint::new(EndpointConfig::default(), server, socket.into(), Arc::new(TokioRuntime))
    };
    bind().map_err(|source| Error::Bind(address, source))
}
