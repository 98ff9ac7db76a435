//! The transfers that the daemon knows: those that run, those that rest until they can go on, and
//! those that ended a short while ago.

mod recent;

use filefleet_ctl::proto::{
    ControlError, Direction, Event as Shown, Reply, TransferState, TransferView, WirePath,
};
use filefleet_server::protos::certificate::IdentityKey;
use filefleet_server::protos::name::Name;
use tokio::sync::watch;
use tokio::time::Instant;

use super::outbox::{Retry, listed};
use super::spooled::spooled_of;
use super::{Answer, Daemon, Event, unix_now};
use crate::control::{error, view};
use crate::error::DaemonError;
use crate::peer::Session;
use crate::store::{Ended, Incoming, Plan, TransferRecord};
use crate::transfer::progress::{Cause, Fault, Progress, State};
use crate::transfer::proto::{Envelope, Message};
use crate::transfer::{Reason, Running, TransferId};

/// The most bytes of a list of transfers, as JSON, beyond what is said of each in any case: the state,
/// which has two, waits for a client together with the events that follow it.
pub(super) const MAX_LIST: usize = 1 << 20;

/// A transfer as the daemon keeps it.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) record: TransferRecord,
    /// Its present run; a transfer that has none and has not ended *rests*.
    pub(super) running: Option<Running>,
    pub(super) retry: Retry,
    /// Whether it has had a run, maybe in a program that was killed and noted nothing of it.
    pub(super) has_run: bool,
    /// Those who wish to cancel it and wait to hear what came of that.
    cancels: Vec<Answer>,
    /// What the runs before the present one count for.
    before: view::Before,
}

impl Transfer {
    /// One that does not run and may have run.
    pub(super) fn resting(record: TransferRecord) -> Self {
        let before = view::Before::default();
        let (retry, cancels) = (Retry::new(Instant::now()), Vec::new());
        Self { record, running: None, retry, has_run: true, cancels, before }
    }

    /// One that begins.
    pub(super) fn fresh(record: TransferRecord) -> Self {
        Self { has_run: false, ..Self::resting(record) }
    }

    pub(super) fn is_final(&self) -> bool {
        self.record.is_final
    }

    pub(super) fn is_incoming(&self) -> bool {
        self.record.plan.is_incoming()
    }

    /// Whether it has not ended and does not run.
    pub(super) fn rests(&self) -> bool {
        !self.record.is_final && self.running.is_none()
    }

    /// Brings the record up to date with the present run.
    fn note(&mut self) {
        let Some(running) = &self.running else { return };
        let progress = running.progress.borrow();
        let record = &mut self.record;
        note_plan(&mut record.plan, &progress);
        let resting = record.resting_state();
        view::update(&mut record.view, &progress, &self.before, resting);
        record.is_final = progress.state.is_final();
        record.at = unix_now();
    }

    /// What the store must still hear when the daemon stops: the last word of a running transfer.
    /// One that has not ended rests until the next start.
    pub(super) fn unsaved_record(&mut self) -> Option<TransferRecord> {
        self.running.as_ref()?;
        self.note();
        Some(self.record.clone())
    }
}

fn note_plan(plan: &mut Plan, progress: &Progress) {
    if let Plan::Outgoing(plan) = plan {
        plan.accepted |= progress.accepted;
        plan.asked |= progress.state == State::Waiting;
    }
    if progress.state.is_final() {
        plan.set_ended(progress.fault.as_ref().map(ended_by));
    }
}

fn ended_by(fault: &Fault) -> Ended {
    let reason = reason_of(fault);
    Ended { reason: reason.number(), text: reason.text_for_peer(&fault.text) }
}

/// What a peer is told of a transfer that ended here with this fault.
fn reason_of(fault: &Fault) -> Reason {
    match fault.cause {
        Cause::Reason(reason) => reason,
        _ => Reason::Other,
    }
}

