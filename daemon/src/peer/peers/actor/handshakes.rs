//! Connections that peers make to the main socket.

use std::{sync::Arc, time::Duration};

use filefleet_server::udp::canonical;
use quinn::{Connection, Incoming};
use tokio::time::timeout;

use super::{
    super::super::{close::CloseCode, session::command::Command},
    Actor,
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
    /// is heard at all: the client of a direct link has, and nothing is spent on anybody else.
    pub(super) fn on_incoming(&mut self, incoming: Incoming) {
        let remote = canonical(incoming.remote_address());
        if !self.local.connector.has_heard(remote) {
            return incoming.ignore();
        }
        if self.handshakes.len() >= MAX_HANDSHAKES {
            return incoming.refuse();
        }
        let path = Path::Direct { largest_payload: mtu::largest_payload(remote) };
        let config = self.local.server(Expected::Among(self.local.keys.clone()), path);
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
        let entry = peer_device_key(connection).and_then(|key| self.sessions.get(&key));
        let adopted = entry.is_some_and(|entry| {
            entry.commands.try_send(Command::Adopt(connection.clone())).is_ok()
        });
        if !adopted {
            connection.close(CloseCode::SessionGone.wire(), b"");
        }
    }
}
