//! Who is registered now: names, presence, and the calls of the last minutes.
//!
//! All of it is in memory and changed under one lock without waiting. What others are to be told
//! goes into their outboxes; a client that does not empty its own is shut out.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, futures::Notified, mpsc, oneshot};

use crate::protos::{
    certificate::{DeviceCertificate, IdentityKey},
    name::Name,
    relay::{SessionId, SessionKey},
    rendezvous::{CallFrame, CloseCode, MAX_CONTACTS, RefuseReason, ServerFrame, Session},
};

/// Frames waiting to be written to a client: the presence of every contact, and some more.
const OUTBOX_CAPACITY: usize = MAX_CONTACTS + 64;
/// How long a call is remembered: can be refused, and its sides can reveal themselves.
const CALL_MEMORY: Duration = Duration::from_secs(600);

/// The registrations of the moment.
#[derive(Debug, Default)]
pub(super) struct Registry {
    inner: Mutex<Inner>,
    joined: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    members: HashMap<Name, Member>,
    /// The names under which an identity is registered.
    names: HashMap<IdentityKey, Vec<Name>>,
    calls: Calls,
    joins: u64,
    /// Whose outbox had no room: shut out as soon as what was under way is done.
    slow: Vec<Name>,
}

#[derive(Debug)]
struct Member {
    number: u64,
    certificate: DeviceCertificate,
    origin: IpAddr,
    outbox: mpsc::Sender<ServerFrame>,
    eject: oneshot::Sender<CloseCode>,
    contacts: HashSet<IdentityKey>,
}

/// One side of a call, as the relay is told about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Party {
    pub(super) identity: IdentityKey,
    /// Where its registration came from, which QUIC has validated.
    pub(super) origin: IpAddr,
}

/// Proof of one registration; it is over when another one has the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    name: Name,
    number: u64,
}

/// A registration as its connection sees it.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) ticket: Ticket,
    /// What to write to the client.
    pub(super) outbox: mpsc::Receiver<ServerFrame>,
    /// Resolves when the registration is over for a reason that is not the connection's.
    pub(super) ejected: oneshot::Receiver<CloseCode>,
}

/// Calls that are remembered, and in which order they were made.
#[derive(Debug, Default)]
struct Calls {
    parties: HashMap<SessionId, Parties>,
    order: VecDeque<(Instant, SessionId)>,
}

#[derive(Debug)]
struct Parties {
    caller: Ticket,
    callee: Ticket,
}

impl Member {
    fn party(&self) -> Party {
        Party { identity: self.certificate.identity(), origin: self.origin }
    }
}

impl Registry {
    /// Registers the holder of a name, in place of an older registration. `origin` is a validated
    /// address.
    pub(super) fn join(&self, name: Name, certificate: DeviceCertificate, origin: IpAddr) -> Seat {
        let (sender, outbox) = mpsc::channel(OUTBOX_CAPACITY);
        let (eject, ejected) = oneshot::channel();
        let mut inner = self.lock();
        if let Some(older) = inner.remove(&name) {
            // Its connection may be gone already.
            let _ = older.eject.send(CloseCode::Replaced);
        }
        inner.joins += 1;
        let ticket = Ticket { name: name.clone(), number: inner.joins };
        inner.names.entry(certificate.identity()).or_default().push(name.clone());
        let member = Member {
            number: ticket.number,
            certificate,
            origin,
            outbox: sender,
            eject,
            contacts: HashSet::new(),
        };
        inner.members.insert(name, member);
        inner.expel_slow();
        drop(inner);
        self.joined.notify_waiters();
        Seat { ticket, outbox, ejected }
    }

    /// Ends a registration; `false` if it was over already.
    pub(super) fn leave(&self, ticket: &Ticket) -> bool {
        let mut inner = self.lock();
        let was_there = inner.member(ticket).is_some() && inner.remove(&ticket.name).is_some();
        inner.expel_slow();
        was_there
    }

    /// Who is registered under a name now.
    pub(super) fn present(&self, name: &Name) -> Option<Party> {
        self.lock().members.get(name).map(Member::party)
    }