impl TransferRecord {
    /// The state that it shows while nothing is going on.
    pub(super) fn resting_state(&self) -> TransferState {
        match &self.plan {
            Plan::Incoming(_) => TransferState::Paused,
            Plan::Outgoing(plan) if plan.accepted => TransferState::Paused,
            Plan::Outgoing(plan) if plan.asked => TransferState::Waiting,
            Plan::Outgoing(_) => TransferState::Queued,
        }
    }
}

impl Daemon {
    /// Transfers that had not ended when the daemon was last stopped, however that happened, go on;
    /// those that the other side has to begin again wait for it.
    pub(super) async fn load_transfers(&mut self) -> Result<(), DaemonError> {
        for mut record in self.store.transfers(true, u32::MAX).await? {
            record.view.state = record.resting_state();
            (record.view.rate, record.view.link, record.view.why_relayed) = (0, None, None);
            let mut asked = false;
            match &record.plan {
                Plan::Outgoing(plan) if !plan.queue && !plan.accepted && !plan.asked => {
                    record.is_final = true;
                    record.view.state = TransferState::Failed;
                    record.view.error = Some(error::cut_off());
                    self.store.put_transfer(record).await?;
                    continue;
                }
                Plan::Outgoing(plan) => {
                    self.last_number = self.last_number.max(plan.number);
                    asked = plan.asked && !plan.accepted;
                }
                Plan::Incoming(_) => {
                    record.view.detail = Some(waits_for_sender(&record.view.peer));
                }
            }
            let id = record.id;
            self.transfers.insert(id, Transfer::resting(record));
            if asked {
                self.try_to_send(id);
            }
        }
        for record in self.store.transfers(false, recent::MAX_RECENT as u32).await? {
            self.transfers.entry(record.id).or_insert_with(|| Transfer::resting(record));
        }
        self.forget_oldest();
        self.clear_spool().await;
        self.drop_forsaken();
        self.look_at_outbox();
        Ok(())
    }

