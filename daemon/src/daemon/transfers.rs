//! The transfers that the daemon knows: running ones, recent ones, and those that wait for an answer
//! since before the last restart.

use std::path::PathBuf;

use filefleet_ctl::proto::{
    ControlError, Direction, ErrorCode, Event as Shown, TransferView, WirePath,
};
use filefleet_server::protos::certificate::IdentityKey;
use filefleet_server::protos::name::Name;
use tokio::sync::watch;

use super::{Answer, Daemon, Event, unix_now};
use crate::control::{error, view};
use crate::error::DaemonError;
use crate::policy::Count;
use crate::store::TransferRecord;
use crate::transfer::progress::Progress;
use crate::transfer::{self, Order, Running, TransferId};
use filefleet_ctl::proto::{Reply, TransferState};

/// Finished transfers that stay in memory, to be shown without asking the store.
const MAX_RECENT: usize = 200;
/// The most transfers that run at once in one direction; more wait for a person to try again.
const MAX_RUNNING: usize = 200;

/// A transfer as the daemon keeps it.
#[derive(Debug)]
pub(super) struct Transfer {
    record: TransferRecord,
    running: Option<Running>,
}

impl Transfer {
    pub(super) fn is_final(&self) -> bool {
        self.record.is_final
    }

    /// What the store must still hear when the daemon stops: the last word of a running transfer. One
    /// that only waits for a person's answer goes on after the next start.
    pub(super) fn unsaved_record(&self) -> Option<TransferRecord> {
        let running = self.running.as_ref()?;
        let mut record = self.record.clone();
        // A person may have cancelled or declined it a moment ago.
        let goes_on = !running.progress.borrow().is_over();
        if goes_on
            && record.view.state == TransferState::Waiting
            && !record.incoming
            && record.view.bytes_done == 0
        {
            return Some(record);
        }
        view::update(&mut record.view, &running.progress.borrow());
        record.is_final = record.view.state.is_final();
        Some(record)
    }
}

impl Daemon {
    /// Transfers that had not ended when the daemon was last stopped: outgoing ones that wait for an
    /// answer still do; the others were cut off, and their partial files are removed.
    pub(super) async fn load_transfers(&mut self) -> Result<(), DaemonError> {
        let mut leftovers = Vec::new();
        for mut record in self.store.transfers(true, u32::MAX).await? {
            let to: Result<Name, _> = record.view.peer.parse();
            let waits = record.view.state == TransferState::Waiting && record.view.bytes_done == 0;
            match to {
                Ok(to) if !record.incoming && waits => {
                    // Somebody first met by this transfer was pinned after it was recorded.
                    let pinned = self.contacts.get(&to).map(|contact| contact.identity);
                    let order = Order {
                        id: record.id,
                        to,
                        expected: record.identity.or(pinned),
                        sources: record.sources.clone(),
                        asked: true,
                    };
                    let running = self.engine.send(order, &self.peers);
                    self.follow(record, running);
                }
                _ => {
                    if let (true, Some(dest), Some(sender)) =
                        (record.incoming, &record.view.dest, &record.identity)
                    {
                        let folder_id = transfer::folder_id(sender, record.id);
                        leftovers.push((dest.as_path().to_owned(), folder_id));
                    }
                    record.is_final = true;
                    record.view.state = TransferState::Failed;
                    record.view.error = Some(error::cut_off());
                    self.store.put_transfer(record).await?;
                }
            }
        }
        for record in self.store.transfers(false, MAX_RECENT as u32).await? {
            self.transfers.entry(record.id).or_insert(Transfer { record, running: None });
        }
        self.tasks.spawn_blocking(move || transfer::remove_leftovers(&leftovers));
        Ok(())
    }

