//! Incoming requests: decided by the policy, kept until a person has decided, and answered from the
//! records when they come again.

mod answers;
mod pages;

use std::collections::HashMap;
use std::path::PathBuf;

use filefleet_ctl::proto::{Event as Shown, RequestView, TransferState};
use filefleet_server::protos::certificate::IdentityKey;

use super::receptions::Accepted;
use super::transfers::{Transfer, why_ended};
use super::{Answer, Daemon, Event, unix_now};
use crate::control::view;
use crate::error::DaemonError;
use crate::peer::Session;
use crate::policy::{self, Count, Decision, Rules, Sender};
use crate::store::{Contact, RequestRecord, TransferRecord};
use crate::transfer::loss::Losses;
use crate::transfer::progress::Fault;
use crate::transfer::proto::{Answer as WireAnswer, Envelope, Message, Preview, Totals};
use crate::transfer::{Reason, TransferId, Turn, Unrouted};

pub(crate) use self::answers::Consent;

/// A request that waits for a person.
#[derive(Debug)]
pub(super) struct Request {
    record: RequestRecord,
    /// Where it last came from; gone after a while without work.
    session: Option<Session>,
    /// Clients that wait for a page from the sender, by its offset.
    pages: HashMap<u64, Vec<Answer>>,
    /// How often its sender has counted it anew.
    recounts: u8,
}

impl Request {
    fn new(record: RequestRecord, session: Option<Session>) -> Self {
        Self { record, session, pages: HashMap::new(), recounts: 0 }
    }

    /// Its sender has counted further. Tells whether that is to be written down; `None` if it is no news.
    fn recount(&mut self, totals: Totals) -> Option<bool> {
        let view = &mut self.record.view;
        let known = Totals { files: view.files, bytes: view.bytes, exact: view.total_known };
        if totals == known {
            return None;
        }
        (view.files, view.bytes, view.total_known) = (totals.files, totals.bytes, totals.exact);
        view.text = view.text.take().and_then(|text| shown_text(text, totals));
        self.recounts = self.recounts.saturating_add(1);
        Some(self.recounts <= MAX_RECOUNTS)
    }
}

/// How often it is written down that a request which waits was counted anew: an honest sender does so
/// once in a run. After that the last word is only shown.
const MAX_RECOUNTS: u8 = 16;
/// The most bytes of texts of all that waits or is received. One that finds no room is not shown; it
/// comes as a file.
const MAX_TEXTS: usize = 512 << 10;

/// What a request says: how much, what, whether it is an update, and the text if it is one.
type Asked = (Totals, Vec<Preview>, bool, String);

impl Daemon {
    pub(super) async fn load_requests(&mut self) -> Result<(), DaemonError> {
        for record in self.store.requests().await? {
            self.requests.insert(record.id, Request::new(record, None));
        }
        Ok(())
    }

    /// A message for no running transfer: what the records say about it decides, so they are asked
    /// first where memory does not know.
    pub(super) fn look_up_record(&mut self, unrouted: Unrouted) {
        if let Some(record) = self.known_transfer(unrouted.transfer) {
            let record = Some(Box::new(record.clone()));
            return self.on_unrouted(unrouted, record);
        }
        if !needs_record(&unrouted.message) {
            return self.on_unrouted(unrouted, None);
        }
        let store = self.store.clone();
        self.spawn(async move {
            match store.transfer(unrouted.transfer).await {
                Ok(record) => Some(Event::Recorded { unrouted, record: record.map(Box::new) }),
                // Without the record it could be taken twice; the sender asks again.
                Err(error) => Some(Event::Warning(crate::error::chain(&error))),
            }
        });
    }

