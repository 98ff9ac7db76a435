//! Until content flows: finding the receiver, asking, and waiting for a person's answer, which may
//! come in any session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use filefleet_server::client::{self as rendezvous, RefuseReason};

use super::{Sender, cancelled, internal, refuse_to_go_on};
use crate::connect::obstacle::Obstacle;
use crate::error::chain;
use crate::peer::{CloseReason, ConnectError, Session};
use crate::transfer::Inbound;
use crate::transfer::outgoing::{closed, flush_one};
use crate::transfer::progress::{Cause, Fault, Progress, State};
use crate::transfer::proto::{Answer, Message, Reason};

/// How long a run that has begun looks for a peer that went away; after it the transfer goes back to
/// the outbox. A laptop that changes its network is back well within it.
const AWAY_LIMIT: Duration = Duration::from_secs(30);
/// How long an attempt to reach the peer may take. A peer that is there answers within a few round
/// trips; of one that was cut off, the server may go on to say that it is there for a minute.
const CONNECT_LIMIT: Duration = Duration::from_secs(12);
/// The pause between two attempts to find a peer again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long a request that waits for a person is left alone before it is asked again: a receiver that
/// could not reach us with its answer gives it then.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// What happens while no content flows.
enum Event {
    Inbound(Inbound),
    Closed(CloseReason),
}

enum Answered {
    Go(Session),
    Waiting,
    Complete,
    Nothing,
}

/// What came of asking.
pub(super) enum Asked {
    /// Stream in this session.
    Go(Session),
    /// The session ended before there was an answer.
    Lost,
    /// All had arrived; only the word for it was lost.
    Complete,
}

impl Sender {
    /// A session with the receiver. `None` says that the attempt failed and another is due.
    pub(super) async fn connect(
        &mut self,
        lost_at: Option<Instant>,
    ) -> Result<Option<Session>, Fault> {
        let give_up_at = lost_at.filter(|_| self.instance.is_some()).map(|at| at + AWAY_LIMIT);
        let found = tokio::select! {
            biased;
            fault = self.stop.requested() => return Err(fault),
            found = self.reach() => found,
            () = reached(give_up_at) => return Err(Fault::new(Cause::Offline, "did not come back")),
        };
        let found = match found {
            Ok(session) => return Ok(Some(session)),
            Err(error) => connect_fault(&error),
        };
        let fault = match found.cause {
            // A server that forgot a name says nothing about somebody we know.
            Cause::UnknownName if self.order.expected.is_some() => {
                Fault { cause: Cause::Offline, ..found }
            }
            _ => found,
        };
        if give_up_at.is_none() || !fault.is_passing() {
            return Err(fault);
        }
        tokio::select! {
            biased;
            fault = self.stop.requested() => Err(fault),
            () = tokio::time::sleep(RETRY_PAUSE) => Ok(None),
        }
    }

    /// One attempt to reach the receiver.
    async fn reach(&self) -> Result<Session, ConnectError> {
        let session = self.peers.session(&self.order.to, self.order.expected);
        tokio::time::timeout(CONNECT_LIMIT, session).await.unwrap_or(Err(ConnectError::TimedOut))
    }

    /// Sends the request and waits for the answer.
    pub(super) async fn ask(&mut self, session: Session) -> Result<Asked, Fault> {
        // Whoever is asked first is who it goes to, whatever the server says later.
        self.order.expected.get_or_insert(session.identity());
        self.push_request();
        self.session = Some(session.clone());
        let _guard = session.hold();
        loop {
            match self.event().await? {
                Event::Inbound(inbound) => match self.answer(inbound)? {
                    Answered::Go(session) => return Ok(Asked::Go(session)),
                    Answered::Complete => return Ok(Asked::Complete),
                    Answered::Waiting => break,
                    Answered::Nothing => {}
                },
                Event::Closed(reason) => {
                    refuse_to_go_on(&reason)?;
                    if self.instance.is_none() {
                        return Err(Fault::new(Cause::Offline, format!("{reason:?}")));
                    }
                    return Ok(Asked::Lost);
                }
            }
        }
        self.order.asked = true;
        self.ask_again = tokio::time::Instant::now() + ASK_AGAIN;
        self.await_answer_anywhere().await
    }

    /// Waits for the answer of a person, in whatever session it comes: a request never times out.
    pub(super) async fn await_answer_anywhere(&mut self) -> Result<Asked, Fault> {
        let wake = Arc::clone(&self.wake);
        self.progress.send_modify(|progress| {
            progress.state = State::Waiting;
            progress.detail = Some(format!("waiting for {} to accept", self.order.to));
        });
        loop {
            let ask_again = self.ask_again;
            let (session, shown) = (self.session.clone(), self.progress.borrow().obstacle);
            tokio::select! {
                event = self.event() => match event? {
                    Event::Inbound(inbound) => match self.answer(inbound)? {
                        Answered::Go(session) => {
                            self.order.asked = false;
                            return Ok(Asked::Go(session));
                        }
                        Answered::Complete => return Ok(Asked::Complete),
                        Answered::Waiting | Answered::Nothing => {}
                    },
                    Event::Closed(_) => self.progress.send_modify(Progress::goes_over_none),
                },
                session = explained_otherwise(session, shown) => {
                    self.progress.send_modify(|progress| progress.goes_over(&session));
                }
                () = tokio::time::sleep_until(ask_again) => self.ask_again().await,
                // In a session that lives it has been asked already.
                () = wake.notified(), if self.session.is_none() => self.ask_again().await,
            }
        }
    }

