//! Who may connect: whoever receives at their address, does not come too often, and finds room.

use std::sync::Arc;

use quinn::{Endpoint, Incoming};
use tokio::{sync::Semaphore, task::JoinSet};
use tracing::{debug, error};

use super::{Services, session};
use crate::udp::canonical;

/// Connections at a time that are not registered yet.
const MAX_STRANGERS: usize = 1024;

/// Accepts connections until told to stop, then waits for them to say goodbye.
pub(super) async fn run(endpoint: Endpoint, services: Arc<Services>) {
    let strangers = Arc::new(Semaphore::new(MAX_STRANGERS));
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = services.stop.cancelled() => break,
            Some(ended) = sessions.join_next() => log_panic(ended),
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                let Some(incoming) = admit(incoming, &services) else { continue };
                match Arc::clone(&strangers).try_acquire_owned() {
                    Ok(permit) if sessions.len() < services.limits.connections => {
                        let services = Arc::clone(&services);
                        sessions.spawn(session::run(incoming, services, permit));
                    }
                    Ok(_) | Err(_) => incoming.refuse(),
                }
            }
        }
    }
    while let Some(ended) = sessions.join_next().await {
        log_panic(ended);
    }
}

/// Lets a connection through whose address is validated and within its limit.
///
/// Until it is validated, a connection costs the server nothing but a Retry packet (RFC 9000
/// section 8.1.2), smaller than the packet it answers: a spoofed flood finds nothing to fill.
fn admit(incoming: Incoming, services: &Services) -> Option<Incoming> {
    if !incoming.remote_address_validated() {
        if let Err(error) = incoming.retry() {
            // A Retry was answered with an unusable token: a broken or hostile client.
            error.into_incoming().refuse();
        }
        return None;
    }
    let origin = services.origins.of(canonical(incoming.remote_address()));
    if !services.connections.admits(origin) {
        debug!(address = %incoming.remote_address(), "connects too often");
        incoming.refuse();
        return None;
    }
    Some(incoming)
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a session ended badly");
    }
}
