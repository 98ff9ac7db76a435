//! The actor of one session: it owns the links, numbers the messages and decides when it is over.

mod explaining;
mod linking;
mod messages;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use filefleet_server::{
    client::{self, Call, Client},
    protos::{relay::SessionId, rendezvous::RefuseReason},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep_until, timeout},
};

use super::{
    super::{
        CloseReason, ConnectError, IncomingStream, Peer, PeerEvent,
        close::CloseCode,
        frame::{Frame, Kind},
        link::{FAREWELL, LinkEnd, LinkError, Local, Opened},
        mailbox::{Inbox, Outbox},
    },
    Ends, Session,
    command::{Command, Ending, Waiter},
    direct::Direct,
    links::Links,
    log::LinkLoss,
    recall::Recall,
};
use crate::{
    connect::driver,
    discover::changes::Changes,
    transport::{MAX_STREAMS, relayed::Ticket, tls::KeyGuard},
};

/// How long a session without links waits for one before it is over.
const GRACE: Duration = Duration::from_secs(5);
/// How long the refusal of a call is waited for once its relay session is gone: it says why.
const REFUSAL: Duration = Duration::from_millis(700);
/// After this long without a guard and without messages or stream data the links are closed.
const IDLE: Duration = Duration::from_secs(60);
/// How often the links' counters are looked at, and how often while links are in doubt.
const TICK: Duration = Duration::from_millis(250);
const TICK_IN_DOUBT: Duration = Duration::from_millis(50);
/// Commands of the peers' actor; it drops what does not fit, and the link in question fails.
const COMMANDS: usize = 16;
/// Frames from all links; while it is full, links do not read.
const FRAMES: usize = 64;
/// Messages that wait for the engine; beyond it nothing is acknowledged and the peer waits.
const MESSAGES: usize = 32;

/// How long a relayed link that is being opened is waited for before another call is made: both
/// sides take part at once, unless one of them is out of reach.
const HOPEFUL: Duration = Duration::from_secs(2);

/// Calls whose refusal may still come in.
const TICKETS: usize = 8;

/// What a session is made from.
#[derive(Debug)]
pub(in crate::peer) struct Parts {
    pub(in crate::peer) local: Arc<Local>,
    pub(in crate::peer) rendezvous: watch::Receiver<Option<Client>>,
    pub(in crate::peer) peer: Peer,
    /// This side's name for the session's state.
    pub(in crate::peer) incarnation: u64,
    pub(in crate::peer) events: mpsc::Sender<PeerEvent>,
}

/// Owns one session until it is over.
#[derive(Debug)]
pub(in crate::peer) struct SessionActor {
    local: Arc<Local>,
    rendezvous: watch::Receiver<Option<Client>>,
    peer: Peer,
    incarnation: u64,
    their_incarnation: Option<u64>,
    session: Session,
    ends: Ends,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<PeerEvent>,
    /// Told to the daemon once there is a link.
    announcement: Option<PeerEvent>,
    engine: mpsc::Sender<Bytes>,
    streams: mpsc::Sender<IncomingStream>,
    frames: mpsc::Receiver<Frame>,
    frames_in: mpsc::Sender<Frame>,
    waiters: Vec<Waiter>,
    outbox: Outbox,
    inbox: Inbox,
    links: Links,
    running: JoinSet<LinkEnd>,
    /// Links that ended, until the peer has heard so.
    goodbyes: JoinSet<()>,
    opening: JoinSet<Result<Opened, LinkError>>,
    recall: Recall,
    dialling: JoinSet<(SocketAddr, Result<Opened, LinkError>)>,
    direct: Direct,
    changes: Changes,
    /// The relay sessions of the last calls.
    tickets: VecDeque<SessionId>,
    /// Why those who wait get no session, if it is not how it ended.
    failure: Option<ConnectError>,
    active_at: Instant,
    /// When the links' counters are looked at next.
    look_at: Instant,
    /// Until when those that are being opened may be waited for.
    hopeful_until: Instant,
    /// When the last link or the first attempt at one ended.
    unlinked_at: Instant,
    /// Keeps the device's key admitted at the main endpoint.
    _admitted: KeyGuard,
}