    /// Asks once more, in case the receiver has answered while we were away.
    async fn ask_again(&mut self) {
        self.ask_again = tokio::time::Instant::now() + ASK_AGAIN;
        let found = tokio::select! {
            biased;
            _ = self.stop.requested() => return,
            found = self.reach() => found,
        };
        // Somebody who is away is asked again later; the request does not depend on it.
        if let Ok(session) = found {
            self.push_request();
            self.session = Some(session);
        }
    }

    fn push_request(&mut self) {
        let totals = self.progress.borrow().totals;
        self.content.outgoing.clear();
        let (preview, text) = (self.preview.clone(), self.order.text.clone().unwrap_or_default());
        let update = self.order.update;
        self.content.outgoing.push(Message::Request { totals, preview, update, text });
    }

    /// The next thing that matters while no content flows.
    async fn event(&mut self) -> Result<Event, Fault> {
        loop {
            let session = self.session.clone();
            let waiting = !self.content.outgoing.is_empty();
            tokio::select! {
                biased;
                fault = self.stop.requested() => return Err(fault),
                inbound = self.mailbox.recv() => {
                    return inbound.map(Event::Inbound).ok_or_else(cancelled);
                }
                Some(report) = self.reports.recv() => self.counted(&report),
                Some(page) = self.pages.join_next() => {
                    self.content.outgoing.push(page.map_err(|error| internal(&error))?);
                }
                reason = closed(session.as_ref()) => {
                    self.session = None;
                    return Ok(Event::Closed(reason));
                }
                () = flush_one(&mut self.content.outgoing, session.as_ref()), if waiting => {}
            }
        }
    }

    /// What a message means while no content flows.
    fn answer(&mut self, Inbound { session, message }: Inbound) -> Result<Answered, Fault> {
        self.session = Some(session.clone());
        match message {
            Message::Answer(Answer::Accept { instance, compares }) => {
                self.accepted(instance, compares);
                Ok(Answered::Go(session))
            }
            Message::Answer(Answer::Waiting) => Ok(Answered::Waiting),
            // Nothing has been sent to somebody who has not accepted.
            Message::Complete { .. } if self.instance.is_none() && !self.order.resumed => {
                Err(Fault::from_peer(Reason::Protocol, ""))
            }
            // What was on its way when the last session was lost, above all the word that all is
            // complete: it is said from the record and not in an answer.
            message => match self.inbound(Inbound { session, message })? {
                true => Ok(Answered::Complete),
                false => Ok(Answered::Nothing),
            },
        }
    }
}

/// What a failed connection means for the transfer.
pub(crate) fn connect_fault(error: &ConnectError) -> Fault {
    let cause = match error {
        ConnectError::IdentityChanged { .. }
        | ConnectError::Refused(RefuseReason::IdentityChanged)
        | ConnectError::Failed(CloseReason::IdentityChanged) => Cause::IdentityChanged,
        ConnectError::Refused(RefuseReason::Blocked)
        | ConnectError::Failed(CloseReason::Blocked) => {
            return Fault::from_peer(Reason::NotAllowed, "");
        }
        // The same would happen again.
        ConnectError::Failed(CloseReason::Protocol) => {
            return Fault::reason(Reason::Protocol, "");
        }
        ConnectError::Failed(CloseReason::GoingAway) => {
            return Fault::from_peer(Reason::GoingAway, "");
        }
        ConnectError::Yourself => return Fault::reason(Reason::Other, chain(error)),
        ConnectError::Refused(RefuseReason::Busy) => return Fault::from_peer(Reason::Busy, ""),
        ConnectError::NotRegistered => Cause::NotRegistered,
        ConnectError::Server(error) => match **error {
            rendezvous::Error::UnknownName => Cause::UnknownName,
            rendezvous::Error::Offline => Cause::Offline,
            rendezvous::Error::NotRegistered => Cause::NotRegistered,
            _ => Cause::ServerUnreachable,
        },
        _ => Cause::Offline,
    };
    Fault::new(cause, chain(error))
}

/// Waits until a session has another explanation for its link than the one that is shown. Cancel-safe.
async fn explained_otherwise(session: Option<Session>, shown: Option<Obstacle>) -> Session {
    match session {
        Some(session) => {
            session.obstacle_other_than(shown).await;
            session
        }
        None => std::future::pending().await,
    }
}

/// Waits until `instant`; without one, for ever.
async fn reached(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