    /// Starts to send.
    pub(crate) fn send(&mut self, to: &str, sources: Vec<PathBuf>, answer: Answer) {
        match self.try_send(to, sources) {
            Ok(id) => {
                let _ = answer.send(Ok(Reply::SendStarted { transfer: id.to_string() }));
            }
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn try_send(&mut self, to: &str, sources: Vec<PathBuf>) -> Result<TransferId, ControlError> {
        let to = error::name(to)?;
        let own_name = self.settings.name().ok_or_else(error::not_registered)?;
        if to == own_name {
            return Err(ControlError::new(ErrorCode::BadArgument, "that is your own name"));
        }
        if sources.is_empty() || !sources.iter().all(|source| source.is_absolute()) {
            return Err(ControlError::new(ErrorCode::BadArgument, "paths must be absolute"));
        }
        if self.transfers.values().filter(|transfer| !transfer.is_final()).count() >= MAX_RUNNING {
            return Err(ControlError::new(
                ErrorCode::RateLimited,
                "too many transfers run already",
            ));
        }
        let id = TransferId::random();
        let identity = self.contacts.get(&to).map(|contact| contact.identity);
        let label = view::label_of_sources(&sources);
        let record = new_record(id, Direction::Outgoing, &to, identity, label, sources.clone());
        let order = Order { id, to, expected: identity, sources, asked: false };
        let running = self.engine.send(order, &self.peers);
        self.follow(record, running);
        Ok(id)
    }

    /// Keeps, shows and follows a transfer that has just been started.
    pub(super) fn follow(&mut self, record: TransferRecord, running: Running) {
        let id = record.id;
        let mut progress: watch::Receiver<Progress> = running.progress.clone();
        let events = self.events.clone();
        self.tasks.spawn(async move {
            // The transfer's task paces itself; the loop hears of the last change in any case.
            while progress.changed().await.is_ok() {
                if events.send(Event::Progress(id)).await.is_err() {
                    return;
                }
            }
        });
        self.save_transfer(record.clone());
        self.show(&Shown::Transfer(record.view.clone()));
        self.transfers.insert(id, Transfer { record, running: Some(running) });
    }

    pub(super) fn on_progress(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        let Some(running) = &transfer.running else { return };
        let before = transfer.record.view.state;
        view::update(&mut transfer.record.view, &running.progress.borrow());
        let state = transfer.record.view.state;
        transfer.record.at = unix_now();
        if state.is_final() {
            transfer.record.is_final = true;
            transfer.running = None;
            tracing::info!(transfer = %id, ?state, "transfer ended");
        }
        if state != before {
            let record = transfer.record.clone();
            self.save_transfer(record);
        }
        let view = self.transfers.get(&id).map(|transfer| transfer.record.view.clone());
        view.into_iter().for_each(|view| self.show(&Shown::Transfer(view)));
        self.forget_oldest();
    }

    pub(super) fn save_transfer(&self, record: TransferRecord) {
        let store = self.store.clone();
        self.save(async move { store.put_transfer(record).await });
    }

    fn forget_oldest(&mut self) {
        let ended = self.transfers.values().filter(|transfer| transfer.is_final());
        let mut ended: Vec<_> =
            ended.map(|transfer| (transfer.record.at, transfer.record.id)).collect();
        if ended.len() > MAX_RECENT {
            ended.sort_unstable();
            self.transfers.remove(&ended[0].1);
        }
    }

    /// Whether something is being sent to this person, or was: then we have chosen to know them.
    pub(super) fn sends_to(&self, name: &Name) -> bool {
        let outgoing = |transfer: &&Transfer| transfer.record.view.direction == Direction::Outgoing;
        let to = name.to_string();
        self.transfers.values().filter(outgoing).any(|t| !t.is_final() && t.record.view.peer == to)
    }

    /// How many transfers are being received, from this sender and in all.
    pub(super) fn incoming_running(&self, sender: &IdentityKey) -> Count {
        let incoming =
            |transfer: &&Transfer| transfer.record.incoming && transfer.running.is_some();
        let running: Vec<_> = self.transfers.values().filter(incoming).collect();
        let of_sender = |transfer: &&&Transfer| transfer.record.identity.as_ref() == Some(sender);
        Count { of_sender: running.iter().filter(of_sender).count(), of_all: running.len() }
    }

    pub(crate) fn cancel(&mut self, id: &str) -> Result<Reply, ControlError> {
        let id = error::transfer_id(id)?;
        let transfer = self.transfers.get(&id).ok_or_else(error::no_such_transfer)?;
        match &transfer.running {
            Some(running) => running.cancel.cancel(),
            None => {
                let text = "the transfer has ended already";
                return Err(ControlError::new(ErrorCode::NoSuchTransfer, text));
            }
        }
        Ok(Reply::Done)
    }

    /// The transfers in memory, newest first; with `all`, those that ended too.
    pub(crate) fn transfer_views(&self, all: bool) -> Vec<TransferView> {
        let shown = self.transfers.values().filter(|transfer| all || !transfer.is_final());
        let mut views: Vec<_> = shown.map(|transfer| transfer.record.view.clone()).collect();
        views.sort_by(|one, other| {
            other.started_at.cmp(&one.started_at).then(one.id.cmp(&other.id))
        });
        views
    }

    /// The outcome of a transfer that ended, for a peer that asks again.
    pub(super) fn known_transfer(&self, id: TransferId) -> Option<&TransferRecord> {
        self.transfers.get(&id).map(|transfer| &transfer.record)
    }
}

/// The record of a transfer that starts now.
pub(super) fn new_record(
    id: TransferId,
    direction: Direction,
    peer: &Name,
    identity: Option<IdentityKey>,
    label: String,
    sources: Vec<PathBuf>,
) -> TransferRecord {
    let now = unix_now();
    let incoming = direction == Direction::Incoming;
    let view = view::new_transfer(id, direction, peer.to_string(), label, now);
    TransferRecord { id, incoming, identity, is_final: false, at: now, view, sources }
}

/// The same for an incoming one, with the folder it goes to.
pub(super) fn new_incoming(
    id: TransferId,
    peer: &Name,
    identity: IdentityKey,
    label: String,
    dest_dir: &std::path::Path,
) -> TransferRecord {
    let mut record = new_record(id, Direction::Incoming, peer, Some(identity), label, Vec::new());
    record.view.dest = Some(WirePath::from(dest_dir));
    record
}