enum Input {
    Command(Option<Command>),
    Opened(Result<Opened, LinkError>),
    Called(Result<Call, client::Error>),
    Dialled(SocketAddr, Result<Opened, LinkError>),
    Found(driver::Event),
    Ended(LinkEnd),
    Frame(Frame),
    Outgoing(Option<Bytes>),
    Deliver(Option<Bytes>),
    Announced,
    SaidGoodbye,
    Wishes,
    NetworkChanged,
    Tick,
}

type Flow = ControlFlow<Ending>;

impl SessionActor {
    /// Prepares a session; nothing happens before [`run`](Self::run).
    pub(in crate::peer) fn new(parts: Parts) -> (Self, Session, mpsc::Sender<Command>) {
        let Parts { local, rendezvous, peer, incarnation, events } = parts;
        let (session, ends) = Session::new(peer.clone());
        let (commands_in, commands) = mpsc::channel(COMMANDS);
        let (engine, messages) = mpsc::channel(MESSAGES);
        let streams_len = usize::try_from(MAX_STREAMS).expect("a usize has 32 bits");
        let (streams, streams_end) = mpsc::channel(streams_len);
        let (frames_in, frames) = mpsc::channel(FRAMES);
        let announcement =
            PeerEvent::Session { session: session.clone(), messages, streams: streams_end };
        let admitted = local.keys.admit(peer.device());
        let changes = local.connector.changes();
        let actor = Self {
            local,
            rendezvous,
            peer,
            incarnation,
            their_incarnation: None,
            session: session.clone(),
            ends,
            commands,
            events,
            announcement: Some(announcement),
            engine,
            streams,
            frames,
            frames_in,
            waiters: Vec::new(),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            links: Links::default(),
            running: JoinSet::new(),
            goodbyes: JoinSet::new(),
            opening: JoinSet::new(),
            recall: Recall::default(),
            dialling: JoinSet::new(),
            direct: Direct::default(),
            changes,
            tickets: VecDeque::new(),
            failure: None,
            active_at: Instant::now(),
            look_at: Instant::now(),
            hopeful_until: Instant::now(),
            unlinked_at: Instant::now(),
            _admitted: admitted,
        };
        (actor, session, commands_in)
    }

    /// Begins with a link that another session's actor has made.
    pub(in crate::peer) fn begin_with(&mut self, link: Opened) {
        self.their_incarnation = Some(link.incarnation);
        self.add_link(link);
    }

    /// Runs until the session is over; how it ended, and the calls that came too late for it, which
    /// are for the next one. Aborting it drops the links, which closes them.
    pub(in crate::peer) async fn run(mut self) -> (Ending, Vec<Ticket>) {
        let ending = loop {
            let input = self.next().await;
            if let ControlFlow::Break(ending) = self.handle(input) {
                break ending;
            }
        };
        self.finish(&ending).await;
        (ending, self.late_calls())
    }

    fn late_calls(&mut self) -> Vec<Ticket> {
        self.commands.close();
        let rest = std::iter::from_fn(|| self.commands.try_recv().ok());
        let calls = rest.filter_map(|command| match command {
            Command::Call(ticket) => Some(ticket),
            _ => None,
        });
        calls.collect()
    }

