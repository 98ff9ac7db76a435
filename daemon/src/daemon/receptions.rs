//! Incoming transfers that were accepted: they are received while their sender is there, and kept
//! with what has arrived while it is not.

use std::collections::BTreeMap;
use std::path::PathBuf;

use filefleet_ctl::proto::{Event as Shown, TransferState};
use filefleet_server::protos::certificate::IdentityKey;
use filefleet_server::protos::name::Name;

use super::transfers::{Transfer, new_incoming, waits_for_sender};
use super::{Daemon, unix_now};
use crate::control::error;
use crate::peer::Session;
use crate::policy::{self, Count};
use crate::store::{Agreed, Ended, Incoming, Plan, TransferRecord};
use crate::transfer::proto::Totals;
use crate::transfer::{self, Reason, Reception, TransferId};

/// Senders that are looked for at once when this daemon is registered (again).
const MAX_LOOKED_FOR: usize = 32;
const DAY: u64 = 24 * 3_600;

/// A transfer that was just accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) id: TransferId,
    pub(super) dest_dir: PathBuf,
    pub(super) max_bytes: Option<u64>,
    /// What the person was shown who accepted it, if it was said to be all.
    pub(super) agreed: Option<Agreed>,
    /// Whether the sender wishes to replace what was sent before.
    pub(super) update: bool,
    pub(super) totals: Totals,
    pub(super) label: String,
    /// What it is, as the sender says, if it is a text.
    pub(super) text: Option<String>,
    /// The names at the top, as they were sent, where all of them are known.
    pub(super) tops: Option<Vec<Vec<u8>>>,
}

impl Daemon {
    /// Begins to receive.
    pub(super) fn receive(&mut self, accepted: Accepted, session: &Session) {
        let Accepted { id, dest_dir, max_bytes, agreed, update, totals, label, text, tops } =
            accepted;
        let make_dir = dest_dir == self.received_dir();
        let plan = Incoming { make_dir, max_bytes, agreed, update, ended: None };
        let (name, identity) = (session.name(), session.identity());
        let mut record = new_incoming(id, name, identity, label, &dest_dir, plan);
        let view = &mut record.view;
        (view.files, view.bytes, view.total_known) = (totals.files, totals.bytes, totals.exact);
        view.text = text;
        self.save_transfer(record.clone());
        self.show(&Shown::Transfer(record.view.clone()));
        self.transfers.insert(id, Transfer::resting(record));
        self.receive_below(id, tops, session);
    }

    /// Receives on what was accepted before, as it was accepted.
    pub(super) fn receive_on(&mut self, id: TransferId, session: &Session) {
        self.receive_below(id, None, session);
    }

    fn receive_below(&mut self, id: TransferId, tops: Option<Vec<Vec<u8>>>, session: &Session) {
        let Some(TransferRecord { view, plan, .. }) = self.known_transfer(id) else { return };
        let (Some(plan), Some(dest)) = (plan.incoming(), &view.dest) else { return };
        let reception = Reception {
            id,
            dest_dir: dest.as_path().to_owned(),
            make_dir: plan.make_dir,
            max_bytes: plan.max_bytes,
            agreed: plan.agreed,
            update: policy::update(plan.update, self.overwrite_of(session)),
            totals: Totals { files: view.files, bytes: view.bytes, exact: view.total_known },
            tops,
        };
        session.allow_direct();
        let running = self.engine.receive(reception, session.clone());
        self.follow(id, running);
    }

    /// Whether what this sender sent before may be replaced; `None` of a stranger.
    fn overwrite_of(&self, session: &Session) -> Option<bool> {
        self.contact_of(session).map(|contact| contact.overwrite)
    }

    /// Whether one more of this sender's may be received now.
    pub(super) fn has_room_for(&self, sender: &IdentityKey) -> bool {
        let running = self.incoming_count(sender, |transfer| transfer.running.is_some());
        running.of_all < policy::MAX_RUNNING && running.of_sender < policy::MAX_RUNNING_OF_SENDER
    }

    /// Keeps a transfer whose sender is away.
    pub(super) fn keep(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        let view = &mut transfer.record.view;
        view.detail = Some(waits_for_sender(&view.peer));
        let record = transfer.record.clone();
        self.show(&Shown::Transfer(record.view.clone()));
        self.save_transfer(record);
    }

    /// How many incoming transfers there are of this kind, from this sender and in all.
    pub(super) fn incoming_count(
        &self,
        sender: &IdentityKey,
        kind: impl Fn(&Transfer) -> bool,
    ) -> Count {
        let incoming = self.transfers.values().filter(|transfer| transfer.is_incoming());
        let counted: Vec<_> = incoming.filter(|transfer| kind(transfer)).collect();
        let of_sender = |transfer: &&&Transfer| transfer.record.identity.as_ref() == Some(sender);
        Count { of_sender: counted.iter().filter(of_sender).count(), of_all: counted.len() }
    }

    /// Lets the senders of what is kept know that this daemon is back: a call makes them look at
    /// what they have for it.
    pub(super) fn look_for_senders(&self) {
        let kept = self.transfers.values().filter(|t| t.is_incoming() && t.rests());
        let mut senders: BTreeMap<Name, IdentityKey> = BTreeMap::new();
        for transfer in kept {
            let name = transfer.record.view.peer.parse();
            if let (Ok(name), Some(identity)) = (name, transfer.record.identity) {
                senders.insert(name, identity);
            }
        }
        for (name, identity) in senders.into_iter().take(MAX_LOOKED_FOR) {
            let peers = self.peers.clone();
            self.spawn(async move {
                if let Err(error) = peers.session(&name, Some(identity)).await {
                    tracing::debug!(%name, %error, "a sender is not there");
                }
                None
            });
        }
    }

    /// Ends what was kept so long that its sender will not come back.
    pub(super) fn drop_forsaken(&mut self) {
        let days = self.settings.keep_days();
        let before = unix_now().saturating_sub(days.saturating_mul(DAY));
        let kept = self.transfers.values().filter(|t| t.is_incoming() && t.rests());
        let forsaken = kept.filter(|transfer| transfer.record.at < before);
        let forsaken: Vec<_> = forsaken.map(|transfer| transfer.record.id).collect();
        for id in forsaken {
            let Some(transfer) = self.transfers.get_mut(&id) else { continue };
            let error = error::sender_gone(&transfer.record.view.peer, days);
            if let Plan::Incoming(plan) = &mut transfer.record.plan {
                let text = format!("given up after {days} days");
                plan.ended = Some(Ended { reason: Reason::Unknown.number(), text });
            }
            self.end_with(id, TransferState::Failed, Some(error));
        }
    }

    /// Removes what had arrived of a transfer that does not run and has ended.
    pub(super) fn remove_partial(&self, record: &TransferRecord) {
        let (Some(dest), Some(sender)) = (record.view.dest.clone(), record.identity) else {
            return;
        };
        let folder_id = transfer::folder_id(&sender, record.id);
        self.tasks.spawn_blocking(move || transfer::remove_partial(dest.as_path(), folder_id));
    }
}