    /// Follows a run that has just been started.
    pub(super) fn follow(&mut self, id: TransferId, running: Running) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        let mut progress: watch::Receiver<Progress> = running.progress.clone();
        transfer.before = view::Before::of(&transfer.record.view);
        transfer.retry.started();
        transfer.running = Some(running);
        transfer.has_run = true;
        let events = self.events.clone();
        self.tasks.spawn(async move {
            // The transfer's task paces itself; the loop hears of the last change in any case.
            while progress.changed().await.is_ok() {
                if events.send(Event::Progress(id)).await.is_err() {
                    return;
                }
            }
        });
    }

    pub(super) fn on_progress(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        if transfer.running.is_none() {
            return;
        }
        let before = (transfer.record.view.state, transfer.record.plan.clone());
        let kinds_lost = transfer.record.view.losses.len();
        // Looked at before it is noted: what comes in between is looked at again, and an end is not
        // taken for noted that has not been.
        let (state, fault) = match &transfer.running {
            Some(running) => {
                let progress = running.progress.borrow();
                (progress.state, progress.fault.clone())
            }
            None => return,
        };
        transfer.note();
        if state.is_over() {
            transfer.running = None;
            transfer.record.view.rate = 0;
        }
        if matches!(state, State::Waiting | State::Active) {
            transfer.retry.succeeded();
        }
        let changed = before != (transfer.record.view.state, transfer.record.plan.clone());
        let record = transfer.record.clone();
        match (state, fault) {
            (State::Interrupted, Some(fault)) => return self.interrupted(id, &fault),
            (state, fault) if state.is_final() => self.ended(&record, fault.as_ref()),
            // What was not sent is known when all has been read, and once.
            _ if changed || record.view.losses.len() != kinds_lost => {
                self.save_transfer(record.clone());
            }
            _ => {}
        }
        self.show(&Shown::Transfer(record.view));
        if changed {
            // The next one to the same person may begin.
            self.look_at_outbox();
        }
    }

    /// A run ended, and the transfer did not.
    fn interrupted(&mut self, id: TransferId, fault: &Fault) {
        if self.transfers.get(&id).is_some_and(|transfer| !transfer.cancels.is_empty()) {
            return self.cancel_resting(id);
        }
        match self.transfers.get(&id).is_some_and(Transfer::is_incoming) {
            true => self.keep(id),
            false => self.put_back(id, fault),
        }
    }

    /// A transfer has ended by itself.
    fn ended(&mut self, record: &TransferRecord, fault: Option<&Fault>) {
        tracing::info!(transfer = %record.id, state = ?record.view.state, "transfer ended");
        self.save_ended(record.clone());
        // The run itself could tell only within a session. A sender asks again and is answered then, a
        // receiver would wait for it.
        let is_untold = |fault: &Fault| match fault.cause {
            _ if fault.by_peer => false,
            Cause::SomeFilesFailed => false,
            Cause::Reason(Reason::Cancelled) => true,
            _ => !record.plan.is_incoming(),
        };
        if fault.is_some_and(is_untold) {
            self.tell_ended(record.id);
        }
        self.answer_cancels(record.id);
        self.forget_oldest();
    }

    /// Ends a transfer that rests.
    pub(super) fn end_with(
        &mut self,
        id: TransferId,
        state: TransferState,
        error: Option<ControlError>,
    ) {
        self.end(id, state, error);
        self.forget_oldest();
    }

    /// The same; the record stays, for those who are still to be told.
    fn end(&mut self, id: TransferId, state: TransferState, error: Option<ControlError>) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        let record = &mut transfer.record;
        (record.is_final, record.at) = (true, unix_now());
        let view = &mut record.view;
        (view.state, view.error) = (state, error);
        (view.reason, view.next_try, view.detail, view.rate) = (None, None, None, 0);
        let record = transfer.record.clone();
        tracing::info!(transfer = %id, ?state, "transfer ended");
        if record.plan.is_incoming() {
            self.remove_partial(&record);
        }
        self.show(&Shown::Transfer(record.view.clone()));
        self.save_ended(record);
        self.look_at_outbox();
    }

    /// Ends a transfer that rests as `fault` says.
    pub(super) fn end_resting(&mut self, id: TransferId, fault: &Fault) {
        self.end_as(id, fault);
        self.forget_oldest();
    }

    /// The same; the record stays, for those who are still to be told.
    fn end_as(&mut self, id: TransferId, fault: &Fault) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        transfer.record.plan.set_ended(Some(ended_by(fault)));
        let error = error::of_fault(&transfer.record.view.peer, fault);
        let state = match fault.state() {
            State::Declined => TransferState::Declined,
            State::Cancelled => TransferState::Cancelled,
            _ => TransferState::Failed,
        };
        self.end(id, state, Some(error));
    }

    /// Saves what has ended, and only then removes what the spool kept for it: one that is tried again
    /// after a restart has its content.
    fn save_ended(&self, record: TransferRecord) {
        let (store, spool) = (self.store.clone(), self.spool.clone());
        self.save(async move {
            let spooled = spooled_of(&record);
            store.put_transfer(record).await?;
            // It waits for a disk. One that is stopped leaves it to the next start.
            let release = move || spooled.iter().for_each(|source| spool.release(source));
            let _ = tokio::task::spawn_blocking(release).await;
            Ok(())
        });
    }

    pub(super) fn save_transfer(&self, record: TransferRecord) {
        let store = self.store.clone();
        self.save(async move { store.put_transfer(record).await });
    }

    /// Forgets those that ended longest ago, beyond what stays in memory.
    fn forget_oldest(&mut self) {
        let ended = self.transfers.values().filter(|transfer| transfer.is_final());
        for id in recent::forgettable(ended.map(|transfer| &transfer.record)) {
            self.transfers.remove(&id);
        }
    }

    /// Whether something is to be sent to this person: then we have chosen to know them.
    pub(super) fn sends_to(&self, name: &Name) -> bool {
        let outgoing = |transfer: &&Transfer| !transfer.is_incoming();
        let to = name.to_string();
        self.transfers.values().filter(outgoing).any(|t| !t.is_final() && t.record.view.peer == to)
    }

    /// Cancels a transfer; the answer says whether that came in time.
    pub(crate) fn cancel(&mut self, id: &str, answer: Answer) {
        let found = error::transfer_id(id).and_then(|id| {
            let transfer = self.transfers.get_mut(&id).ok_or_else(error::no_such_transfer)?;
            match transfer.is_final() {
                true => Err(error::has_ended(transfer.record.view.state)),
                false => Ok(transfer),
            }
        });
        let transfer = match found {
            Ok(transfer) => transfer,
            Err(error) => return drop(answer.send(Err(error))),
        };
        transfer.cancels.push(answer);
        let id = transfer.record.id;
        self.give_up(id);
    }

    /// A transfer could not be written down: who asked for it hears so, and it is not carried out.
    pub(super) fn on_not_kept(&mut self, id: TransferId, why: &str, answer: Answer) {
        let _ = answer.send(Err(error::not_kept(why)));
        if self.transfers.get(&id).is_some_and(|transfer| !transfer.is_final()) {
            self.give_up(id);
        }
    }

    fn give_up(&mut self, id: TransferId) {
        match self.transfers.get(&id).and_then(|transfer| transfer.running.as_ref()) {
            Some(running) => running.cancel.cancel(),
            None => self.cancel_resting(id),
        }
    }

    fn cancel_resting(&mut self, id: TransferId) {
        self.end_as(id, &Fault::reason(Reason::Cancelled, ""));
        self.tell_ended(id);
        self.answer_cancels(id);
        self.forget_oldest();
    }

    /// Tells those who wished to cancel a transfer what came of it.
    fn answer_cancels(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        let state = transfer.record.view.state;
        for answer in std::mem::take(&mut transfer.cancels) {
            let _ = answer.send(match state {
                TransferState::Done => Err(error::has_ended(state)),
                _ => Ok(Reply::Done),
            });
        }
    }

    /// Tells the other side of a transfer that it is over here, if they know of it and can be reached
    /// now. Else a receiver is told at the next meeting, and a sender when it asks.
    fn tell_ended(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        let record = &mut transfer.record;
        if let Plan::Outgoing(plan) = &mut record.plan {
            if !plan.is_known_to_receiver() {
                return;
            }
            plan.untold = true;
        }
        let record = record.clone();
        let Ok(name) = record.view.peer.parse::<Name>() else { return };
        let (peers, expected) = (self.peers.clone(), record.identity);
        let message = cancel_of(&record);
        self.save_transfer(record);
        self.spawn(async move {
            if let Ok(session) = peers.session(&name, expected).await {
                let _ = session.send(message).await;
            }
            None
        });
    }

    /// Tells the peer of a session that has just come up what has ended while it was away.
    pub(super) fn tell_untold(&mut self, session: &Session) {
        let identity = session.identity();
        let mut told = Vec::new();
        for transfer in self.transfers.values_mut().filter(|transfer| transfer.is_final()) {
            let record = &mut transfer.record;
            if let Plan::Outgoing(plan) = &mut record.plan
                && plan.untold
                && record.identity == Some(identity)
            {
                plan.untold = false;
                told.push(record.clone());
            }
        }
        if told.is_empty() {
            return;
        }
        let (session, messages) = (session.clone(), told.iter().map(cancel_of).collect::<Vec<_>>());
        self.spawn(async move {
            for message in messages {
                let _ = session.send(message).await;
            }
            None
        });
        told.into_iter().for_each(|record| self.save_transfer(record));
    }

    /// The transfers in memory as a list shows them, newest first; with `all`, those that ended too.
    pub(super) fn transfer_views(&self, all: bool) -> Vec<TransferView> {
        let shown = self.transfers.values().filter(|transfer| all || !transfer.is_final());
        let mut views: Vec<_> = shown.map(|transfer| listed(transfer).brief()).collect();
        views.sort_by(|one, other| {
            other.started_at.cmp(&one.started_at).then(one.id.cmp(&other.id))
        });
        view::list(views, MAX_LIST)
    }

    /// All that memory knows of a transfer.
    pub(super) fn transfer_view(&self, id: TransferId) -> Option<TransferView> {
        self.transfers.get(&id).map(listed)
    }

    /// What memory knows of a transfer, for a peer that says something about it.
    pub(super) fn known_transfer(&self, id: TransferId) -> Option<&TransferRecord> {
        self.transfers.get(&id).map(|transfer| &transfer.record)
    }
}

