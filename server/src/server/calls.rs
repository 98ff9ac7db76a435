//! Placing a call: a relay session for both sides, pushed to the callee.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{
    Services,
    registry::{Party, Ticket},
    relay::Allocation,
};
use crate::protos::{
    name::Name,
    relay::SessionKey,
    rendezvous::{CallFrame, ErrorCode, Session},
};

/// How long after its start the server expects its clients to come back: keep-alives are at most
/// 26 s apart, and one may be lost on the way.
const RETURN_WINDOW: Duration = Duration::from_secs(40);
/// How long a call waits for its callee within that time.
const RETURN_WAIT: Duration = Duration::from_secs(2);

/// Allocates a session with the holder of a name and tells them; what to tell the caller.
pub(super) async fn place(
    services: &Services,
    caller: &Ticket,
    name: Name,
) -> Result<CallFrame, ErrorCode> {
    let callee = find(services, &name).await?;
    let calling = services.registry.party(caller).ok_or(ErrorCode::Unavailable)?;
    let mut random = [0; 48];
    getrandom::fill(&mut random).map_err(|_| ErrorCode::Unavailable)?;
    let (session, key) = random.split_first_chunk::<16>().expect("48 bytes are 16 and 32");
    let key = SessionKey::from_bytes(key.try_into().expect("48 bytes are 16 and 32"));
    let session = *session;
    let allocation = Allocation { session, key: key.clone(), caller: calling, callee };
    if !services.relay.allocate(allocation).await {
        return Err(ErrorCode::RateLimited);
    }
    let offer = (Session(session), key);
    match services.registry.call(caller, &name, offer, Instant::now()) {
        Some(call) => Ok(call),
        None => {
            services.relay.release(session).await;
            Err(ErrorCode::Offline)
        }
    }
}

/// Who holds a name, if it is registered now or soon.
async fn find(services: &Services, name: &Name) -> Result<Party, ErrorCode> {
    if let Some(party) = services.registry.present(name) {
        return Ok(party);
    }
    let holder = services.store.holder(name.clone()).await;
    if holder.map_err(|_| ErrorCode::Unavailable)?.is_none() {
        return Err(ErrorCode::UnknownName);
    }
    if services.started.elapsed() >= RETURN_WINDOW {
        return Err(ErrorCode::Offline);
    }
    let return_of_callee = async {
        loop {
            // Listening before looking, or a join in between would be missed.
            let joined = services.registry.next_join();
            if let Some(party) = services.registry.present(name) {
                return party;
            }
            joined.await;
        }
    };
    timeout(RETURN_WAIT, return_of_callee).await.map_err(|_| ErrorCode::Offline)
}