    /// Every branch is cancel-safe: channels, joins, a timer.
    async fn next(&mut self) -> Input {
        let announce = self.announcement.is_some() && self.their_incarnation.is_some();
        let deliverable = self.inbox.next_kind() == Some(Kind::ENGINE);
        tokio::select! {
            Some(Ok(end)) = self.running.join_next() => Input::Ended(end),
            Some(_) = self.goodbyes.join_next() => Input::SaidGoodbye,
            Some(Ok(opened)) = self.opening.join_next() => Input::Opened(opened),
            called = self.recall.next() => Input::Called(called),
            Some(Ok((to, opened))) = self.dialling.join_next() => Input::Dialled(to, opened),
            found = self.direct.next() => Input::Found(found),
            command = self.commands.recv() => Input::Command(command),
            Ok(()) = self.ends.wishes.changed() => Input::Wishes,
            () = self.changes.next() => Input::NetworkChanged,
            Some(frame) = self.frames.recv() => Input::Frame(frame),
            permit = self.events.reserve(), if announce => {
                // A daemon that no longer listens is about to end.
                if let (Ok(permit), Some(event)) = (permit, self.announcement.take()) {
                    permit.send(event);
                }
                Input::Announced
            }
            permit = self.engine.reserve(), if deliverable => {
                let message = self.inbox.pop();
                if let (Ok(permit), Some(message)) = (permit, &message) {
                    permit.send(message.clone());
                }
                Input::Deliver(message)
            }
            message = self.ends.outgoing.recv(), if self.outbox.has_room() => {
                Input::Outgoing(message)
            }
            () = sleep_until(self.look_at.into()) => Input::Tick,
        }
    }

    fn handle(&mut self, input: Input) -> Flow {
        match input {
            Input::Command(Some(command)) => self.on_command(command),
            Input::Command(None) => ControlFlow::Break(Ending::Closed(CloseReason::ShuttingDown)),
            Input::Opened(Ok(link)) => self.on_opened(link),
            Input::Opened(Err(error)) => self.on_failed(&error),
            Input::Called(called) => self.on_called(called),
            Input::Dialled(remote, opened) => self.on_dialled(remote, opened),
            Input::Found(found) => self.on_found(found),
            Input::Ended(end) => self.on_link_end(end),
            Input::Frame(frame) => self.on_frame(frame),
            Input::Outgoing(Some(message)) => self.say(Kind::ENGINE, message),
            Input::Deliver(Some(_)) => self.on_delivered(),
            // This actor holds a session itself, so that neither channel closes.
            Input::Outgoing(None) | Input::Deliver(None) => ControlFlow::Continue(()),
            Input::SaidGoodbye => ControlFlow::Continue(()),
            Input::Announced => self.answer_waiters(),
            Input::Wishes => self.on_wishes(),
            Input::NetworkChanged => self.on_network_changed(),
            Input::Tick => self.on_tick(),
        }
    }