    pub(super) fn on_unrouted(&mut self, unrouted: Unrouted, record: Option<Box<TransferRecord>>) {
        // It may have ended a moment ago; then its record must say how.
        self.on_progress(unrouted.transfer);
        // What memory knows is newer than what the store knew a moment ago.
        let known = self.known_transfer(unrouted.transfer).cloned().map(Box::new);
        let record = known.or(record);
        // Dealt with when this returns, unless the turn is handed on.
        let Unrouted { session, transfer, message, turn } = unrouted;
        match message {
            Message::Request { totals, preview, update, text } => match record {
                Some(record) => {
                    self.on_repeated(&session, &record, (totals, preview, update, text))
                }
                None => self.on_request(session, transfer, (totals, preview, update, text), turn),
            },
            Message::Totals(totals) => self.on_totals(&session, transfer, totals, turn),
            Message::Cancel { reason, text } => {
                self.on_cancelled(&session, transfer, &Fault::from_peer(reason, text), turn);
            }
            Message::Page { offset, last, entries } => {
                self.on_page(&session, transfer, offset, last, &entries);
            }
            Message::Answer(WireAnswer::Accept { .. }) => {
                self.on_late_accept(&session, transfer, record.as_deref());
            }
            // Late words about what is over.
            _ => {}
        }
    }

    fn reply(&self, session: &Session, transfer: TransferId, message: Message) {
        // A session that is gone asks again in the next one.
        let sent = session.reply(Envelope { transfer, message }.encode().into());
        self.spawn(async move {
            sent.await;
            None
        });
    }

    /// A request for a transfer that is known already: its sender lost the last session, or this
    /// side's answer.
    fn on_repeated(
        &mut self,
        session: &Session,
        record: &TransferRecord,
        (totals, preview, update, text): Asked,
    ) {
        let id = record.id;
        let of_sender = record.plan.is_incoming() && record.identity == Some(session.identity());
        if !of_sender {
            let message = Message::Cancel { reason: Reason::Unknown, text: String::new() };
            return self.reply(session, id, message);
        }
        let rests = self.transfers.get(&id).is_some_and(Transfer::rests);
        match record.is_final {
            true => self.reply(session, id, outcome(record)),
            false if !rests => {
                // It began while this request was on its way: taken once, it goes on from here. If
                // its mailbox is full, its peer says far too much, and asks again in any case.
                self.engine.redeliver(
                    session,
                    id,
                    Message::Request { totals, preview, update, text },
                );
            }
            false if self.has_room_for(&session.identity()) => self.receive_on(id, session),
            false => self.decline_with(session, id, Reason::Busy, ""),
        }
    }

    /// The receiver of something that does not run just now accepts it.
    fn on_late_accept(
        &mut self,
        session: &Session,
        transfer: TransferId,
        record: Option<&TransferRecord>,
    ) {
        let ours = record.filter(|record| {
            !record.plan.is_incoming() && record.identity.is_none_or(|it| it == session.identity())
        });
        match ours {
            Some(record) if !record.is_final => self.wake_peer(session.name()),
            ours => {
                let (reason, text) = ours.map_or((Reason::Unknown, String::new()), why_ended);
                self.reply(session, transfer, Message::Cancel { reason, text });
            }
        }
    }

    fn on_request(
        &mut self,
        session: Session,
        id: TransferId,
        (totals, preview, update, text): Asked,
        turn: Turn,
    ) {
        if let Some(request) = self.requests.get_mut(&id) {
            if request.record.identity == session.identity() {
                request.session = Some(session.clone());
                self.reply(&session, id, Message::Answer(WireAnswer::Waiting));
            }
            return;
        }
        let decision =
            policy::decide(&self.sender(&session), totals.bytes, &self.rules(&session.identity()));
        tracing::debug!(transfer = %id, peer = %session.name(), ?decision, "request");
        match decision {
            Decision::Accept { dest_dir, max_bytes } => {
                let label = view::label_of_preview(&preview);
                let tops = view::tops_of_preview(&preview, totals);
                let text = shown_text(text, totals).filter(|text| self.has_room_for_text(text));
                let agreed = None;
                let accepted =
                    Accepted { id, dest_dir, max_bytes, agreed, update, totals, label, text, tops };
                self.receive(accepted, &session);
            }
            Decision::Ask => self.keep_request(session, id, (totals, preview, update, text), turn),
            Decision::Refuse => self.decline_with(&session, id, Reason::NotAllowed, ""),
            Decision::TooLarge { most } => {
                let text = format!("at most {most} bytes are accepted");
                self.decline_with(&session, id, Reason::TooLarge, &text);
            }
            Decision::Busy => self.decline_with(&session, id, Reason::Busy, ""),
        }
    }

