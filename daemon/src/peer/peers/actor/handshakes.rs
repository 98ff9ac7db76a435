//! Connections that peers make to the main socket.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use filefleet_server::{protos::certificate::DeviceKey, udp::canonical};
use quinn::{Connection, Incoming};
use tokio::time::timeout;

use super::{
    super::super::{Admission, close::CloseCode, session::command::Command},
    Actor, Entry,
};
use crate::transport::{
    Path, mtu,
    tls::{Expected, peer_device_key},
};

/// Handshakes under way; more are refused at their first packet.
const MAX_HANDSHAKES: usize = 32;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

impl Actor {
    /// A connection begins on the main socket. Only who has passed a connectivity check from there
    /// is heard at all: the client of a direct link has, and nothing is spent on anybody else. A
    /// contact who passed one without a session has to be the very device that passed it.
    pub(super) fn on_incoming(&mut self, incoming: Incoming) {
        let remote = canonical(incoming.remote_address());
        let expected = match self.local.connector.caller(remote) {
            Some(device) => Expected::Exactly(device),
            None if self.local.connector.has_heard(remote) => {
                Expected::Among(self.local.keys.clone())
            }
            None => return incoming.ignore(),
        };
        if self.handshakes.len() >= MAX_HANDSHAKES {
            return incoming.refuse();
        }
        let path = Path::Direct { largest_payload: mtu::largest_payload(remote) };
        let config = self.local.server(expected, path);
        self.handshakes.spawn(async move {
            let connecting = incoming.accept_with(Arc::new(config.ok()?)).ok()?;
            match timeout(HANDSHAKE_TIMEOUT, connecting).await {
                Ok(Ok(connection)) => Some(connection),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a handshake failed");
                    None
                }
                Err(_) => None,
            }
        });
    }

    pub(super) fn on_connected(&mut self, connection: &Connection) {
        let remote = canonical(connection.remote_address());
        let entry = peer_device_key(connection).and_then(|device| self.entry_of(device, remote));
        let adopted = entry.is_some_and(|entry| {
            entry.commands.try_send(Command::Adopt(connection.clone())).is_ok()
        });
        if !adopted {
            connection.close(CloseCode::SessionGone.wire(), b"");
        }
    }

    /// The session that a connection is for: the one there is, or a new one with a contact who has
    /// been found without a server.
    fn entry_of(&mut self, device: DeviceKey, remote: SocketAddr) -> Option<&Entry> {
        let calls = self.local.connector.caller(remote) == Some(device);
        if calls && !self.sessions.get(&device).is_some_and(Entry::is_alive) {
            let peer = self.local.nearby.with_device(device)?;
            if self.gate.admit(&peer.name, &peer.identity()) != Admission::Admit {
                return None;
            }
            return self.living(&peer);
        }
        self.sessions.get(&device)
    }
}