/// The message that a transfer is over, and why.
fn cancel_of(record: &TransferRecord) -> bytes::Bytes {
    let (reason, text) = why_ended(record);
    let message = Message::Cancel { reason, text };
    Envelope { transfer: record.id, message }.encode().into()
}

/// Why a transfer has ended otherwise than well, for the other side.
pub(super) fn why_ended(record: &TransferRecord) -> (Reason, String) {
    match (record.plan.ended(), record.view.state) {
        (Some(Ended { reason, text }), _) => {
            let reason = Reason::from_number(*reason);
            // An older version kept all of it.
            (reason, reason.text_for_peer(text))
        }
        (None, TransferState::Declined) => (Reason::Declined, String::new()),
        (None, TransferState::Cancelled) => (Reason::Cancelled, String::new()),
        // What is shown of it here may name files of this machine.
        (None, TransferState::Failed) => (Reason::Other, String::new()),
        (None, _) => (Reason::Unknown, String::new()),
    }
}

/// What a transfer shows that can only go on when its sender is back.
pub(super) fn waits_for_sender(peer: &str) -> String {
    format!("waiting for {peer} to come back")
}

/// The record of a transfer that was taken on now.
pub(super) fn new_record(
    id: TransferId,
    direction: Direction,
    peer: &Name,
    identity: Option<IdentityKey>,
    label: String,
    plan: Plan,
) -> TransferRecord {
    let now = unix_now();
    let mut view = view::new_transfer(id, direction, peer.to_string(), label, now);
    if let Plan::Outgoing(plan) = &plan {
        if !plan.spooled {
            view.paths = view::first_paths(&plan.sources);
        }
        view.text = plan.text.clone();
        (view.limit, view.update) = (plan.options.limit, plan.options.update);
    }
    TransferRecord { id, identity, is_final: false, at: now, view, plan }
}

