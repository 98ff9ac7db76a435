//! The actor behind [`Client`](super::Client): disconnected or registered, in turn.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{sleep, sleep_until, timeout},
};
use tracing::{debug, info};

use super::{
    Command, Config, Error, Event, State,
    backoff::{Backoff, random_between},
    connection::{Connector, Registration},
    live::Live,
};
use crate::protos::certificate::IdentityKey;

/// How long an attempt to register may take, first and at most. The first is short because it is
/// often made while the server is just coming back.
const ATTEMPT_TIMEOUT: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(10));
/// How long a tunnelled client waits before it tries UDP again, first and at most.
const UDP_PAUSE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(600));
/// Beacons within this time count once: anybody can send them.
const BEACON_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Actor {
    connector: Connector,
    inbox: Inbox,
    events: mpsc::Sender<Event>,
}

/// What commands change, whether there is a connection or not.
pub(super) struct Inbox {
    commands: mpsc::Receiver<Command>,
    state: watch::Sender<State>,
    pub(super) contacts: Vec<IdentityKey>,
    last_beacon: Option<Instant>,
    /// Told while a tunnelled registration waits for UDP.
    pub(super) network_changed: Arc<Notify>,
}

/// How a registration came to its end.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Served {
    Lost(Error),
    Better(Registration),
}

/// Why the actor ends: it was told to, or no handle is left.
pub(super) struct Stop(pub(super) Option<oneshot::Sender<()>>);

/// What the actor does about a command while there is no connection.
enum Idle {
    Wait,
    TryNow,
    Stop(Stop),
}

impl Actor {
    pub(super) fn new(
        endpoint: quinn::Endpoint,
        config: Config,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
        state: watch::Sender<State>,
    ) -> Self {
        let connector = Connector::new(endpoint, config);
        let network_changed = Arc::default();
        let inbox =
            Inbox { commands, state, contacts: Vec::new(), last_beacon: None, network_changed };
        Self { connector, inbox, events }
    }

    pub(super) async fn run(mut self) {
        let mut better = None;
        let Stop(done) = loop {
            let registration = match better.take() {
                Some(registration) => registration,
                None => match self.establish().await {
                    ControlFlow::Continue(registration) => registration,
                    ControlFlow::Break(stop) => break stop,
                },
            };
            match self.serve(registration).await {
                ControlFlow::Continue(registration) => better = registration,
                ControlFlow::Break(stop) => break stop,
            }
        };
        self.publish(|state| state.registered = false);
        if let Some(done) = done {
            // Whoever waited for it may have given up.
            let _ = done.send(());
        }
    }

    /// Tries until there is a registration, or the actor is to end.
    async fn establish(&mut self) -> ControlFlow<Stop, Registration> {
        let mut backoff = Backoff::new(Instant::now());
        let mut limit = ATTEMPT_TIMEOUT.0;
        // After a reset the server is there and expects us; after its shutdown or a replacement
        // by another device there is reason to wait.
        let mut delay = match &self.inbox.state.borrow().last_error {
            Some(error @ Error::Replaced) => backoff.after(error, Instant::now()),
            _ => Duration::ZERO,
        };
        loop {
            let attempt = async {
                sleep(delay).await;
                self.connector.register(limit).await
            };
            let Some(result) = self.inbox.attend(attempt).await? else {
                delay = Duration::ZERO;
                continue;
            };
            match result {
                Ok(registration) => return ControlFlow::Continue(registration),
                Err(error) => {
                    debug!(%error, "registration failed");
                    delay = backoff.after(&error, Instant::now());
                    limit = ATTEMPT_TIMEOUT.1.min(limit * 2);
                    self.publish(|state| state.last_error = Some(error));
                }
            }
        }
    }

    /// Serves until the connection breaks, there is a better one, or the actor is to end.
    async fn serve(
        &mut self,
        registration: Registration,
    ) -> ControlFlow<Stop, Option<Registration>> {
        self.publish(|state| {
            *state = State {
                registered: true,
                server_addr: registration.server_addr,
                relay: Some(registration.relay.clone()),
                observed: registration.observed,
                last_error: None,
            }
        });
        info!(server = ?registration.server_addr, tunnel = registration.is_tunnelled(), "registered");
        let mut live = Live::new(registration);
        let (error, flow) = match self.serve_live(&mut live).await {
            ControlFlow::Continue(Served::Better(registration)) => {
                info!("UDP reaches the server again");
                return ControlFlow::Continue(Some(registration));
            }
            ControlFlow::Continue(Served::Lost(error)) => (error, ControlFlow::Continue(None)),
            ControlFlow::Break(stop) => (Error::ShutDown, ControlFlow::Break(stop)),
        };
        info!(%error, "no longer registered");
        self.publish(|state| {
            state.registered = false;
            state.last_error = Some(error);
        });
        // Only now do waiting requests see that their connection is lost: they look at the state.
        drop(live);
        flow
    }