    fn decline_with(&self, session: &Session, id: TransferId, reason: Reason, text: &str) {
        let text = text.to_owned();
        self.reply(session, id, Message::Answer(WireAnswer::Decline { reason, text }));
    }

    /// What the policy must know of a sender.
    fn sender(&self, session: &Session) -> Sender {
        self.contact_of(session).map_or_else(Sender::default, of_contact)
    }

    fn rules(&self, sender: &IdentityKey) -> Rules {
        let of_sender = |request: &&Request| request.record.identity == *sender;
        let waiting = Count {
            of_sender: self.requests.values().filter(of_sender).count(),
            of_all: self.requests.len(),
        };
        Rules {
            strangers: self.settings.accept_strangers(),
            contacts: self.settings.accept_contacts(),
            paused: self.settings.is_paused(),
            received_dir: self.received_dir(),
            max_bytes: self.settings.max_size(),
            waiting,
            running: self.incoming_count(sender, |it| it.running.is_some()),
            kept: self.incoming_count(sender, Transfer::rests),
        }
    }

    pub(crate) fn received_dir(&self) -> PathBuf {
        self.settings.received_dir().unwrap_or_else(|| self.home.received_dir().to_owned())
    }

    fn keep_request(
        &mut self,
        session: Session,
        id: TransferId,
        (totals, preview, update, text): Asked,
        turn: Turn,
    ) {
        let contact = self.contact_of(&session);
        let view = RequestView {
            id: id.to_string(),
            from: session.name().to_string(),
            identity: session.identity().fingerprint(),
            known: contact.is_some(),
            verified: contact.is_some_and(|contact| contact.verified),
            device: session.certificate().device_name().to_owned(),
            files: totals.files,
            bytes: totals.bytes,
            total_known: totals.exact,
            names: view::names_of_preview(&preview),
            text: shown_text(text, totals).filter(|text| self.has_room_for_text(text)),
            update,
            received_at: unix_now(),
        };
        let record = RequestRecord {
            id,
            identity: session.identity(),
            name: session.name().to_string(),
            view: view.clone(),
            entries: preview.iter().map(view::entry).collect(),
        };
        // Kept first, told after: what the sender hears of as waiting is not lost.
        let (store, saved) = (self.store.clone(), record.clone());
        let (answering, waiting) = (session.clone(), Message::Answer(WireAnswer::Waiting));
        self.save(async move {
            store.put_request(saved).await?;
            drop(turn);
            // A session that is gone asks again in the next one.
            answering.reply(Envelope { transfer: id, message: waiting }.encode().into()).await;
            Ok(())
        });
        self.requests.insert(id, Request::new(record, Some(session)));
        self.show(&Shown::Request(view));
    }

    fn has_room_for_text(&self, text: &str) -> bool {
        let incoming = self.transfers.values().filter(|it| it.is_incoming() && !it.is_final());
        let waiting = self.requests.values().map(|request| &request.record.view.text);
        let texts = incoming.map(|it| &it.record.view.text).chain(waiting).flatten();
        texts.map(String::len).sum::<usize>() + text.len() <= MAX_TEXTS
    }

