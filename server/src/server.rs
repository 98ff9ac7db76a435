//! The server: who is where, and a relay for those who cannot reach each other.
//!
//! Two UDP ports. The main one speaks QUIC to registered clients and answers STUN; the other is
//! the relay's. TCP ports take `tunnels` to both, for clients that no UDP reaches. Each is served by
//! tasks that end with [`Server::shutdown`]; what must outlive the process is in the `store` and
//! three `files`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use quinn::{
    Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig,
    crypto::rustls::QuicServerConfig,
};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::version::TLS13;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    config::{Limits, Settings},
    protos::{
        address::ServerAddress,
        certificate::IdentityKey,
        hex,
        name::Name,
        rendezvous::{ALPN, CloseCode},
        tls::crypto_provider,
    },
    udp::{Datagram, DemuxSocket, OtherDatagram, bind_udp},
};

mod accept;
mod beacon;
mod calls;
mod files;
mod limits;
mod probe;
mod registry;
mod relay;
mod session;
mod signal;
mod store;
mod stun;
mod supervisor;
mod tunnels;

pub use files::KeyError;
pub use signal::stop_signal;
pub use store::StoreError;
pub use supervisor::tell_ready;

use files::{Certificate, ResetKeys};
use limits::{AddressLimiter, SWEEP_INTERVAL};
use registry::Registry;
use relay::{Relay, RelayHandle};
use store::Store;
use tunnels::{Origins, Tunnels};

/// STUN requests waiting on the main port; more are dropped.
const STUN_CAPACITY: usize = 256;
/// Two of the clients' keep-alives lost in a row, and a little.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Less than quinn's 20 ms: after a restart every client is to be reset, and resets are no larger than
/// what draws them.
const RESET_INTERVAL: Duration = Duration::from_millis(1);
/// Flow-control window of a client's stream: a few of the longest frames.
const RECEIVE_WINDOW: u32 = 256 * 1024;
/// What may lie unacknowledged in a client's send buffer.
const SEND_WINDOW: u64 = 256 * 1024;
/// Handshakes whose first packets wait for the accepting task, and how much they may say.
const MAX_INCOMING: usize = 1024;
const INCOMING_BUFFER: u64 = 16 * 1024;
const INCOMING_BUFFER_TOTAL: u64 = 4 * 1024 * 1024;
/// How long goodbyes may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its keys cannot be read or made.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Its names cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its certificate and key do not fit TLS.
    #[error("cannot use the certificate")]
    Tls(#[from] rustls::Error),
    /// A port is taken, or an address is not of this machine.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
}

/// What the connections share.
#[derive(Debug)]
struct Services {
    registry: Registry,
    store: Store,
    relay: RelayHandle,
    relay_port: u16,
    limits: Limits,
    origins: Origins,
    connections: AddressLimiter,
    claims: AddressLimiter,
    started: Instant,
    stop: CancellationToken,
}

/// A running server. Dropped, it stops without a goodbye.
#[derive(Debug)]
pub struct Server {
    address: ServerAddress,
    relay: SocketAddr,
    endpoint: Endpoint,
    services: Arc<Services>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Binds both ports and serves. Must be called inside a tokio runtime.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let certificate = files::certificate(settings)?;
        let keys = files::reset_keys(&settings.data_dir)?;
        let (store, addresses) = Store::open(&settings.data_dir, settings.limits.names)?;
        let (endpoint, socket, others) = bind_main(settings, &certificate, &keys)?;
        let address = public_address(settings, &certificate, &endpoint)?;
        let relay_socket = bind_udp(settings.relay).map_err(listen_error(settings.relay))?;
        let relay_address = relay_socket.local_addr().map_err(listen_error(settings.relay))?;
        let origins = Origins::default();
        let (relay, handle) = Relay::new(relay_socket, settings.limits, origins.clone())
            .map_err(listen_error(settings.relay))?;
        let main_address = endpoint.local_addr().map_err(listen_error(settings.listen))?;
        let ports = tunnels::Ports { rendezvous: main_address, relay: relay_address };
        let services = Arc::new(Services {
            registry: Registry::default(),
            store,
            relay: handle,
            relay_port: relay_address.port(),
            limits: settings.limits,
            origins,
            connections: AddressLimiter::per_second(settings.limits.connections_per_address),
            claims: AddressLimiter::per_minute(settings.limits.claims_per_address),
            started: Instant::now(),
            stop: CancellationToken::new(),
        });
        let tls = Arc::new(tunnels::tls_config(&certificate)?);
        let mut tasks = JoinSet::new();
        for address in &settings.tcp {
            // Port 0 is any free port, and the main one's number is as good as any.
            let port = if address.port() == 0 { main_address.port() } else { address.port() };
            let address = SocketAddr::new(address.ip(), port);
            let tunnels = Tunnels::bind(address, ports, tls.clone(), services.clone())
                .map_err(listen_error(address))?;
            tasks.spawn(tunnels.run());
        }
        tasks.spawn(accept::run(endpoint.clone(), Arc::clone(&services)));
        tasks.spawn(relay.run(services.stop.clone()));
        tasks.spawn(answer_stun(Arc::downgrade(&socket), others, services.clone()));
        tasks.spawn(call_back(socket, addresses, services.stop.clone()));
        tasks.spawn(sweep(Arc::clone(&services)));
        Ok(Self { address, relay: relay_address, endpoint, services, tasks })
    }

    /// What people are told: where the server is, and its pin.
    pub const fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Where the relay listens.
    pub const fn relay(&self) -> SocketAddr {
        self.relay
    }

    /// Says goodbye to every client, and returns when everything is stored and the ports are free.
    pub async fn shutdown(mut self) {
        self.services.stop.cancel();
        self.endpoint.close(CloseCode::ShuttingDown.into(), b"");
        // Who has not acknowledged the goodbye by then is not there to hear it.
        let _ = timeout(DRAIN_TIMEOUT, self.endpoint.wait_idle()).await;
        drop(self.endpoint);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(DRAIN_TIMEOUT, ended).await.is_err() {
            error!("some tasks did not end in time");
            self.tasks.shutdown().await;
        }
        if let Some(services) = Arc::into_inner(self.services) {
            services.store.close();
        }
    }
}