    /// Resolves at the next [`join`](Self::join) after this call, even if it is polled only then.
    pub(super) fn next_join(&self) -> Notified<'_> {
        self.joined.notified()
    }

    /// Who has a registration that is not over.
    pub(super) fn party(&self, ticket: &Ticket) -> Option<Party> {
        self.lock().member(ticket).map(Member::party)
    }

    /// Pushes a call to its callee; what to tell the caller. `None` if either is not there.
    pub(super) fn call(
        &self,
        caller: &Ticket,
        callee: &Name,
        (session, key): (Session, SessionKey),
        now: Instant,
    ) -> Option<CallFrame> {
        let mut inner = self.lock();
        let for_callee = CallFrame {
            session,
            key: key.clone(),
            name: caller.name.clone(),
            certificate: inner.member(caller)?.certificate.clone(),
        };
        let member = inner.members.get(callee)?;
        let callee = Ticket { name: callee.clone(), number: member.number };
        let certificate = member.certificate.clone();
        let for_caller = CallFrame { session, key, name: callee.name.clone(), certificate };
        if !inner.push(&callee.name, ServerFrame::Incoming { call: for_callee }) {
            inner.expel_slow();
            return None;
        }
        inner.calls.insert(session.0, Parties { caller: caller.clone(), callee }, now);
        Some(for_caller)
    }

    /// Tells the other party of a call that this one will have nothing of it: the callee does not
    /// take it, or the caller meant somebody else. `false` if there is no such call to refuse for
    /// this client.
    pub(super) fn refuse(&self, party: &Ticket, session: SessionId, reason: RefuseReason) -> bool {
        let mut inner = self.lock();
        let Some(other) = inner.calls.take(&session, party) else { return false };
        if inner.member(&other).is_some() {
            let session = Session(session);
            inner.push(&other.name, ServerFrame::Refused { session, reason });
            inner.expel_slow();
        }
        true
    }

    /// Tells the other party of a call where this one is observed, which wants that. Both may have
    /// registered anew since the call.
    pub(super) fn reveal(&self, party: &Ticket, session: Session, observed: SocketAddr) {
        let mut inner = self.lock();
        let Some(other) = inner.calls.other(&session.0, &party.name).cloned() else { return };
        if inner.member(party).is_some() {
            inner.push(&other, ServerFrame::Revealed { session, observed });
            inner.expel_slow();
        }
    }

    /// Names the contacts of a client, or more of them, and tells who is there of those who name
    /// it, too.
    pub(super) fn set_contacts(
        &self,
        ticket: &Ticket,
        replace: bool,
        identities: impl IntoIterator<Item = IdentityKey>,
    ) {
        let mut inner = self.lock();
        let Some(member) = inner.member_mut(ticket) else { return };
        let identity = member.certificate.identity();
        let before = member.contacts.clone();
        if replace {
            member.contacts.clear();
        }
        let room = MAX_CONTACTS - member.contacts.len();
        member.contacts.extend(identities.into_iter().take(room));
        let after = member.contacts.clone();
        for gone in before.difference(&after) {
            inner.show(identity, *gone, false);
        }
        for new in after.difference(&before) {
            if inner.show(identity, *new, true) {
                inner.push(&ticket.name, ServerFrame::Presence { identity: *new, online: true });
            }
        }
        inner.expel_slow();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the lock")
    }
}

impl Inner {
    fn member(&self, ticket: &Ticket) -> Option<&Member> {
        self.members.get(&ticket.name).filter(|member| member.number == ticket.number)
    }

    fn member_mut(&mut self, ticket: &Ticket) -> Option<&mut Member> {
        self.members.get_mut(&ticket.name).filter(|member| member.number == ticket.number)
    }

    /// Takes a registration out and tells those who saw it.
    fn remove(&mut self, name: &Name) -> Option<Member> {
        let member = self.members.remove(name)?;
        let identity = member.certificate.identity();
        if let Some(names) = self.names.get_mut(&identity) {
            names.retain(|other| other != name);
            if names.is_empty() {
                self.names.remove(&identity);
            }
        }
        for contact in &member.contacts {
            self.show(identity, *contact, false);
        }
        Some(member)
    }

    /// Tells every registration of `observer` that names `identity` whether it is there; `false`
    /// if there is none.
    fn show(&mut self, identity: IdentityKey, observer: IdentityKey, online: bool) -> bool {
        let names = self.names.get(&observer).cloned().unwrap_or_default();
        let mut shown = false;
        for name in names {
            let knows = |member: &Member| member.contacts.contains(&identity);
            if self.members.get(&name).is_some_and(knows) {
                shown |= self.push(&name, ServerFrame::Presence { identity, online });
            }
        }
        shown
    }

    /// Puts a frame into a client's outbox; `false` if there is no such client or no room.
    fn push(&mut self, name: &Name, frame: ServerFrame) -> bool {
        let Some(member) = self.members.get(name) else { return false };
        let pushed = member.outbox.try_send(frame).is_ok();
        if !pushed {
            self.slow.push(name.clone());
        }
        pushed
    }

    /// Ends the registrations that had no room; telling others of it can make more of them.
    fn expel_slow(&mut self) {
        while let Some(name) = self.slow.pop() {
            if let Some(member) = self.remove(&name) {
                // Its connection may be gone already.
                let _ = member.eject.send(CloseCode::TimedOut);
            }
        }
    }
}

impl Calls {
    fn insert(&mut self, session: SessionId, parties: Parties, now: Instant) {
        while let Some((made, oldest)) = self.order.front().copied() {
            if now.saturating_duration_since(made) < CALL_MEMORY {
                break;
            }
            self.parties.remove(&oldest);
            self.order.pop_front();
        }
        self.parties.insert(session, parties);
        self.order.push_back((now, session));
    }

    /// The name of the other party, if this is one's.
    fn other(&self, session: &SessionId, party: &Name) -> Option<&Name> {
        let Parties { caller, callee } = self.parties.get(session)?;
        match (*party == caller.name, *party == callee.name) {
            (true, false) => Some(&callee.name),
            (false, true) => Some(&caller.name),
            _ => None,
        }
    }

    /// The other party, if this is one; the call is forgotten.
    fn take(&mut self, session: &SessionId, party: &Ticket) -> Option<Ticket> {
        let Parties { caller, callee } = self.parties.get(session)?;
        if party != caller && party != callee {
            return None;
        }
        let Parties { caller, callee } = self.parties.remove(session)?;
        Some(if *party == caller { callee } else { caller })
    }
}

#[cfg(test)]
mod tests;
