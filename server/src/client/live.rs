//! A registration in use: what commands and the server's frames do to it.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::{
    Call, Command, Error, Event,
    actor::{Inbox, Stop},
    connection::Registration,
};
use crate::protos::{
    certificate::IdentityKey,
    relay::Side,
    rendezvous::{CONTACTS_PER_FRAME, ClientFrame, ServerFrame, Session},
};

/// How long a ping may go unanswered before the connection is given up.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// How long until it is said again: QUIC's own pauses may have grown long, and a server that was
/// started anew does not answer everybody at once.
const PING_AGAIN: Duration = Duration::from_millis(250);
/// Requests that may wait for the server's answer at a time.
const MAX_PENDING: usize = 256;

type Reply = oneshot::Sender<Result<ServerFrame, Error>>;

/// A ping that has not been answered.
#[derive(Clone, Copy)]
struct Ping {
    again_at: Instant,
    deadline: Instant,
}

/// A registration in use.
pub(super) struct Live {
    pub(super) registration: Registration,
    pending: HashMap<u64, Reply>,
    next_id: u64,
    /// Waits for room in the channel of events; nothing is read meanwhile.
    pub(super) event: Option<Event>,
    ping: Option<Ping>,
}

impl Live {
    pub(super) fn new(registration: Registration) -> Self {
        Self { registration, pending: HashMap::new(), next_id: 0, event: None, ping: None }
    }

    pub(super) async fn command(
        &mut self,
        command: Option<Command>,
        inbox: &mut Inbox,
    ) -> ControlFlow<Stop, Result<(), Error>> {
        let result = match command {
            Some(Command::Request { request, reply }) => {
                let Some(id) = self.expect_reply(reply) else {
                    return ControlFlow::Continue(Ok(()));
                };
                self.registration.send(&request.into_frame(id)).await
            }
            Some(Command::Refuse { session, reason, reply }) => {
                let session = Session(session);
                let result = self.registration.send(&ClientFrame::Refuse { session, reason }).await;
                // Whoever refused need not wait whether it arrives.
                let _ = reply.send(result.clone());
                result
            }
            Some(Command::Reveal(session)) => {
                self.registration.send(&ClientFrame::Reveal { session: Session(session) }).await
            }
            Some(Command::Contacts(contacts)) => {
                inbox.contacts = contacts;
                self.send_contacts(&inbox.contacts).await
            }
            Some(Command::CheckAlive) if inbox.heed_beacon() => self.ping().await,
            Some(Command::NetworkChanged) => {
                inbox.network_changed.notify_one();
                self.ping().await
            }
            Some(Command::CheckAlive) => Ok(()),
            Some(Command::RoundTrip(reply)) => {
                // Whoever asked may have given up.
                let _ = reply.send(self.registration.round_trip());
                Ok(())
            }
            Some(Command::Shutdown { done }) => return ControlFlow::Break(Stop(Some(done))),
            None => return ControlFlow::Break(Stop(None)),
        };
        ControlFlow::Continue(result)
    }

    async fn ping(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let deadline = self.ping.map_or(now + PING_TIMEOUT, |ping| ping.deadline);
        self.ping = Some(Ping { again_at: now + PING_AGAIN, deadline });
        self.registration.send(&ClientFrame::Ping).await
    }

    /// When something is to be done about a ping that is not answered.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.ping.map(|ping| ping.again_at.min(ping.deadline))
    }

    /// It is that time: says it again, or gives the connection up.
    pub(super) async fn on_timeout(&mut self) -> Result<(), Error> {
        match self.ping {
            Some(ping) if ping.deadline <= Instant::now() => Err(Error::ConnectionLost),
            Some(_) => self.ping().await,
            None => Ok(()),
        }
    }

    /// The id under which the answer will come; `None` if too many are waited for.
    fn expect_reply(&mut self, reply: Reply) -> Option<u64> {
        // Those who gave up waiting make room.
        self.pending.retain(|_, reply| !reply.is_closed());
        if self.pending.len() >= MAX_PENDING {
            let _ = reply.send(Err(Error::RateLimited));
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, reply);
        Some(id)
    }

    pub(super) async fn send_contacts(&mut self, contacts: &[IdentityKey]) -> Result<(), Error> {
        let (first, rest) = contacts.split_at(contacts.len().min(CONTACTS_PER_FRAME));
        let chunks = rest.chunks(CONTACTS_PER_FRAME).map(|chunk| (false, chunk));
        for (replace, identities) in [(true, first)].into_iter().chain(chunks) {
            let identities = identities.to_vec();
            self.registration.send(&ClientFrame::Contacts { replace, identities }).await?;
        }
        Ok(())
    }

    pub(super) fn frame(&mut self, frame: ServerFrame) -> Result<(), Error> {
        match frame {
            ServerFrame::Found { id, .. }
            | ServerFrame::Called { id, .. }
            | ServerFrame::Probed { id, .. } => {
                self.answer(id, Ok(frame));
            }
            ServerFrame::Error { id: Some(id), code, .. } => {
                self.answer(id, Err(Error::of_code(code)));
            }
            ServerFrame::Error { id: None, code, message } => {
                warn!(?code, message, "the server complains");
            }
            ServerFrame::Incoming { call } => {
                let call = Call::new(call, Side::Callee, self.registration.relay.clone());
                self.event = Some(Event::IncomingCall(call));
            }
            ServerFrame::Refused { session: Session(session), reason } => {
                self.event = Some(Event::Refused { session, reason });
            }
            ServerFrame::Revealed { session: Session(session), observed } => {
                self.event = Some(Event::Revealed { session, observed });
            }
            ServerFrame::Presence { identity, online } => {
                self.event = Some(Event::Presence { identity, online });
            }
            ServerFrame::Pong => self.ping = None,
            ServerFrame::Registered { .. } => return Err(Error::Protocol),
            ServerFrame::Unknown => debug!("skipped a frame of unknown type"),
        }
        Ok(())
    }

    fn answer(&mut self, id: u64, answer: Result<ServerFrame, Error>) {
        if let Some(reply) = self.pending.remove(&id) {
            // Whoever asked may have given up.
            let _ = reply.send(answer);
        }
    }
}
