//! The outbox: what is to be sent and is not being sent now. When each is tried again, in which
//! order, and what wakes it sooner: the receiver's presence or call, and this side's registration.
//!
//! Of one receiver's, the one that was asked for first is tried, and the next when that has got
//! through to them. Pauses are told by the monotonic clock; the wall clock is only for people.

mod turns;

use std::path::PathBuf;
use std::time::Duration;

use filefleet_ctl::proto::{
    ControlError, Direction, ErrorCode, Event as Shown, MIN_LIMIT, Reply, SendOptions,
    TransferState, TransferView, WirePath,
};
use filefleet_server::protos::certificate::IdentityKey;
use filefleet_server::protos::name::Name;
use tokio::time::Instant;

pub(super) use self::turns::Retry;
use self::turns::{Queued, Turns};
use super::transfers::{Transfer, new_record};
use super::{Answer, Daemon, Event, unix_now};
use crate::control::{error, view};
use crate::error::chain;
use crate::peer::Session;
use crate::store::{Outgoing, Plan, TransferRecord};
use crate::transfer::progress::{Fault, State};
use crate::transfer::source::{Excludes, Source, Tally};
use crate::transfer::{Order, TransferId};

/// The most transfers that are to be sent and have not ended, running or not.
const MAX_OUTBOX: usize = 1_000;
/// The most that run at once; each reads its sources and may hold a window of content.
const MAX_RUNNING: usize = 200;
/// How often what has waited for long is looked at, if nothing else happens.
const LOOK: Duration = Duration::from_secs(3_600);

