//! Servers, peers and bare connections for the tests.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use filefleet_server::{
    client::{Call, Client, Config, Event, Relay, State},
    config::{Options, Settings},
    protos::{
        address::ServerAddress,
        certificate::DeviceCertificate,
        name::Name,
        rendezvous::{ALPN, EXPORTER_LABEL, Exported, FrameReader, ServerFrame},
        stun::{self, StunMessage},
        tls::crypto_provider,
    },
    server::Server,
    udp::{Datagram, DemuxSocket, OtherDatagram, bind_udp, wrap},
};
use quinn::{Endpoint, EndpointConfig, TokioRuntime, crypto::rustls::QuicClientConfig, rustls};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// What happens on loopback happens in this time, or the test fails.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// What has not happened on loopback in this time does not.
pub(crate) const LONG_ENOUGH: Duration = Duration::from_millis(300);

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Where a call's relay is, for a client that UDP reaches.
pub(crate) fn relay_of(call: &Call) -> SocketAddr {
    match call.relay {
        Relay::Udp(address) => address,
        Relay::Tunnel(_) => panic!("{call:?}"),
    }
}

/// Settings of a server on loopback, without tunnels, with its data in `dir`.
pub(crate) fn settings(dir: &Path, port: u16) -> Settings {
    let options = Options {
        listen: Some(local(port)),
        relay: Some(local(0)),
        data_dir: Some(dir.to_owned()),
        ..Options::default()
    };
    Settings { tcp: Vec::new(), ..Settings::load(options).unwrap() }
}

pub(crate) fn start(dir: &Path) -> Server {
    Server::start(&settings(dir, 0)).unwrap()
}

/// The identity and device of a person, the same for the same seed.
pub(crate) struct Person {
    pub(crate) certificate: DeviceCertificate,
    pub(crate) device_key: SigningKey,
}

pub(crate) fn person(seed: u8) -> Person {
    let device_key = SigningKey::from_bytes(&[seed + 100; 32]);
    let device = device_key.verifying_key().into();
    let identity = SigningKey::from_bytes(&[seed; 32]);
    let certificate = DeviceCertificate::issue(&identity, device, "device", 1, 0);
    Person { certificate, device_key }
}

/// A client on an endpoint as the daemon makes it: restart beacons find their way to it.
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) person: Person,
    events: mpsc::Receiver<Event>,
    _beacons: Option<AbortOnDropHandle<()>>,
}

impl Peer {
    pub(crate) fn new(server: &ServerAddress, text: &str, seed: u8) -> Self {
        let (mut peer, others) = Self::without_beacons(server, text, seed);
        let beacons = tokio::spawn(forward_beacons(others, peer.client.clone()));
        peer._beacons = Some(AbortOnDropHandle::new(beacons));
        peer
    }

    /// One to which restart beacons do not find their way, and what comes in that is not QUIC.
    pub(crate) fn without_beacons(
        server: &ServerAddress,
        text: &str,
        seed: u8,
    ) -> (Self, mpsc::Receiver<OtherDatagram>) {
        let (socket, others) = DemuxSocket::new(bind_udp(local(0)).unwrap(), 16).unwrap();
        let mut config = EndpointConfig::default();
        config.grease_quic_bit(false);
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new_with_abstract_socket(config, None, socket, runtime).unwrap();
        let person = person(seed);
        let config = Config {
            server: server.clone(),
            name: name(text),
            certificate: person.certificate.clone(),
            device_key: person.device_key.clone(),
        };
        let (sender, events) = mpsc::channel(64);
        let client = Client::spawn(endpoint, config, sender);
        (Self { client, person, events, _beacons: None }, others)
    }

    /// One that is registered.
    pub(crate) async fn registered(server: &ServerAddress, text: &str, seed: u8) -> Self {
        let peer = Self::new(server, text, seed);
        peer.reaches(|state| state.registered).await;
        peer
    }

    /// Waits until the state is like this.
    pub(crate) async fn reaches(&self, condition: impl FnMut(&State) -> bool) -> State {
        let mut state = self.client.state();
        let reached = timeout(SOON, state.wait_for(condition)).await;
        match reached {
            Ok(state) => state.unwrap().clone(),
            Err(_) => panic!("the state stays {:?}", self.client.state().borrow()),
        }
    }

    /// The next event that is not only about the state.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            match timeout(SOON, self.events.recv()).await.unwrap().unwrap() {
                Event::StateChanged => {}
                event => return event,
            }
        }
    }

    pub(crate) async fn incoming_call(&mut self) -> Call {
        match self.event().await {
            Event::IncomingCall(call) => call,
            other => panic!("{other:?}"),
        }
    }
}

async fn forward_beacons(mut others: mpsc::Receiver<OtherDatagram>, client: Client) {
    while let Some(datagram) = others.recv().await {
        let server = client.state().borrow().server_addr;
        if datagram.kind == Datagram::Stun
            && Some(datagram.source) == server
            && stun::decode(&datagram.payload, None) == Ok(StunMessage::Indication)
        {
            client.check_alive();
        }
    }
}

/// A connection with nothing said on it yet.
pub(crate) struct Bare {
    pub(crate) connection: quinn::Connection,
    pub(crate) send: quinn::SendStream,
    pub(crate) reader: FrameReader<quinn::RecvStream>,
    _endpoint: Endpoint,
}

/// A client of no protocol of ours.
pub(crate) fn bare_endpoint() -> Endpoint {
    let socket = wrap(bind_udp(local(0)).unwrap()).unwrap();
    let (config, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
    Endpoint::new_with_abstract_socket(config, None, socket, runtime).unwrap()
}

impl Bare {
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        let endpoint = bare_endpoint();
        let connecting = endpoint.connect_with(trusting_config(), server, "server").unwrap();
        let connection = timeout(SOON, connecting).await.unwrap().unwrap();
        let (send, receive) = connection.open_bi().await.unwrap();
        Self { connection, send, reader: FrameReader::new(receive), _endpoint: endpoint }
    }

    pub(crate) fn exported(&self) -> Exported {
        let mut exported = Exported::default();
        self.connection.export_keying_material(&mut exported, EXPORTER_LABEL, &[]).unwrap();
        exported
    }

    pub(crate) async fn next(&mut self) -> Option<ServerFrame> {
        timeout(SOON, self.reader.next()).await.unwrap().unwrap()
    }

    /// The code with which the server closes the connection.
    pub(crate) async fn close_code(&self) -> quinn::VarInt {
        match timeout(SOON, self.connection.closed()).await.unwrap() {
            quinn::ConnectionError::ApplicationClosed(close) => close.error_code,
            other => panic!("{other:?}"),
        }
    }
}

/// A TLS client that believes every server: strangers need not know whom they attack.
pub(crate) fn trusting_config() -> quinn::ClientConfig {
    let mut config = rustls::ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustsAnybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
}

#[derive(Debug)]
struct TrustsAnybody;

impl ServerCertVerifier for TrustsAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto_provider().signature_verification_algorithms.supported_schemes()
    }
}
