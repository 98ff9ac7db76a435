//! A relayed link made by hand, frame by frame: for what an honest session would never say.

use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use filefleet_server::{client::Call, protos::certificate::DeviceCertificate};
use quinn::{ClientConfig, Connection, ConnectionError, RecvStream, SendStream};

use crate::{
    discover::changes::Changes,
    peer::{
        close::CloseCode,
        frame::{Frame, HEADER_LEN, Hello, Kind, Message, decode_header},
        tests::support::{User, soon},
    },
    transfer::{
        TransferId,
        proto::{self, Envelope},
    },
    transport::{
        Congestion, Path, endpoint_config,
        relayed::{RelayedPath, Ticket},
        tls::{Expected, SERVER_NAME, Tls},
        transport_config,
    },
};

/// A connection to Bob through the relay, with the control stream open and nothing said.
pub(super) struct RawLink {
    pub(super) connection: Connection,
    send: SendStream,
    recv: RecvStream,
    next: u64,
    _path: RelayedPath,
}

/// Calls Bob, and connects as the TLS settings say.
pub(super) async fn connect(
    user: &User,
    device_key: &SigningKey,
    tls: &Tls,
) -> (RelayedPath, Result<Connection, ConnectionError>) {
    let call = soon(user.client.call(&"bob".parse().unwrap())).await.unwrap();
    let bob = call.certificate.device();
    let Call { session, key, side, relay, .. } = call;
    let ticket = Ticket { session, key, side, relay };
    let path =
        RelayedPath::open(ticket, endpoint_config(device_key), None, Changes::watch()).unwrap();
    soon(path.bound()).await.unwrap();
    let tls = tls.client(Expected::Exactly(bob)).unwrap();
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(transport_config(Path::Relayed, Congestion::default()));
    let connecting = path.endpoint().connect_with(config, path.relay(), SERVER_NAME).unwrap();
    let connected = soon(connecting).await;
    (path, connected)
}

impl RawLink {
    /// Connects, and has not greeted.
    pub(super) async fn open(user: &User, device_key: &SigningKey) -> Self {
        let (path, connected) = connect(user, device_key, &Tls::new(device_key).unwrap()).await;
        let connection = connected.unwrap();
        let (send, recv) = soon(connection.open_bi()).await.unwrap();
        Self { connection, send, recv, next: 0, _path: path }
    }

    /// Connects and greets.
    pub(super) async fn greeted(
        user: &User,
        device_key: &SigningKey,
        certificate: &DeviceCertificate,
    ) -> Self {
        let mut link = Self::open(user, device_key).await;
        let hello = Hello { incarnation: 1, certificate: certificate.clone() };
        link.frame(&Frame::Hello(hello)).await;
        assert!(matches!(link.hear().await, Frame::Hello(_)));
        link
    }

    /// Writes anything; Bob may have closed the link.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        let _ = soon(self.send.write_all(bytes)).await;
    }

    pub(super) async fn frame(&mut self, frame: &Frame) {
        self.write(&frame.encode().concat()).await;
    }

    /// Says the next message.
    pub(super) async fn say(&mut self, kind: Kind, body: Bytes) {
        let seq = self.next;
        self.next += 1;
        self.frame(&Frame::Message(Message { seq, kind, body })).await;
    }

    pub(super) async fn say_of(&mut self, transfer: TransferId, message: proto::Message) {
        self.say(Kind::ENGINE, Envelope { transfer, message }.encode().into()).await;
    }

    /// The next frame.
    pub(super) async fn hear(&mut self) -> Frame {
        let mut header = [0; HEADER_LEN];
        soon(self.recv.read_exact(&mut header)).await.unwrap();
        let (frame_type, len) = decode_header(header).unwrap();
        let mut payload = vec![0; len];
        soon(self.recv.read_exact(&mut payload)).await.unwrap();
        Frame::decode(frame_type, payload.into()).unwrap().unwrap()
    }

    /// The next numbered message, whoever reads it.
    pub(super) async fn hear_message(&mut self) -> Message {
        loop {
            if let Frame::Message(message) = self.hear().await {
                return message;
            }
        }
    }

    /// Waits until Bob closes the link, and what he says then.
    pub(super) async fn closed(&self) -> Option<CloseCode> {
        CloseCode::of(&soon(self.connection.closed()).await)
    }
}