    fn on_command(&mut self, command: Command) -> Flow {
        match command {
            Command::Call(ticket) => self.open_relayed(ticket),
            Command::Refused(session, reason) if self.tickets.contains(&session) => {
                self.failure = Some(ConnectError::Refused(reason));
                if self.links.is_empty() {
                    let reason = match reason {
                        RefuseReason::IdentityChanged => CloseReason::IdentityChanged,
                        RefuseReason::Blocked | RefuseReason::Busy | RefuseReason::Other => {
                            CloseReason::Blocked
                        }
                    };
                    return ControlFlow::Break(Ending::Closed(reason));
                }
            }
            Command::Revealed(session, observed) if self.tickets.contains(&session) => {
                self.direct.on_revealed(observed);
            }
            Command::Refused(..) | Command::Revealed(..) => {}
            Command::Dial(remote) => self.dial_nearby(remote),
            Command::Adopt(connection) => {
                let (local, peer, incarnation) = self.for_link();
                self.opening
                    .spawn(async move { local.adopt(&peer, incarnation, connection).await });
            }
            Command::Wait(waiter) => {
                self.waiters.push(waiter);
                if self.announcement.is_none() && !self.links.is_empty() {
                    return self.answer_waiters();
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn for_link(&self) -> (Arc<Local>, Peer, u64) {
        (self.local.clone(), self.peer.clone(), self.incarnation)
    }

    fn is_needed(&self) -> bool {
        self.ends.wishes.borrow().guards > 0 || !self.waiters.is_empty()
    }

    fn answer_waiters(&mut self) -> Flow {
        if self.announcement.is_none() {
            for waiter in self.waiters.drain(..) {
                // Whoever gave up waiting does not want to know.
                let _ = waiter.send(Ok(self.session.clone()));
            }
        }
        ControlFlow::Continue(())
    }

    fn on_wishes(&mut self) -> Flow {
        let (direct, close) = {
            let wishes = self.ends.wishes.borrow_and_update();
            (wishes.direct, wishes.close)
        };
        if direct {
            self.direct.allow(&self.local.connector, self.peer.device());
        }
        match close {
            Some(reason) => ControlFlow::Break(Ending::Closed(reason)),
            None => ControlFlow::Continue(()),
        }
    }

    fn on_tick(&mut self) -> Flow {
        let now = Instant::now();
        let look = self.links.look(now);
        for id in look.quiet {
            self.outbox.link_lost(id);
        }
        for id in look.dead {
            self.tell_lost(id, LinkLoss::Silent);
            self.close_link(id, CloseCode::Redundant);
        }
        if look.sudden && self.is_needed() {
            tracing::info!(peer = %self.peer.name, "a link is silent");
            self.doubt_links();
        } else if look.silent && self.is_needed() {
            self.links.prove(self.inbox.acknowledged());
        }
        self.links.acknowledge_on_others(self.inbox.acknowledged());
        self.look_at = now + if self.links.are_in_doubt(now) { TICK_IN_DOUBT } else { TICK };
        self.flush();
        self.show_links();
        if look.active || self.is_needed() {
            self.active_at = now;
        }
        if now.duration_since(self.active_at) > IDLE {
            return ControlFlow::Break(Ending::Closed(CloseReason::Idle));
        }
        let wanted = self.is_needed() && self.links.direct().is_empty();
        if self.direct.tick(now, wanted) {
            self.look_for_paths();
        }
        if wanted && look.active && self.local.guess_ports && self.links.has_working_relayed() {
            self.direct.guess();
        }
        self.dial(true);
        self.call_again();
        self.end_if_hopeless()
    }

    /// Without links and without any under way, a session is over after a grace.
    fn end_if_hopeless(&mut self) -> Flow {
        let hope = !self.links.is_empty()
            || !self.opening.is_empty()
            || !self.dialling.is_empty()
            || self.recall.is_under_way();
        // The first call is on its way to this actor when it starts.
        let called = self.their_incarnation.is_none() && !self.tickets.is_empty();
        let grace = if called { REFUSAL } else { GRACE };
        if hope || self.unlinked_at.elapsed() < grace {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(Ending::Closed(CloseReason::TimedOut))
    }

    async fn finish(&mut self, ending: &Ending) {
        let reason = match ending {
            Ending::Closed(reason) => *reason,
            Ending::Replaced(_) => CloseReason::Replaced,
        };
        tracing::info!(peer = %self.peer.name, ?reason, "session over");
        self.tell_over();
        // Before the peer can hear of it: what it calls or dials for from then on is for the next
        // session.
        self.ends.links.send_replace(Vec::new());
        self.ends.closed.send_replace(Some(reason));
        self.give_up_linking();
        for connection in self.links.connections() {
            connection.close(reason.code().wire(), b"");
        }
        let failure = self.failure.take().unwrap_or(match reason {
            CloseReason::TimedOut => ConnectError::TimedOut,
            reason => ConnectError::Failed(reason),
        });
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(Err(failure.clone()));
        }
        // The links' tasks end as their connections are closed; then the relay sockets may go.
        let farewell = async {
            while let Some(Ok(end)) = self.running.join_next().await {
                self.goodbyes.spawn(end.say_goodbye());
            }
            while self.goodbyes.join_next().await.is_some() {}
        };
        let _ = timeout(2 * FAREWELL, farewell).await;
    }
}

/// What a call says about its relay session.
pub(in crate::peer) fn ticket_of(call: &Call) -> Ticket {
    let Call { session, ref key, side, ref relay, .. } = *call;
    Ticket { session, key: key.clone(), side, relay: relay.clone() }
}
