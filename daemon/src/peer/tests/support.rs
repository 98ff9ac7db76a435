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
    protos::certificate::{DeviceCertificate, DeviceKey, IdentityKey},
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
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("something hangs")
}

pub(super) struct TestServer {
    settings: Settings,
    server: Option<Server>,
    _data: tempfile::TempDir,
}

impl TestServer {
    pub(super) fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut settings = Settings {
            listen: any,
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

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Ends without a goodbye.
    pub(super) fn kill(&mut self) {
        self.server = None;
    }

    pub(super) async fn restart(&mut self) {
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
pub(super) struct TestGate(pub(super) Mutex<HashMap<String, Admission>>);

impl Gate for TestGate {
    fn admit(&self, name: &super::super::Name, _identity: &IdentityKey) -> Admission {
        let answers = self.0.lock().unwrap();
        answers.get(name.as_str()).copied().unwrap_or(Admission::Admit)
    }
}

/// One user with a daemon's peers and a registration.
pub(super) struct User {
    pub(super) peers: Peers,
    pub(super) identity: IdentityKey,
    pub(super) device: DeviceKey,
    pub(super) gate: Arc<TestGate>,
    /// Registered as long as it is held.
    _client: Client,
    pub(super) events: mpsc::Receiver<PeerEvent>,
    _tasks: JoinSet<()>,
}

/// A session as its user got it.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) session: Session,
    pub(super) messages: mpsc::Receiver<Bytes>,
    pub(super) streams: mpsc::Receiver<IncomingStream>,
}

impl User {
    /// `seed` makes the keys; the identity's is another one than the device's.
    pub(super) async fn start(name: &str, seed: u8, server: &TestServer) -> Self {
        let device_key = SigningKey::from_bytes(&[seed; 32]);
        let identity_key = SigningKey::from_bytes(&[seed ^ 0xff; 32]);
        let device = DeviceKey::from_bytes(device_key.verifying_key().to_bytes());
        let certificate = DeviceCertificate::issue(&identity_key, device, name, 0, 1);
        let gate = Arc::new(TestGate::default());
        let (events_in, events) = mpsc::channel(16);
        let config = PeersConfig {
            device_key: device_key.clone(),
            certificate: certificate.clone(),
            listen: "[::]:0".parse().unwrap(),
            congestion: Congestion::default(),
        };
        let peers = Peers::start(config, gate.clone(), events_in).unwrap();
        let (client_events_in, client_events) = mpsc::channel(16);
        let config = client::Config {
            server: server.server().address().clone(),
            name: name.parse().unwrap(),
            certificate: certificate.clone(),
            device_key,
        };
        let client = Client::spawn(peers.endpoint(), config, client_events_in);
        peers.set_rendezvous(Some(client.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(forward(client_events, peers.clone()));
        soon(client.state().wait_for(|state| state.registered)).await.unwrap();
        let identity = certificate.identity();
        Self { peers, identity, device, gate, _client: client, events, _tasks: tasks }
    }

    pub(super) async fn call(&self, name: &str) -> Session {
        soon(self.peers.session(&name.parse().unwrap(), None)).await.unwrap()
    }

    /// The next session; refusals that come first are not looked at.
    pub(super) async fn got(&mut self) -> Got {
        loop {
            if let PeerEvent::Session { session, messages, streams } = self.event().await {
                return Got { session, messages, streams };
            }
        }
    }

    pub(super) async fn event(&mut self) -> PeerEvent {
        soon(self.events.recv()).await.unwrap()
    }
}

async fn forward(mut events: mpsc::Receiver<client::Event>, peers: Peers) {
    while let Some(event) = events.recv().await {
        match event {
            client::Event::IncomingCall(call) => peers.incoming_call(call).await,
            client::Event::Refused { session, reason } => peers.refused(session, reason).await,
            client::Event::Presence { .. } | client::Event::StateChanged => {}
        }
    }
}

impl Got {
    pub(super) async fn hear(&mut self) -> Bytes {
        soon(self.messages.recv()).await.unwrap()
    }

    /// Waits until the links are as wanted.
    pub(super) async fn links(&self, wanted: impl FnMut(&[LinkView]) -> bool) -> Vec<LinkView> {
        links(&self.session, wanted).await
    }
}

pub(super) async fn links(
    session: &Session,
    mut wanted: impl FnMut(&[LinkView]) -> bool,
) -> Vec<LinkView> {
    let mut links: watch::Receiver<_> = session.links();
    soon(links.wait_for(|links| wanted(links))).await.unwrap().clone()
}

pub(super) fn kinds(links: &[LinkView]) -> Vec<LinkKind> {
    links.iter().map(|link| link.kind).collect()
}
