//! Incoming requests: decided by the policy, kept until a person has decided, and answered from the
//! records when they come again.

use std::collections::HashMap;
use std::path::PathBuf;

use filefleet_ctl::proto::{
    ControlError, EntryKind, EntryView, ErrorCode, Event as Shown, Reply, RequestPage, RequestView,
    TransferState,
};
use filefleet_server::protos::name::Name;

use super::transfers::new_incoming;
use super::{Answer, Daemon, Event, unix_now};
use crate::control::{error, view};
use crate::error::DaemonError;
use crate::peer::Session;
use crate::policy::{self, Decision, Rules, Sender, Waiting};
use crate::store::{RequestRecord, TransferRecord};
use crate::transfer::proto::{
    Answer as WireAnswer, Envelope, MAX_PREVIEW, Message, Preview, Totals,
};
use crate::transfer::{Reason, Reception, TransferId, Unrouted};

/// The longest page of a manifest that a client may ask for at once.
const MAX_PAGE: u64 = 1_000;
/// Clients that may wait for pages of one request.
const MAX_PAGE_WAITERS: usize = 8;

/// A request that waits for a person.
#[derive(Debug)]
pub(super) struct Request {
    record: RequestRecord,
    /// Where it last came from; gone after a while without work.
    session: Option<Session>,
    /// Clients that wait for a page from the sender, by its offset.
    pages: HashMap<u64, Vec<Answer>>,
}

impl Request {
    /// Whether the preview that came with the request is the whole manifest.
    fn previews_all(&self) -> bool {
        let RequestRecord { view, entries, .. } = &self.record;
        let files = entries.iter().filter(|entry| entry.kind == EntryKind::File).count() as u64;
        view.total_known && files == view.files && entries.len() < usize::from(MAX_PREVIEW)
    }
}

impl Daemon {
    pub(super) async fn load_requests(&mut self) -> Result<(), DaemonError> {
        for record in self.store.requests().await? {
            let request = Request { record, session: None, pages: HashMap::new() };
            self.requests.insert(request.record.id, request);
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
        if !matches!(unrouted.message, Message::Request { .. }) {
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
        let Unrouted { session, transfer, message } = unrouted;
        match message {
            Message::Request { totals, preview } => match record {
                Some(record) => self.answer_from_record(&session, &record),
                None => self.on_request(session, transfer, totals, preview),
            },
            Message::Totals(totals) => self.on_totals(&session, transfer, totals),
            Message::Cancel { .. } => self.on_withdrawn(&session, transfer),
            Message::Page { offset, last, entries } => {
                self.on_page(&session, transfer, offset, last, &entries);
            }
            Message::Answer(WireAnswer::Accept { .. }) => {
                let message = Message::Cancel { reason: Reason::Unknown, text: String::new() };
                self.reply(&session, transfer, message);
            }
            // Late words about what is over.
            _ => {}
        }
    }

    fn reply(&self, session: &Session, transfer: TransferId, message: Message) {
        let (session, bytes) = (session.clone(), Envelope { transfer, message }.encode());
        // A session that is gone asks again in the next one.
        self.spawn(async move { session.send(bytes.into()).await.ok().and(None) });
    }

    /// A transfer that has ended: the sender did not hear, and is told again.
    fn answer_from_record(&self, session: &Session, record: &TransferRecord) {
        if record.identity != Some(session.identity()) || !record.incoming {
            let message = Message::Cancel { reason: Reason::Unknown, text: String::new() };
            return self.reply(session, record.id, message);
        }
        let view = &record.view;
        let message = match view.state {
            TransferState::Done => {
                Message::Complete { files: view.files_done, bytes: view.bytes_done }
            }
            TransferState::Declined => Message::Answer(WireAnswer::Decline {
                reason: Reason::Declined,
                text: String::new(),
            }),
            TransferState::Cancelled => {
                Message::Cancel { reason: Reason::Cancelled, text: String::new() }
            }
            _ => Message::Cancel { reason: Reason::Unknown, text: String::new() },
        };
        self.reply(session, record.id, message);
    }

    fn on_request(
        &mut self,
        session: Session,
        id: TransferId,
        totals: Totals,
        preview: Vec<Preview>,
    ) {
        if let Some(request) = self.requests.get_mut(&id) {
            if request.record.identity == session.identity() {
                request.session = Some(session.clone());
                self.reply(&session, id, Message::Answer(WireAnswer::Waiting));
            }
            return;
        }
        let decision = policy::decide(&self.sender(&session), totals.bytes, &self.rules(&session));
        tracing::debug!(transfer = %id, peer = %session.name(), ?decision, "request");
        match decision {
            Decision::Accept { dest_dir, max_bytes } => {
                let label = view::label_of_preview(&preview);
                self.receive(id, &session, dest_dir, max_bytes, totals, label);
            }
            Decision::Ask => self.keep_request(session, id, totals, &preview),
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
        match self.contact_of(session) {
            Some(contact) => Sender {
                accept: Some(contact.accept),
                dest_dir: contact.dest_dir.clone(),
                max_bytes: contact.max_bytes,
            },
            None => Sender::default(),
        }
    }

    fn rules(&self, session: &Session) -> Rules {
        let of_sender = |request: &&Request| request.record.identity == session.identity();
        let waiting = Waiting {
            of_sender: self.requests.values().filter(of_sender).count(),
            of_all: self.requests.len(),
        };
        Rules {
            strangers: self.settings.accept_strangers(),
            received_dir: self.received_dir(),
            max_bytes: self.settings.max_size(),
            waiting,
            running: self.incoming_running(),
        }
    }

    pub(crate) fn received_dir(&self) -> PathBuf {
        self.settings.received_dir().unwrap_or_else(|| self.home.received_dir().to_owned())
    }

    fn keep_request(
        &mut self,
        session: Session,
        id: TransferId,
        totals: Totals,
        preview: &[Preview],
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
            names: view::names_of_preview(preview),
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
            let bytes = Envelope { transfer: id, message: waiting }.encode();
            // A session that is gone asks again in the next one.
            let _ = answering.send(bytes.into()).await;
            Ok(())
        });
        self.requests.insert(id, Request { record, session: Some(session), pages: HashMap::new() });
        self.show(&Shown::Request(view));
    }

    fn on_totals(&mut self, session: &Session, id: TransferId, totals: Totals) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.record.identity != session.identity() {
            return;
        }
        let view = &mut request.record.view;
        (view.files, view.bytes, view.total_known) = (totals.files, totals.bytes, totals.exact);
        let record = request.record.clone();
        let store = self.store.clone();
        self.show(&Shown::Request(record.view.clone()));
        self.save(async move { store.put_request(record).await });
    }