impl Daemon {
    /// Takes something on to be sent, once it is sure that it is there.
    pub(crate) fn send(
        &mut self,
        to: &str,
        paths: Vec<WirePath>,
        queue: bool,
        options: SendOptions,
        answer: Answer,
    ) {
        let to = match check_paths(&paths).and_then(|()| self.may_send(to, &options)) {
            Ok(to) => to,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let number = self.next_number();
        let plan = Outgoing { number, sources: paths, queue, options, ..Outgoing::default() };
        self.spawn(find_sources(to, plan, answer));
    }

    /// Takes something on to be sent again that has ended otherwise than well.
    pub(crate) fn retry(&mut self, id: &str, answer: Answer) {
        let id = match self.check_room().and_then(|()| error::transfer_id(id)) {
            Ok(id) => id,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let known = self.known_transfer(id).cloned();
        let (store, number) = (self.store.clone(), self.next_number());
        self.spawn(async move {
            // What ended long ago is in the store alone.
            let record = match known {
                Some(record) => Some(record),
                None => store.transfer(id).await.ok().flatten(),
            };
            match record.ok_or_else(error::no_such_transfer).and_then(|it| again(&it, number)) {
                Ok((to, plan)) => find_sources(to, plan, answer).await,
                Err(error) => {
                    let _ = answer.send(Err(error));
                    None
                }
            }
        });
    }

    /// Looks at what would be sent and tells; nobody else hears of it.
    pub(crate) fn survey(&self, paths: &[WirePath], options: &SendOptions, answer: Answer) {
        let excludes = match check_paths(paths).and_then(|()| check_options(options)) {
            Ok(excludes) => excludes,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let sources: Vec<_> = paths.iter().map(|source| source.as_path().to_owned()).collect();
        let stop = self.stop.clone();
        self.tasks.spawn_blocking(move || {
            let surveyed = check_sources(&sources).and_then(|()| {
                let source = Source::new(&sources).map_err(|failure| error::of_source(&failure))?;
                let walk = source.without(excludes).walk();
                Tally::of(walk, || stop.is_cancelled()).ok_or_else(error::stopping)
            });
            let _ = answer.send(surveyed.map(|tally| Reply::Survey(view::survey(tally))));
        });
    }

    /// Whether something may be taken on to be sent to this name in this way.
    pub(super) fn may_send(&self, to: &str, options: &SendOptions) -> Result<Name, ControlError> {
        let to = error::name(to)?;
        if self.settings.name().is_some_and(|own_name| own_name == to) {
            return Err(ControlError::new(ErrorCode::BadArgument, "that is your own name"));
        }
        check_options(options)?;
        self.check_room().map(|()| to)
    }

    fn check_room(&self) -> Result<(), ControlError> {
        let waiting = self.outgoing().filter(|(_, transfer)| !transfer.is_final()).count();
        if waiting >= MAX_OUTBOX { Err(error::outbox_full()) } else { Ok(()) }
    }

    /// Takes it on: it is tried at once unless others go to the same person first.
    pub(super) fn on_sources_found(&mut self, to: &Name, plan: Outgoing, answer: Answer) {
        let id = TransferId::random();
        let identity = self.contacts.get(to).map(|contact| contact.identity);
        let label = view::label_of_sources(&plan.sources());
        let waits = plan.queue && self.is_awaited(to);
        let record = new_record(id, Direction::Outgoing, to, identity, label, Plan::Outgoing(plan));
        let (store, events, saved) = (self.store.clone(), self.events.clone(), record.clone());
        self.save(async move {
            match store.put_transfer(saved).await {
                // Told when it is durable: what has an id is not lost.
                Ok(()) => {
                    let _ = answer.send(Ok(Reply::SendStarted { transfer: id.to_string() }));
                    Ok(())
                }
                Err(error) => {
                    let why = chain(&error);
                    // A loop that has ended needs to do nothing any more.
                    let _ = events.send(Event::NotKept { id, why, answer }).await;
                    Err(error)
                }
            }
        });
        self.show(&Shown::Transfer(record.view.clone()));
        self.transfers.insert(id, Transfer::fresh(record));
        if waits {
            // Somebody who sends has a reason to think that it works now.
            return self.wake_peer(to);
        }
        match self.running_outgoing() < MAX_RUNNING {
            true => self.try_to_send(id),
            false => self.look_at_outbox(),
        }
    }

    /// Whether something that goes to this person was tried in vain or waits for such: then what
    /// comes now goes behind it.
    fn is_awaited(&self, to: &Name) -> bool {
        let in_vain =
            |transfer: &Transfer| transfer.rests() || transfer.record.view.reason.is_some();
        let outgoing = self.outgoing().map(|(_, transfer)| transfer);
        let mut open = outgoing.filter(|transfer| !transfer.is_final() && in_vain(transfer));
        open.any(|transfer| transfer.record.view.peer == to.as_str())
    }

    /// Starts a run of an outgoing transfer.
    pub(super) fn try_to_send(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.get(&id) else { return };
        let Some(plan) = transfer.record.plan.outgoing() else { return };
        let Ok(to) = transfer.record.view.peer.parse::<Name>() else { return };
        // Somebody first met by this transfer was pinned after it was recorded.
        let pinned = self.contacts.get(&to).map(|contact| contact.identity);
        let order = Order {
            id,
            to,
            expected: transfer.record.identity.or(pinned),
            sources: plan.sources(),
            exclude: plan.options.exclude.clone(),
            limit: plan.options.limit,
            checksum: plan.options.checksum,
            update: plan.options.update,
            xattrs: plan.options.xattrs,
            text: plan.text.clone(),
            asked: plan.asked && !plan.accepted,
            resumed: transfer.has_run,
        };
        let running = self.engine.send(order, &self.peers);
        self.follow(id, running);
    }

    /// A run ended for a reason that passes: the transfer waits for the next one.
    pub(super) fn put_back(&mut self, id: TransferId, fault: &Fault) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        let Some(plan) = transfer.record.plan.outgoing() else { return };
        let view = &transfer.record.view;
        if !plan.queue && !plan.accepted {
            let error = error::of_fault(&view.peer, fault);
            return self.end_with(id, TransferState::Failed, Some(error));
        }
        let reason = error::of_waiting(&view.peer, fault);
        tracing::info!(transfer = %id, reason = %reason.message, "put back into the outbox");
        transfer.record.view.reason = Some(reason);
        transfer.retry.failed(Instant::now(), jitter());
        let record = transfer.record.clone();
        self.save_transfer(record);
        self.look_at_outbox();
    }

    /// Tries what is due, and sets the alarm for what is not.
    pub(super) fn look_at_outbox(&mut self) {
        let now = Instant::now();
        let room = MAX_RUNNING.saturating_sub(self.running_outgoing());
        let Turns { start, next } = turns::turns(self.queued(), &self.busy(), room, now);
        start.into_iter().for_each(|id| self.try_to_send(id));
        self.show_waiting();
        let look = now + LOOK;
        self.alarm = Some(next.map_or(look, |next| next.min(look)));
    }

    /// This person may be there (again).
    pub(super) fn wake_peer(&mut self, name: &Name) {
        self.wake(true, |transfer| transfer.record.view.peer == name.as_str());
    }

    /// There is a session with this person. A run may have made it; what comes of that run, that run
    /// will tell.
    pub(super) fn wake_for_session(&mut self, name: &Name) {
        self.wake(false, |transfer| transfer.record.view.peer == name.as_str());
    }

    /// Whoever is met first under a name is who everything goes to that was sent to that name.
    pub(super) fn met(&mut self, session: &Session) {
        let outgoing = self.transfers.values_mut().filter(|it| !it.is_incoming() && !it.is_final());
        for transfer in outgoing.filter(|it| it.record.view.peer == session.name().as_str()) {
            transfer.record.identity.get_or_insert(session.identity());
        }
    }

    /// The holder of this identity may be there (again).
    pub(super) fn wake_identity(&mut self, identity: &IdentityKey) {
        let contacts = self.contacts.values();
        let names: Vec<_> = contacts
            .filter(|contact| contact.identity == *identity)
            .map(|contact| contact.name.clone())
            .collect();
        names.iter().for_each(|name| self.wake_peer(name));
    }

    /// Everybody may be reached (again).
    pub(super) fn wake_all(&mut self) {
        self.wake(true, |_| true);
    }

    /// What rests is due at once; if `again`, so is what runs, should its run be in vain.
    fn wake(&mut self, again: bool, wanted: impl Fn(&Transfer) -> bool) {
        let now = Instant::now();
        let outgoing = self.transfers.values_mut().filter(|transfer| !transfer.is_incoming());
        for transfer in outgoing.filter(|transfer| !transfer.is_final() && wanted(transfer)) {
            match &transfer.running {
                None => transfer.retry.wake(now),
                Some(running) => {
                    running.wake.notify_one();
                    if again {
                        transfer.retry.wake(now);
                    }
                }
            }
        }
        self.look_at_outbox();
    }

    fn outgoing(&self) -> impl Iterator<Item = (&TransferId, &Transfer)> {
        self.transfers.iter().filter(|(_, transfer)| !transfer.is_incoming())
    }

    /// What waits for a run.
    fn queued(&self) -> impl Iterator<Item = Queued<'_>> {
        let resting = |(_, transfer): &(&TransferId, &Transfer)| {
            transfer.running.is_none() && !transfer.is_final()
        };
        self.outgoing().filter(resting).filter_map(|(id, transfer)| {
            let number = transfer.record.plan.outgoing()?.number;
            let to = transfer.record.view.peer.as_str();
            Some(Queued { to, number, id: *id, due: transfer.retry.due() })
        })
    }

    /// Those to whom something is just going, or who are just looked for.
    fn busy(&self) -> Vec<String> {
        let busy = |transfer: &Transfer| {
            let state = transfer.running.as_ref().map(|running| running.progress.borrow().state);
            matches!(state, Some(State::Queued | State::Active | State::Paused))
        };
        let busy = self.outgoing().filter(|(_, transfer)| busy(transfer));
        busy.map(|(_, transfer)| transfer.record.view.peer.clone()).collect()
    }

    /// Runs that do something; one that waits for a person's answer does not.
    fn running_outgoing(&self) -> usize {
        let counts = |transfer: &Transfer| {
            transfer.running.is_some() && transfer.record.view.state != TransferState::Waiting
        };
        self.outgoing().filter(|(_, transfer)| counts(transfer)).count()
    }

    /// Shows what everything in the outbox waits for: the first of each person's for that person,
    /// the others for the first.
    fn show_waiting(&mut self) {
        let queued: Vec<(TransferId, String)> =
            self.queued().map(|queued| (queued.id, queued.to.to_owned())).collect();
        for (id, to) in queued {
            let news = self.waiting_for(&to);
            let Some(transfer) = self.transfers.get_mut(&id) else { continue };
            let resting_state = transfer.record.resting_state();
            let view = &mut transfer.record.view;
            let before = (view.reason.clone(), view.next_try, view.detail.clone(), view.state);
            (view.reason, view.next_try) = news;
            view.detail = match &view.reason {
                Some(reason) => Some(reason.message.clone()),
                None => Some(format!("others to {to} go first")),
            };
            view.state = resting_state;
            let view = view.clone();
            if before != (view.reason.clone(), view.next_try, view.detail.clone(), view.state) {
                self.show(&Shown::Transfer(view));
            }
        }
    }

    /// What everything that goes to this person waits for: what the first of them does, which may be
    /// tried just now.
    fn waiting_for(&self, to: &str) -> (Option<ControlError>, Option<u64>) {
        let number = |transfer: &Transfer| transfer.record.plan.outgoing().map(|plan| plan.number);
        let looked_for = |transfer: &&Transfer| {
            let state = transfer.record.view.state;
            transfer.record.view.peer == to
                && matches!(state, TransferState::Queued | TransferState::Paused)
        };
        let first = self.outgoing().map(|(_, transfer)| transfer).filter(looked_for);
        let Some(first) = first.min_by_key(|transfer| number(transfer)) else {
            return (None, None);
        };
        match &first.record.view.reason {
            Some(reason) if first.running.is_none() => {
                (Some(reason.clone()), Some(wall_clock(first.retry.due())))
            }
            _ => (None, None),
        }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

fn check_paths(paths: &[WirePath]) -> Result<(), ControlError> {
    if paths.is_empty() || !paths.iter().all(|source| source.as_path().is_absolute()) {
        return Err(ControlError::new(ErrorCode::BadArgument, "paths must be absolute"));
    }
    Ok(())
}

/// Whether what the user wishes can be done; the globs, as they are understood.
fn check_options(options: &SendOptions) -> Result<Excludes, ControlError> {
    if options.limit.is_some_and(|limit| limit < MIN_LIMIT) {
        return Err(error::limit_too_low());
    }
    if options.xattrs && !crate::transfer::KNOWS_ATTRIBUTES {
        return Err(error::no_attributes());
    }
    Excludes::new(&options.exclude).map_err(|failure| error::of_glob(&failure))
}

/// What it takes to send something again.
fn again(record: &TransferRecord, number: u64) -> Result<(Name, Outgoing), ControlError> {
    let bad = |text| Err(ControlError::new(ErrorCode::BadArgument, text));
    let Some(plan) = record.plan.outgoing() else {
        return bad("only who has sent something can send it again");
    };
    match record.view.state {
        TransferState::Done => bad("that has arrived"),
        // It went with the transfer.
        _ if plan.spooled => bad("what came as text or from a pipe is not kept"),
        state if !state.is_final() => bad("that transfer has not ended"),
        _ => {
            let begun = Outgoing {
                asked: false,
                accepted: false,
                untold: false,
                ended: None,
                ..plan.clone()
            };
            Ok((error::name(&record.view.peer)?, Outgoing { number, ..begun }))
        }
    }
}

/// Makes sure that everything is there that is to be sent.
async fn find_sources(to: Name, plan: Outgoing, answer: Answer) -> Option<Event> {
    let sources = plan.sources();
    // A source on a network drive may not answer.
    let checked = tokio::task::spawn_blocking(move || check_sources(&sources)).await;
    match checked.unwrap_or_else(|_| Err(error::stopping())) {
        Ok(()) => Some(Event::SourcesFound { to, plan, answer }),
        Err(error) => {
            let _ = answer.send(Err(error));
            None
        }
    }
}

/// Whether everything that is to be sent can be seen.
fn check_sources(sources: &[PathBuf]) -> Result<(), ControlError> {
    for source in sources {
        std::fs::symlink_metadata(source)
            .map_err(|failure| error::source_missing(source, &failure))?;
    }
    Ok(())
}

/// A random part of one, so that many daemons do not act in step.
fn jitter() -> f64 {
    // Without randomness, being in step is the lesser trouble.
    f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

/// A transfer as it is listed: the time of the next try as the wall clock has it now.
pub(super) fn listed(transfer: &Transfer) -> TransferView {
    let mut view = transfer.record.view.clone();
    if transfer.running.is_none() && view.next_try.is_some() && !transfer.is_final() {
        view.next_try = Some(wall_clock(transfer.retry.due()));
    }
    view
}

/// An instant as the wall clock will show it, in seconds since 1970.
fn wall_clock(due: Instant) -> u64 {
    let left = due.saturating_duration_since(Instant::now());
    unix_now().saturating_add(left.as_secs())
}
