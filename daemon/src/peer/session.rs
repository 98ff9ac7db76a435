//! One session with a peer device: the handle that the rest of the daemon holds. Its actor is in
//! `session/actor.rs`.

pub(super) mod actor;
pub(super) mod command;
mod direct;
mod hearing;
mod links;
pub mod log;
mod recall;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

use bytes::Bytes;
use filefleet_server::protos::{
    certificate::{DeviceCertificate, IdentityKey},
    name::Name,
};
use quinn::SendStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use self::log::LinkLog;
use super::{CloseReason, LinkId, LinkKind, LinkView, Peer, frame::MAX_MESSAGE};
use crate::{connect::obstacle::Obstacle, transport::fit_send_window};

/// A session with a peer. Clones are handles of the same session; dropping them all does not end
/// it, idleness does.
#[derive(Clone)]
pub struct Session(Arc<Shared>);

struct Shared {
    peer: Peer,
    outgoing: mpsc::Sender<Bytes>,
    wishes: watch::Sender<Wishes>,
    links: watch::Receiver<Vec<LinkView>>,
    log: watch::Receiver<LinkLog>,
    obstacle: watch::Receiver<Option<Obstacle>>,
    closed: watch::Receiver<Option<CloseReason>>,
    replies: Arc<Semaphore>,
    /// The priority of the next stream. Messages have 0, and every stream less than those before it.
    next_priority: AtomicI32,
}

/// What holders of the session want of its actor. A state rather than commands: saying it never
/// waits and is never lost.
#[derive(Debug, Default)]
struct Wishes {
    direct: bool,
    guards: usize,
    close: Option<CloseReason>,
}

/// The actor's ends of what a [`Session`] holds.
#[derive(Debug)]
struct Ends {
    outgoing: mpsc::Receiver<Bytes>,
    wishes: watch::Receiver<Wishes>,
    links: watch::Sender<Vec<LinkView>>,
    log: watch::Sender<LinkLog>,
    obstacle: watch::Sender<Option<Obstacle>>,
    closed: watch::Sender<Option<CloseReason>>,
}

/// Messages that wait for room in the window; a sender waits while it is full.
const OUTGOING: usize = 16;

/// Replies that may wait to be sent: more than an honest peer asks for before it listens.
const REPLIES: usize = 256;

/// The session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session is over: {0:?}")]
pub struct SessionClosed(pub CloseReason);

/// The right to write to streams of a link; ends when dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// Keeps a session's links up for as long as it lives.
#[derive(Debug)]
pub struct SessionGuard(Session);

impl Session {
    fn new(peer: Peer) -> (Self, Ends) {
        let (outgoing, outgoing_end) = mpsc::channel(OUTGOING);
        let (wishes, wishes_end) = watch::channel(Wishes::default());
        let (links_end, links) = watch::channel(Vec::new());
        let (log_end, log) = watch::channel(LinkLog::default());
        let (obstacle_end, obstacle) = watch::channel(None);
        let (closed_end, closed) = watch::channel(None);
        let ends = Ends {
            outgoing: outgoing_end,
            wishes: wishes_end,
            links: links_end,
            log: log_end,
            obstacle: obstacle_end,
            closed: closed_end,
        };
        let replies = Arc::new(Semaphore::new(REPLIES));
        let next_priority = AtomicI32::new(-1);
        let shared =
            Shared { peer, outgoing, wishes, links, log, obstacle, closed, replies, next_priority };
        (Self(Arc::new(shared)), ends)
    }

    /// Whether the other handle is one of this session.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The name under which the server knows the person.
    pub fn name(&self) -> &Name {
        &self.0.peer.name
    }

    /// Who it is. Both TLS and the certificate have proved it.
    pub fn identity(&self) -> IdentityKey {
        self.0.peer.identity()
    }

    /// The device's certificate.
    pub fn certificate(&self) -> &DeviceCertificate {
        &self.0.peer.certificate
    }

    /// Sends a message of at most [`MAX_MESSAGE`] bytes: reliably, in order, once, and over
    /// another link if one dies. Waits while too much is unacknowledged. Cancel-safe: a message is
    /// taken wholly or not at all.
    pub async fn send(&self, message: Bytes) -> Result<(), SessionClosed> {
        debug_assert!(message.len() <= MAX_MESSAGE, "a message of {} bytes", message.len());
        self.0.outgoing.send(message).await.map_err(|_| self.over())
    }

    /// Sends what the peer asked for, as [`send`](Self::send) does. A peer that asks for more and
    /// more and does not listen is hung up on, so that what waits for it is bounded.
    pub fn reply(&self, message: Bytes) -> impl Future<Output = ()> + Send + use<> {
        let session = self.clone();
        let room = Arc::clone(&self.0.replies).try_acquire_owned();
        if room.is_err() {
            self.close(CloseReason::Protocol);
        }
        async move {
            if let Ok(_room) = room {
                // A session that is over needs no replies.
                let _ = session.send(message).await;
            }
        }
    }