    fn on_withdrawn(&mut self, session: &Session, id: TransferId) {
        let of_sender = |request: &Request| request.record.identity == session.identity();
        if self.requests.get(&id).is_some_and(of_sender) {
            self.forget_request(id);
        }
    }

    fn forget_request(&mut self, id: TransferId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        let store = self.store.clone();
        self.save(async move { store.remove_request(id).await });
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

    /// A person accepts: the sender is reached, wherever it is by now, and told.
    pub(crate) fn accept(&mut self, id: &str, to: Option<PathBuf>, answer: Answer) {
        let found = self
            .find_request(id)
            .map(|request| (request.record.id, name_of(request), request.record.identity));
        let (id, name, identity) = match found {
            Ok((id, Ok(name), identity)) => (id, name, identity),
            Ok((_, Err(error), _)) | Err(error) => return drop(answer.send(Err(error))),
        };
        let contact = self.contacts.get(&name).filter(|contact| contact.identity == identity);
        let own_dir = contact.and_then(|contact| contact.dest_dir.clone());
        let dest_dir = to.or(own_dir).unwrap_or_else(|| self.received_dir());
        let peers = self.peers.clone();
        self.spawn(async move {
            match peers.session(&name, Some(identity)).await {
                Ok(session) => Some(Event::Reached { id, dest_dir, session, answer }),
                Err(failure) => {
                    let _ = answer.send(Err(error::of_connect(&name, &failure)));
                    Some(Event::NotReached { id })
                }
            }
        });
    }

    fn find_request(&self, id: &str) -> Result<&Request, ControlError> {
        let id = error::request_id(id)?;
        self.requests.get(&id).ok_or_else(error::no_such_request)
    }

    pub(super) fn show_request(&mut self, id: TransferId) {
        if let Some(request) = self.requests.get(&id) {
            let view = request.record.view.clone();
            self.show(&Shown::Request(view));
        }
    }

    /// The sender of an accepted request was reached.
    pub(super) fn start_receiving(
        &mut self,
        id: TransferId,
        dest_dir: PathBuf,
        session: Session,
        answer: Answer,
    ) {
        let Some(request) = self.forget_request(id) else {
            return drop(answer.send(Err(error::no_such_request())));
        };
        let RequestRecord { view, .. } = request.record;
        let totals = Totals { files: view.files, bytes: view.bytes, exact: view.total_known };
        let max_bytes = self.sender(&session).max_bytes.or(self.settings.max_size());
        self.pin(&session);
        self.receive(id, &session, dest_dir, max_bytes, totals, view::label_of_names(&view.names));
        let _ = answer.send(Ok(Reply::Done));
    }

    fn receive(
        &mut self,
        id: TransferId,
        session: &Session,
        dest_dir: PathBuf,
        max_bytes: Option<u64>,
        totals: Totals,
        label: String,
    ) {
        session.allow_direct();
        let record = new_incoming(id, session.name(), session.identity(), label, &dest_dir);
        let make_dir = dest_dir == self.received_dir();
        let reception = Reception { id, dest_dir, make_dir, max_bytes, totals };
        let running = self.engine.receive(reception, session.clone());
        self.follow(record, running);
    }

    /// A person declines.
    pub(crate) fn decline(&mut self, id: &str) -> Result<Reply, ControlError> {
        let id = self.find_request(id)?.record.id;
        let Some(request) = self.forget_request(id) else { return Err(error::no_such_request()) };
        let Ok(name) = name_of(&request) else { return Ok(Reply::Done) };
        let identity = request.record.identity;
        let label = view::label_of_names(&request.record.view.names);
        let mut record = new_incoming(id, &name, identity, label, &self.received_dir());
        (record.is_final, record.view.state) = (true, TransferState::Declined);
        // The record answers a sender that cannot be reached now and asks again.
        self.save_transfer(record);
        let peers = self.peers.clone();
        let message =
            Message::Answer(WireAnswer::Decline { reason: Reason::Declined, text: String::new() });
        self.spawn(async move {
            if let Ok(session) = peers.session(&name, Some(identity)).await {
                let bytes = Envelope { transfer: id, message }.encode();
                let _ = session.send(bytes.into()).await;
            }
            None
        });
        Ok(Reply::Done)
    }

    /// A page of a waiting request's manifest: from the preview as far as it goes, then from the
    /// sender.
    pub(crate) fn request_page(&mut self, id: &str, offset: u64, limit: u64, answer: Answer) {
        let request = error::request_id(id)
            .and_then(|id| self.requests.get_mut(&id).ok_or_else(error::no_such_request));
        let request = match request {
            Ok(request) => request,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let limit = limit.clamp(1, MAX_PAGE);
        let total = request.record.view.files;
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let known = request.record.entries.iter().skip(skip).take(limit as usize);
        let entries: Vec<_> = known.cloned().collect();
        let waiters = request.pages.values().map(Vec::len).sum::<usize>();
        let open = request.session.clone().filter(|session| session.close_reason().is_none());
        match open {
            Some(session) if entries.is_empty() && waiters < MAX_PAGE_WAITERS => {
                request.pages.entry(offset).or_default().push(answer);
                let limit = u16::try_from(limit).unwrap_or(u16::MAX);
                let transfer = request.record.id;
                self.reply(&session, transfer, Message::PageQuery { offset, limit });
            }
            // Known, or not to be had now: the sender is away.
            _ => {
                let complete =
                    request.previews_all() && skip + entries.len() == request.record.entries.len();
                let page = RequestPage { entries, total, complete };
                let _ = answer.send(Ok(Reply::RequestPage(page)));
            }
        }
    }

    fn on_page(
        &mut self,
        session: &Session,
        id: TransferId,
        offset: u64,
        last: bool,
        entries: &[Preview],
    ) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.record.identity != session.identity() {
            return;
        }
        let entries: Vec<EntryView> = entries.iter().map(view::entry).collect();
        let total = request.record.view.files;
        for answer in request.pages.remove(&offset).unwrap_or_default() {
            let page = RequestPage { entries: entries.clone(), total, complete: last };
            let _ = answer.send(Ok(Reply::RequestPage(page)));
        }
    }
}

fn name_of(request: &Request) -> Result<Name, ControlError> {
    let bad = |_| ControlError::new(ErrorCode::Internal, "the request's sender has no valid name");
    request.record.name.parse().map_err(bad)
}