    fn on_totals(&mut self, session: &Session, id: TransferId, totals: Totals, turn: Turn) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.record.identity != session.identity() {
            return;
        }
        let Some(is_kept) = request.recount(totals) else { return };
        let record = request.record.clone();
        let store = self.store.clone();
        self.show(&Shown::Request(record.view.clone()));
        if !is_kept {
            return;
        }
        self.save(async move {
            store.put_request(record).await?;
            drop(turn);
            Ok(())
        });
    }

    /// The other side says that something is over that does not run here.
    fn on_cancelled(&mut self, session: &Session, id: TransferId, fault: &Fault, turn: Turn) {
        let identity = session.identity();
        if self.requests.get(&id).is_some_and(|request| request.record.identity == identity) {
            self.forget_request_in(id, Some(turn));
        }
        let of_peer = |it: &Transfer| it.rests() && it.record.identity == Some(identity);
        if self.transfers.get(&id).is_some_and(of_peer) && !fault.is_passing() {
            self.end_resting(id, fault);
        }
    }

    fn forget_request(&mut self, id: TransferId) -> Option<Request> {
        self.forget_request_in(id, None)
    }

    /// The same; the turn is held until it is written.
    fn forget_request_in(&mut self, id: TransferId, turn: Option<Turn>) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        let store = self.store.clone();
        self.save(async move {
            store.remove_request(id).await?;
            drop(turn);
            Ok(())
        });
        self.show(&Shown::RequestGone { id: id.to_string() });
        Some(request)
    }

    pub(crate) fn request_views(&self) -> Vec<RequestView> {
        let mut views: Vec<_> = self.requests.values().map(|r| r.record.view.clone()).collect();
        views.sort_by(|one, other| {
            one.received_at.cmp(&other.received_at).then(one.id.cmp(&other.id))
        });
        views
    }
}

/// A text is shown in place of the names if it can be the one file that is sent.
fn shown_text(text: String, totals: Totals) -> Option<String> {
    let is_it = totals.files == 1 && totals.bytes == text.len() as u64;
    Some(text).filter(|text| !text.is_empty() && is_it)
}

/// Whether what a message means depends on how its transfer ended.
fn needs_record(message: &Message) -> bool {
    matches!(message, Message::Request { .. } | Message::Answer(WireAnswer::Accept { .. }))
}

/// What a sender is told that comes back to a transfer which has ended here.
fn outcome(record: &TransferRecord) -> Message {
    let view = &record.view;
    if view.state == TransferState::Done {
        let losses = Losses::of_views(&view.losses);
        return Message::Complete { files: view.files_done, bytes: view.bytes_done, losses };
    }
    let (reason, text) = why_ended(record);
    match view.state {
        TransferState::Declined => Message::Answer(WireAnswer::Decline { reason, text }),
        _ => Message::Cancel { reason, text },
    }
}

/// What the policy must know of a contact.
fn of_contact(contact: &Contact) -> Sender {
    Sender {
        accept: Some(contact.accept),
        dest_dir: contact.dest_dir.clone(),
        max_bytes: contact.max_bytes,
    }
}

#[cfg(test)]
mod tests {
    use filefleet_ctl::testing;

    use super::*;

    #[test]
    fn a_request_is_written_down_anew_only_for_news_and_a_few_times() {
        let record = RequestRecord {
            id: TransferId([1; 16]),
            identity: IdentityKey::from_bytes([1; 32]),
            name: "bob".to_owned(),
            view: testing::request("01", "bob"),
            entries: Vec::new(),
        };
        let mut request = Request::new(record, None);
        let counted = |files| Totals { files, bytes: 7, exact: false };
        assert_eq!(request.recount(counted(5)), Some(true));
        assert_eq!(request.recount(counted(5)), None, "that is known");
        assert_eq!((request.record.view.files, request.record.view.bytes), (5, 7));
        let kept = (6..1_000).filter(|files| request.recount(counted(*files)) == Some(true));
        assert_eq!(kept.count(), usize::from(MAX_RECOUNTS) - 1);
        assert_eq!(request.record.view.files, 999, "the last word counts");
    }
}