    /// The live links, best first; a dead one is gone from it.
    pub fn links(&self) -> watch::Receiver<Vec<LinkView>> {
        self.0.links.clone()
    }

    /// What happens to the links, from the first on. It closes with the session.
    pub fn link_log(&self) -> watch::Receiver<LinkLog> {
        self.0.log.clone()
    }

    /// Why the best link is the relayed one, while it is.
    pub fn obstacle(&self) -> Option<Obstacle> {
        *self.0.obstacle.borrow()
    }

    /// Waits until there is another reason than this one, or none; for ever if the session ends
    /// before. Cancel-safe.
    pub async fn obstacle_other_than(&self, known: Option<Obstacle>) {
        let mut obstacle = self.0.obstacle.clone();
        if obstacle.wait_for(|now| *now != known).await.is_err() {
            std::future::pending().await
        }
    }

    /// Opens a stream on the best live link, when it is its turn there. Waits while there is none and
    /// while the peer allows no more streams. Cancel-safe.
    ///
    /// Who wants to write a lot keeps the turn meanwhile: where many write at a time and the window is
    /// full, a stream that has begun may wait for all others.
    pub async fn open_stream(&self) -> Result<(LinkId, LinkKind, SendStream, Turn), SessionClosed> {
        let mut links = self.0.links.clone();
        loop {
            let best = links.borrow_and_update().first().cloned();
            let opened = async {
                let Some(link) = &best else {
                    return std::future::pending().await;
                };
                let turn = Arc::clone(&link.turns).acquire_owned().await;
                match (link.connection.open_uni().await, turn) {
                    (Ok(stream), Ok(turn)) => {
                        self.queue(&stream);
                        fit_send_window(&link.connection);
                        (link.id, link.kind, stream, Turn(turn))
                    }
                    // The link is dead, and will be gone from the list in a moment.
                    _ => std::future::pending().await,
                }
            };
            let best = best.as_ref().map(|link| link.id);
            let is_another = |links: &Vec<LinkView>| links.first().map(|link| link.id) != best;
            tokio::select! {
                biased;
                opened = opened => return Ok(opened),
                changed = links.wait_for(is_another) => drop(changed.map_err(|_| self.over())?),
            }
        }
    }

    /// Puts a stream behind those that were opened before, also where these have lost packets: what
    /// began first ends first, however full the window is.
    fn queue(&self, stream: &SendStream) {
        let priority = self.0.next_priority.fetch_sub(1, Ordering::Relaxed);
        // Of a stream that is closed already the writing will tell.
        let _ = stream.set_priority(priority);
    }

    /// Allows direct links: candidates are exchanged from now on. Strangers stay behind the relay
    /// until a person has accepted, so that they learn no address; whom we call is allowed at once.
    pub fn allow_direct(&self) {
        self.0.wishes.send_if_modified(|wishes| !std::mem::replace(&mut wishes.direct, true));
    }

    /// Whether direct links are allowed.
    pub fn is_direct(&self) -> bool {
        self.0.wishes.borrow().direct
    }

    /// Waits for the end. Cancel-safe.
    pub async fn closed(&self) -> CloseReason {
        let mut closed = self.0.closed.clone();
        match closed.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(reason)) => *reason,
            // The actor was aborted, as happens when the daemon ends.
            _ => CloseReason::ShuttingDown,
        }
    }

    /// Why it is over, if it is.
    pub fn close_reason(&self) -> Option<CloseReason> {
        let reason = *self.0.closed.borrow();
        reason.or_else(|| self.0.closed.has_changed().err().map(|_| CloseReason::ShuttingDown))
    }

    /// Ends the session and tells the peer. Messages that are not acknowledged yet may be lost.
    pub fn close(&self, reason: CloseReason) {
        self.0.wishes.send_modify(|wishes| {
            wishes.close.get_or_insert(reason);
        });
    }

    /// Holds the session: while a guard lives, idle links stay and dead ones are made anew.
    pub fn hold(&self) -> SessionGuard {
        self.0.wishes.send_modify(|wishes| wishes.guards += 1);
        SessionGuard(self.clone())
    }

    fn over(&self) -> SessionClosed {
        SessionClosed(self.close_reason().unwrap_or(CloseReason::LocallyClosed))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = &self.0.peer;
        f.debug_struct("Session").field("name", &peer.name).finish_non_exhaustive()
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.0.wishes.send_modify(|wishes| wishes.guards -= 1);
    }
}