    async fn serve_live(&mut self, live: &mut Live) -> ControlFlow<Stop, Served> {
        if let Err(error) = live.send_contacts(&self.inbox.contacts).await {
            return ControlFlow::Continue(Served::Lost(error));
        }
        let is_tunnelled = live.registration.is_tunnelled();
        let by_udp = register_by_udp(&self.connector, self.inbox.network_changed.clone());
        tokio::pin!(by_udp);
        loop {
            let due = live.timeout();
            let result = tokio::select! {
                biased;
                command = self.inbox.commands.recv() => live.command(command, &mut self.inbox).await?,
                permit = self.events.reserve(), if live.event.is_some() => {
                    // Without a receiver, events are of no interest to anybody.
                    if let (Ok(permit), Some(event)) = (permit, live.event.take()) {
                        permit.send(event);
                    }
                    Ok(())
                }
                frame = live.registration.reader.next(), if live.event.is_none() => match frame {
                    Ok(Some(frame)) => live.frame(frame),
                    Ok(None) | Err(_) => Err(live.registration.end()),
                },
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    live.on_timeout().await
                }
                registration = &mut by_udp, if is_tunnelled => {
                    return ControlFlow::Continue(Served::Better(registration));
                }
            };
            let Err(error) = result else { continue };
            // It may be this very client's better registration that has replaced this one.
            if is_tunnelled
                && error == Error::Replaced
                && let Ok(registration) = timeout(ATTEMPT_TIMEOUT.0, by_udp).await
            {
                return ControlFlow::Continue(Served::Better(registration));
            }
            return ControlFlow::Continue(Served::Lost(error));
        }
    }

    fn publish(&self, change: impl FnOnce(&mut State)) {
        self.inbox.state.send_modify(change);
        // The state is there to be read; the event only says that it changed.
        let _ = self.events.try_send(Event::StateChanged);
    }
}

/// Tries, ever less often until the network changes, until UDP reaches the server.
async fn register_by_udp(connector: &Connector, network_changed: Arc<Notify>) -> Registration {
    let mut pause = UDP_PAUSE.0;
    loop {
        tokio::select! {
            () = sleep(random_between(pause / 2, pause)) => {}
            () = network_changed.notified() => pause = UDP_PAUSE.0,
        }
        match connector.register_by_udp(ATTEMPT_TIMEOUT.0).await {
            Ok(registration) => return registration,
            Err(error) => debug!(%error, "UDP does not reach the server yet"),
        }
        pause = UDP_PAUSE.1.min(pause * 2);
    }
}

impl Inbox {
    /// Runs an attempt to register; `None` if a beacon asks for another one at once.
    async fn attend<T>(
        &mut self,
        attempt: impl Future<Output = T>,
    ) -> ControlFlow<Stop, Option<T>> {
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match self.command_while_idle(command) {
                    Idle::Wait => {}
                    Idle::TryNow => return ControlFlow::Continue(None),
                    Idle::Stop(stop) => return ControlFlow::Break(stop),
                },
                result = &mut attempt => return ControlFlow::Continue(Some(result)),
            }
        }
    }

    fn command_while_idle(&mut self, command: Option<Command>) -> Idle {
        match command {
            // Dropped, the reply says that the connection was lost, and the handle waits for the
            // next one.
            Some(Command::Request { .. }) => Idle::Wait,
            Some(Command::Refuse { reply, .. }) => {
                // The call went with the connection.
                let _ = reply.send(Err(Error::ConnectionLost));
                Idle::Wait
            }
            Some(Command::Contacts(contacts)) => {
                self.contacts = contacts;
                Idle::Wait
            }
            Some(Command::CheckAlive) if self.heed_beacon() => Idle::TryNow,
            Some(Command::NetworkChanged) => Idle::TryNow,
            // Dropped, the reply says that there is none.
            Some(Command::CheckAlive | Command::Reveal(_) | Command::RoundTrip(_)) => Idle::Wait,
            Some(Command::Shutdown { done }) => Idle::Stop(Stop(Some(done))),
            None => Idle::Stop(Stop(None)),
        }
    }

    /// Whether the server refuses this client for a reason that a restart does not change.
    fn is_refused(&self) -> bool {
        let state = self.state.borrow();
        state.last_error.as_ref().is_some_and(Error::is_lasting)
    }

    /// Whether to act on a beacon.
    pub(super) fn heed_beacon(&mut self) -> bool {
        let now = Instant::now();
        let heed =
            self.last_beacon.is_none_or(|last| now - last >= BEACON_INTERVAL) && !self.is_refused();
        if heed {
            self.last_beacon = Some(now);
        }
        heed
    }
}
