//! A person's answer to a waiting request, and how it reaches the sender wherever it is by now.

use std::path::PathBuf;

use filefleet_ctl::proto::{ControlError, ErrorCode, Event as Shown, Offer, Reply, TransferState};
use filefleet_server::protos::name::Name;
use tokio::sync::oneshot;

use super::{Request, of_contact};
use crate::control::{error, view};
use crate::daemon::receptions::Accepted;
use crate::daemon::transfers::new_incoming;
use crate::daemon::{Answer, Daemon, Event};
use crate::peer::Session;
use crate::policy::{self, Decision};
use crate::store::{Agreed, Incoming, RequestRecord};
use crate::transfer::proto::{Answer as WireAnswer, Envelope, Message, Totals};
use crate::transfer::{Reason, TransferId};

/// What a person agrees to who accepts a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Consent {
    /// What this sender sends is taken from then on.
    pub(crate) always: bool,
    /// How much they were shown; anything without.
    pub(crate) seen: Option<Offer>,
}

impl Consent {
    /// How much they agree to, if what they were shown was said to be all.
    fn agreed(&self) -> Option<Agreed> {
        let all = self.seen.filter(|seen| seen.total_known);
        all.map(|Offer { files, bytes, .. }| Agreed { files, bytes })
    }
}

impl Daemon {
    /// A person accepts: the sender is reached, wherever it is by now, and told.
    pub(crate) fn accept(
        &mut self,
        id: &str,
        to: Option<PathBuf>,
        consent: Consent,
        answer: Answer,
    ) {
        let found = self
            .find_request(id)
            .map(|request| (request.record.id, name_of(request), request.record.identity));
        let (id, name, identity) = match found {
            Ok((id, Ok(name), identity)) => (id, name, identity),
            Ok((_, Err(error), _)) | Err(error) => return drop(answer.send(Err(error))),
        };
        if !self.is_covered(id, &consent) {
            return self.ask_again(id, answer);
        }
        let contact = self.contacts.get(&name).filter(|contact| contact.identity == identity);
        let own_dir = contact.and_then(|contact| contact.dest_dir.clone());
        let dest_dir = to.or(own_dir).unwrap_or_else(|| self.received_dir());
        let peers = self.peers.clone();
        self.spawn(async move {
            match peers.session(&name, Some(identity)).await {
                Ok(session) => Some(Event::Reached { id, dest_dir, consent, session, answer }),
                Err(failure) => {
                    let _ = answer.send(Err(error::of_connect(&name, &failure)));
                    Some(Event::NotReached { id })
                }
            }
        });
    }

    /// Takes what waited only because receiving was paused. Whose sender cannot be reached now goes
    /// on waiting for a person.
    pub(crate) fn take_what_was_paused(&mut self) {
        let ids: Vec<_> =
            self.requests.values().filter(|r| self.is_welcome(r)).map(id_of).collect();
        for id in ids {
            let (nobody, _) = oneshot::channel();
            self.accept(&id.to_string(), None, Consent::default(), nobody);
        }
    }

    /// Whether a request that waits would be taken if it came now.
    fn is_welcome(&self, request: &Request) -> bool {
        let RequestRecord { identity, view, .. } = &request.record;
        let contact = name_of(request).ok().and_then(|name| self.contacts.get(&name));
        let sender = contact.filter(|contact| contact.identity == *identity).map(of_contact);
        let rules = self.rules(identity);
        let decision = policy::decide(&sender.unwrap_or_default(), view.bytes, &rules);
        matches!(decision, Decision::Accept { .. })
    }

    fn find_request(&self, id: &str) -> Result<&Request, ControlError> {
        let id = error::request_id(id)?;
        self.requests.get(&id).ok_or_else(error::no_such_request)
    }

    pub(in crate::daemon) fn show_request(&mut self, id: TransferId) {
        if let Some(request) = self.requests.get(&id) {
            let view = request.record.view.clone();
            self.show(&Shown::Request(view));
        }
    }

    /// Whether what a request offers is what a person has agreed to.
    fn is_covered(&self, id: TransferId, consent: &Consent) -> bool {
        let (request, seen) = (self.requests.get(&id), consent.seen);
        request.zip(seen).is_none_or(|(request, seen)| seen.covers(&request.record.view.offer()))
    }

    /// Shows a request once more, to whoever has accepted less than it offers.
    fn ask_again(&mut self, id: TransferId, answer: Answer) {
        self.show_request(id);
        let _ = answer.send(Err(error::request_changed()));
    }

    /// The sender of an accepted request was reached.
    pub(in crate::daemon) fn start_receiving(
        &mut self,
        id: TransferId,
        dest_dir: PathBuf,
        consent: Consent,
        session: Session,
        answer: Answer,
    ) {
        // Reaching it took its time.
        if !self.is_covered(id, &consent) {
            return self.ask_again(id, answer);
        }
        let Some(request) = self.requests.get(&id) else {
            return drop(answer.send(Err(error::no_such_request())));
        };
        let view = request.record.view.clone();
        let totals = Totals { files: view.files, bytes: view.bytes, exact: view.total_known };
        let max_bytes = self.sender(&session).max_bytes.or(self.settings.max_size());
        self.pin(&session);
        if consent.always {
            self.trust(&session);
        }
        let label = view::label_of_names(&view.names);
        // The transfer is kept before the request is forgotten.
        // Of what was shown to the person, the names are not known as they were sent.
        let tops = None;
        let (update, text) = (view.update, view.text);
        let agreed = consent.agreed();
        let accepted =
            Accepted { id, dest_dir, max_bytes, agreed, update, totals, label, text, tops };
        self.receive(accepted, &session);
        self.forget_request(id);
        let _ = answer.send(Ok(Reply::Done));
    }

    /// A person declines.
    pub(crate) fn decline(&mut self, id: &str) -> Result<Reply, ControlError> {
        let id = self.find_request(id)?.record.id;
        let Some(request) = self.forget_request(id) else { return Err(error::no_such_request()) };
        let Ok(name) = name_of(&request) else { return Ok(Reply::Done) };
        let identity = request.record.identity;
        let label = view::label_of_names(&request.record.view.names);
        let (dir, plan) = (self.received_dir(), Incoming::default());
        let mut record = new_incoming(id, &name, identity, label, &dir, plan);
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
}

fn id_of(request: &Request) -> TransferId {
    request.record.id
}

fn name_of(request: &Request) -> Result<Name, ControlError> {
    let bad = |_| ControlError::new(ErrorCode::Internal, "the request's sender has no valid name");
    request.record.name.parse().map_err(bad)
}
