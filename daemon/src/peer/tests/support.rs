//! A server and its users.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use filefleet_server::{
    client::{self, Client},
    config::{Limits, Settings},
    protos::{
        address::ServerAddress,
        certificate::{DeviceCertificate, DeviceKey, IdentityKey},
    },
    server::Server,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use super::super::{
    Admission, Gate, IncomingStream, LinkKind, LinkView, PeerEvent, Peers, PeersConfig, Session,
};
use crate::transport::Congestion;

/// Longer than anything takes here unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("something hangs")
}

pub(crate) struct TestServer {
    settings: Settings,
    server: Option<Server>,
    _data: tempfile::TempDir,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut settings = Settings {
            listen: any,
            tcp: Vec::new(),
            relay: any,
            public_host: None,
            certificate: None,
            data_dir: data.path().to_owned(),
            limits: Limits::default(),
        };
        let server = Server::start(&settings).unwrap();
        // A restarted server comes back where it was.
        settings.listen.set_port(server.address().port);
        settings.relay = server.relay();
        Self { settings, server: Some(server), _data: data }
    }

    /// How clients name it, with its pin.
    pub(crate) fn address(&self) -> &ServerAddress {
        self.server.as_ref().unwrap().address()
    }

    /// Ends without a goodbye.
    pub(crate) fn kill(&mut self) {
        self.server = None;
    }

    pub(crate) async fn restart(&mut self) {
        self.kill();
        // The tasks that hold the ports end when they are next polled.
        let start = async {
            loop {
                match Server::start(&self.settings) {
                    Ok(server) => return server,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        self.server = Some(soon(start).await);
    }
}

/// Answers as the tests say, by name; everybody else is admitted.
#[derive(Default)]
pub(crate) struct TestGate(pub(crate) Mutex<HashMap<String, Admission>>);

impl Gate for TestGate {
    fn admit(&self, name: &super::super::Name, _identity: &IdentityKey) -> Admission {
        let answers = self.0.lock().unwrap();
        answers.get(name.as_str()).copied().unwrap_or(Admission::Admit)
    }
}

/// One user with a daemon's peers and a registration.
pub(crate) struct User {
    pub(crate) peers: Peers,
    pub(crate) identity: IdentityKey,
    pub(crate) device: DeviceKey,
    pub(crate) gate: Arc<TestGate>,
    pub(crate) client: Client,
    pub(crate) events: mpsc::Receiver<PeerEvent>,
    _tasks: JoinSet<()>,
}

/// A session as its user got it.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) session: Session,
    pub(crate) messages: mpsc::Receiver<Bytes>,
    pub(crate) streams: mpsc::Receiver<IncomingStream>,
}

/// The device key and certificate of a test's user.
pub(crate) fn keys(name: &str, seed: u8) -> (SigningKey, DeviceCertificate) {
    let device_key = SigningKey::from_bytes(&[seed; 32]);
    let identity_key = SigningKey::from_bytes(&[seed ^ 0xff; 32]);
    let device = DeviceKey::from_bytes(device_key.verifying_key().to_bytes());
    let certificate = DeviceCertificate::issue(&identity_key, device, name, 0, 1);
    (device_key, certificate)
}

impl User {
    /// `seed` makes the keys; the identity's is another one than the device's.
    pub(crate) async fn start(name: &str, seed: u8, server: &TestServer) -> Self {
        let (device_key, certificate) = keys(name, seed);
        Self::start_showing(name, device_key, certificate.clone(), certificate, server).await
    }

    /// Registers with one certificate and shows peers another.
    pub(crate) async fn start_showing(
        name: &str,
        device_key: SigningKey,
        registered: DeviceCertificate,
        shown: DeviceCertificate,
        server: &TestServer,
    ) -> Self {
        let gate = Arc::new(TestGate::default());
        let (events_in, events) = mpsc::channel(16);
        let config = PeersConfig {
            device_key: device_key.clone(),
            certificate: shown,
            listen: "[::]:0".parse().unwrap(),
            congestion: Congestion::default(),
            guess_ports: true,
            map_port: false,
        };
        let peers = Peers::start(config, gate.clone(), events_in).unwrap();
        let (client_events_in, client_events) = mpsc::channel(16);
        let (identity, device) = (registered.identity(), registered.device());
        let config = client::Config {
            server: server.address().clone(),
            name: name.parse().unwrap(),
            certificate: registered,
            device_key,
        };
        let client = Client::spawn(peers.endpoint(), config, client_events_in);
        peers.set_rendezvous(Some(client.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(forward(client_events, peers.clone()));
        soon(client.state().wait_for(|state| state.registered)).await.unwrap();
        Self { peers, identity, device, gate, client, events, _tasks: tasks }
    }

    pub(crate) async fn call(&self, name: &str) -> Session {
        soon(self.peers.session(&name.parse().unwrap(), None)).await.unwrap()
    }

    /// The next session; refusals that come first are not looked at.
    pub(crate) async fn got(&mut self) -> Got {
        loop {
            if let PeerEvent::Session { session, messages, streams } = self.event().await {
                return Got { session, messages, streams };
            }
        }
    }

    pub(crate) async fn event(&mut self) -> PeerEvent {
        soon(self.events.recv()).await.unwrap()
    }
}

async fn forward(mut events: mpsc::Receiver<client::Event>, peers: Peers) {
    while let Some(event) = events.recv().await {
        match event {
            client::Event::IncomingCall(call) => peers.incoming_call(call).await,
            client::Event::Refused { session, reason } => peers.refused(session, reason).await,
            client::Event::Revealed { session, observed } => {
                peers.revealed(session, observed).await;
            }
            client::Event::Presence { .. } | client::Event::StateChanged => {}
        }
    }
}

impl Got {
    pub(crate) async fn hear(&mut self) -> Bytes {
        soon(self.messages.recv()).await.unwrap()
    }

    /// Waits until the links are as wanted.
    pub(crate) async fn links(&self, wanted: impl FnMut(&[LinkView]) -> bool) -> Vec<LinkView> {
        links(&self.session, wanted).await
    }
}

pub(crate) async fn links(
    session: &Session,
    mut wanted: impl FnMut(&[LinkView]) -> bool,
) -> Vec<LinkView> {
    let mut links: watch::Receiver<_> = session.links();
    soon(links.wait_for(|links| wanted(links))).await.unwrap().clone()
}

pub(crate) fn kinds(links: &[LinkView]) -> Vec<LinkKind> {
    links.iter().map(|link| link.kind).collect()
}
