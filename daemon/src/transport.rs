//! QUIC between two daemons: endpoint and transport settings, TLS by raw public keys, and the path
//! through a relay session. This module knows nothing of sessions, candidates or transfers.

pub mod batched;
pub mod bind;
pub mod mtu;
pub mod relayed;
pub mod scattered;
pub mod tls;

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use ed25519_dalek::SigningKey;
use quinn::{
    AckFrequencyConfig, Connection, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    TransportConfig, VarInt, congestion::ControllerFactory,
};

use crate::congestion::ModelConfig;

/// The application protocol of links between two daemons.
pub const ALPN: &[u8] = b"filefleet-peer/1";

/// Makes the congestion controller of every link.
#[derive(Clone)]
pub struct Congestion(Arc<dyn ControllerFactory + Send + Sync>);

impl Congestion {
    /// Uses this factory.
    pub fn new(factory: impl ControllerFactory + Send + Sync + 'static) -> Self {
        Self(Arc::new(factory))
    }
}

impl Default for Congestion {
    fn default() -> Self {
        Self::new(ModelConfig)
    }
}

impl fmt::Debug for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Congestion").finish_non_exhaustive()
    }
}

/// Keeps the NAT mapping of a live link and notices its death; RFC 4787 homes flush after 30 s.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Three keep-alives lost in a row. Nothing is sent any longer to who answers nothing, which is
/// sooner than consent ends where there is no QUIC (RFC 7675, section 5.1: 30 s).
const MAX_IDLE_MS: u32 = 15_000;
/// The first probe time-out is three times this. The first packet of a relayed link is lost when
/// the other side has not bound yet, and quinn's default would then cost a whole second.
const INITIAL_RTT: Duration = Duration::from_millis(30);
/// A block is at most 1 MiB, so that one stream is never held back by its own window.
const STREAM_WINDOW: u32 = 2 << 20;
const DIRECT_WINDOW: u32 = 16 << 20;
const RELAYED_WINDOW: u32 = 8 << 20;
const SEND_WINDOW: u64 = 16 << 20;
/// What may wait in a connection beyond what is in flight: a block.
const LEAST_SEND_WINDOW: u64 = 1 << 20;
/// Losses keep what was sent after them; they are made good in a round trip or two.
const SEND_WINDOW_GAIN: u64 = 4;
/// Block streams in flight (`design.md`, standing invariant 6).
pub const MAX_STREAMS: u32 = 32;
/// Ack-eliciting packets per acknowledgement that we ask of the peer: at gigabit rates quinn's
/// default of one in two costs both ends a fifth of their time.
const ACK_THRESHOLD: u32 = 10;

/// Which kind of path a connection will run over, as far as its settings care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// The main socket, to somewhere whose route takes so large payloads ([`mtu`]).
    Direct {
        /// Bytes.
        largest_payload: u16,
    },
    /// A relay session's socket.
    Relayed,
    /// A scattered socket.
    Scattered,
}

/// The settings of every connection to a peer.
pub fn transport_config(path: Path, congestion: Congestion) -> Arc<TransportConfig> {
    let window = match path {
        Path::Direct { .. } | Path::Scattered => DIRECT_WINDOW,
        Path::Relayed => RELAYED_WINDOW,
    };
    let largest_payload = match path {
        Path::Direct { largest_payload } => largest_payload,
        Path::Scattered | Path::Relayed => mtu::USUAL,
    };
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(largest_payload);
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_THRESHOLD));
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(MAX_IDLE_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(INITIAL_RTT)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(window))
        .send_window(SEND_WINDOW)
        // Streams have priorities of their own: what began first goes first, also when it is sent
        // again. Without this whatever stream is being sent is ended before, a whole block.
        .send_fairness(true)
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .datagram_receive_buffer_size(None)
        .ack_frequency_config(Some(acks))
        .mtu_discovery_config(Some(discovery))
        .congestion_controller_factory(congestion.0);
    Arc::new(config)
}

/// Lets no more wait in a connection than it will send soon: what it has taken no better one can take
/// over. To be called from time to time, for the congestion window changes.
pub fn fit_send_window(connection: &Connection) {
    let in_flight = connection.stats().path.cwnd;
    let window = LEAST_SEND_WINDOW.saturating_add(in_flight.saturating_mul(SEND_WINDOW_GAIN));
    connection.set_send_window(window.min(SEND_WINDOW));
}

/// The settings of every endpoint. The reset key follows from the device key.
pub fn endpoint_config(device_key: &SigningKey) -> EndpointConfig {
    let device_key = hmac::Key::new(hmac::HMAC_SHA256, device_key.as_bytes());
    let reset_key = hmac::sign(&device_key, b"filefleet/1 stateless reset");
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, reset_key.as_ref());
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    // The first byte must tell QUIC from STUN and relay frames (RFC 9443).
    config.grease_quic_bit(false);
    config.max_udp_payload_size(mtu::MOST).expect("it is more than the least");
    config
}