/// The same for an incoming one, with the folder it goes to.
pub(super) fn new_incoming(
    id: TransferId,
    peer: &Name,
    identity: IdentityKey,
    label: String,
    dest_dir: &std::path::Path,
    plan: Incoming,
) -> TransferRecord {
    let plan = Plan::Incoming(plan);
    let mut record = new_record(id, Direction::Incoming, peer, Some(identity), label, plan);
    record.view.dest = Some(WirePath::from(dest_dir));
    record
}

#[cfg(test)]
mod tests {
    use filefleet_ctl::proto::ErrorCode;

    use super::*;
    use crate::store::Outgoing;

    #[test]
    fn the_other_side_hears_why_and_not_where_files_lie() {
        let fault = Fault::reason(Reason::SourceUnreadable, "not found: \"/home/alice/x\"");
        let mut plan = Plan::Outgoing(Outgoing::default());
        plan.set_ended(Some(ended_by(&fault)));
        let (id, name) = (TransferId([1; 16]), "bob".parse().expect("that is a name"));
        let new = |plan| new_record(id, Direction::Outgoing, &name, None, String::new(), plan);
        assert_eq!(why_ended(&new(plan.clone())), (Reason::SourceUnreadable, String::new()));
        let (reason, text) = (Reason::SourceUnreadable.number(), fault.text);
        plan.set_ended(Some(Ended { reason, text }));
        assert_eq!(why_ended(&new(plan)).1, "", "as an older version noted it");
        let mut record = new(Plan::Outgoing(Outgoing::default()));
        record.view.state = TransferState::Failed;
        record.view.error = Some(ControlError::new(ErrorCode::Internal, "/home/alice/x"));
        assert_eq!(why_ended(&record), (Reason::Other, String::new()));
    }
}
