//! Telling the clients of the server before this one that it is there.
//!
//! A STUN Binding indication to the last address of each: upon it they say something on their old
//! connection, draw a stateless reset, and register again.

use std::{net::SocketAddr, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::{protos::stun, udp::DemuxSocket};

/// Between two beacons, so that the clients do not all come back in the same moment.
const PACE: Duration = Duration::from_millis(1);
/// Each address gets this many beacons, should one be lost.
const ROUNDS: usize = 2;

/// Sends the beacons.
pub(super) async fn run(socket: &DemuxSocket, addresses: Vec<SocketAddr>) {
    if addresses.is_empty() {
        return;
    }
    info!(clients = addresses.len(), "calling back the clients of the last run");
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..ROUNDS {
        for address in &addresses {
            pace.tick().await;
            let mut id = stun::TransactionId::default();
            if getrandom::fill(&mut id).is_err() || socket.writable().await.is_err() {
                return warn!("no beacons can be sent");
            }
            socket.send_to(&stun::indication(id), *address, None);
        }
    }
}