/// The fingerprint that clients pin, of a server that may or may not run.
pub fn fingerprint(settings: &Settings) -> Result<String, KeyError> {
    files::certificate(settings).map(|certificate| hex::encode(&certificate.pin))
}

/// Every claimed name with its holder.
pub fn names(data_dir: &Path) -> Result<Vec<(String, IdentityKey)>, StoreError> {
    store::list(data_dir)
}

/// Lets anybody claim a name again; whether anybody had it.
pub fn remove_name(data_dir: &Path, name: &Name) -> Result<bool, StoreError> {
    store::remove(data_dir, name)
}

fn listen_error(address: SocketAddr) -> impl Fn(io::Error) -> StartError {
    move |error| StartError::Listen(address, error)
}

fn bind_main(
    settings: &Settings,
    certificate: &Certificate,
    keys: &ResetKeys,
) -> Result<(Endpoint, Arc<DemuxSocket>, mpsc::Receiver<OtherDatagram>), StartError> {
    let server_config = server_config(certificate)?;
    let bind = || {
        let socket = bind_udp(settings.listen)?;
        let (socket, others) = DemuxSocket::new(socket, STUN_CAPACITY)?;
        let endpoint = Endpoint::new_with_abstract_socket(
            endpoint_config(keys),
            Some(server_config),
            Arc::<DemuxSocket>::clone(&socket),
            Arc::new(TokioRuntime),
        )?;
        Ok((endpoint, socket, others))
    };
    bind().map_err(listen_error(settings.listen))
}

fn endpoint_config(keys: &ResetKeys) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &keys.reset)));
    let connection_id_key = keys.connection_id;
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(connection_id_key)))
        .min_reset_interval(RESET_INTERVAL)
        // Datagrams are told apart by the bit that greasing would change.
        .grease_quic_bit(false);
    config
}

fn server_config(certificate: &Certificate) -> Result<ServerConfig, rustls::Error> {
    let mut tls = rustls::ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // Nothing is ever resumed: the proof of a registration is made anew each time.
    tls.send_tls13_tickets = 0;
    let crypto = QuicServerConfig::try_from(tls).expect("the provider has AES-128-GCM");
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("fits in 62 bits")))
        .max_concurrent_bidi_streams(1_u8.into())
        .max_concurrent_uni_streams(0_u8.into())
        .stream_receive_window(RECEIVE_WINDOW.into())
        .receive_window(RECEIVE_WINDOW.into())
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(None);
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL);
    Ok(config)
}

fn public_address(
    settings: &Settings,
    certificate: &Certificate,
    endpoint: &Endpoint,
) -> Result<ServerAddress, StartError> {
    let local = endpoint.local_addr().map_err(listen_error(settings.listen))?;
    let ip = match local.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let host = settings.public_host.clone().unwrap_or_else(|| ip.to_string());
    Ok(ServerAddress { host, port: local.port(), pin: Some(certificate.pin) })
}

/// Answers STUN requests as long as there is the socket, which goes with the endpoint.
async fn answer_stun(
    socket: Weak<DemuxSocket>,
    mut others: mpsc::Receiver<OtherDatagram>,
    services: Arc<Services>,
) {
    let limiter = AddressLimiter::per_second(services.limits.datagrams_per_address);
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            biased;
            _ = sweep.tick() => limiter.sweep(),
            other = others.recv() => {
                let (Some(other), Some(socket)) = (other, socket.upgrade()) else { return };
                let OtherDatagram { source, local_ip, kind, payload } = other;
                if kind == Datagram::Stun
                    && limiter.admits(services.origins.of(source))
                    && let Some(answer) = stun::answer(&payload, source)
                {
                    socket.send_to(&answer, source, local_ip);
                }
            }
        }
    }
}

async fn call_back(socket: Arc<DemuxSocket>, addresses: Vec<SocketAddr>, stop: CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = beacon::run(&socket, addresses) => {}
    }
}

async fn sweep(services: Arc<Services>) {
    let mut tick = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            biased;
            () = services.stop.cancelled() => return,
            _ = tick.tick() => {
                services.connections.sweep();
                services.claims.sweep();
            }
        }
    }
}
