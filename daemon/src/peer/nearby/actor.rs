//! The actor behind [`Nearby`](super::Nearby): it announces, listens, and checks who answers.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use filefleet_server::protos::certificate::DeviceKey;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Own, Question, Wishes,
    announcer::Announcer,
    sightings::{Sighting, Sightings},
};
use crate::{
    connect::{
        candidate::{Candidate, CandidateKind},
        driver::{self, Connector},
        offer::Offer,
    },
    discover::{
        changes::Changes,
        mdns::{
            self, Mdns, announcement::MAX_MARKS, interfaces::interfaces, pair::Day, pair::Pair,
        },
    },
};

/// How often it is made sure that who is near still answers.
const RECHECK: Duration = Duration::from_secs(60);
/// How often it is looked whether it is another day, or an address has come that counts only here.
const LOOK: Duration = Duration::from_secs(10);
/// How long a contact has to answer: all requests of the checks, and the last one's answer.
const CHECK_TIME: Duration = Duration::from_millis(2_300);
/// Since listening began, after which who has not been heard is not there. Answers to the first
/// question come within 120 ms (RFC 6762 section 6), or after the second one, a second later.
const HEARD_BY: Duration = Duration::from_millis(1_500);
/// Contacts that are checked at the same time; the others wait.
const MAX_CHECKS: usize = 32;

/// See the module.
pub(super) struct Actor {
    own: Own,
    connector: Connector,
    changes: Changes,
    wishes: watch::Receiver<Wishes>,
    questions: mpsc::Receiver<Question>,
    near_in: watch::Sender<HashSet<DeviceKey>>,
    stop: CancellationToken,
    /// While there is anything to announce.
    listening: Option<Listening>,
    pairs: Vec<Pair>,
    announcer: Announcer,
    sightings: Sightings,
    checks: JoinSet<(DeviceKey, Option<SocketAddr>)>,
    checking: HashSet<DeviceKey>,
    /// Those that are to be checked when there is room.
    due: Vec<DeviceKey>,
    asking: HashMap<DeviceKey, Vec<oneshot::Sender<Option<SocketAddr>>>>,
}

struct Listening {
    mdns: Mdns,
    events: mpsc::Receiver<mdns::Event>,
    since: Instant,
}

impl Actor {
    pub(super) fn new(
        own: Own,
        connector: Connector,
        wishes: watch::Receiver<Wishes>,
        questions: mpsc::Receiver<Question>,
        near_in: watch::Sender<HashSet<DeviceKey>>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            own,
            changes: connector.changes(),
            connector,
            wishes,
            questions,
            near_in,
            stop,
            listening: None,
            pairs: Vec::new(),
            announcer: Announcer::default(),
            sightings: Sightings::default(),
            checks: JoinSet::new(),
            checking: HashSet::new(),
            due: Vec::new(),
            asking: HashMap::new(),
        }
    }

    /// Runs until it is told to stop, or the last handle is gone.
    pub(super) async fn run(mut self) {
        let (mut look, mut recheck) = (interval(LOOK), interval(RECHECK));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.stop.clone();
        loop {
            let settles = self.unheard().next().and_then(|_| self.settled_at());
            // Every branch is cancel-safe: a token, channels, joins and timers.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = self.wishes.changed() => match changed {
                    Ok(()) => self.on_wishes().await,
                    Err(_) => break,
                },
                question = self.questions.recv() => match question {
                    Some(question) => self.on_question(question),
                    None => break,
                },
                Some(checked) = self.checks.join_next() => if let Ok((device, remote)) = checked {
                    self.on_checked(device, remote);
                },
                event = next(&mut self.listening) => self.on_event(event),
                () = self.changes.next() => {
                    self.announce();
                    self.check_all();
                }
                _ = look.tick() => self.announce(),
                _ = recheck.tick() => self.check_all(),
                () = until(settles) => self.give_up_unheard(),
            }
        }
        if let Some(listening) = self.listening.take() {
            listening.mdns.close().await;
        }
    }

    async fn on_wishes(&mut self) {
        let wishes = self.wishes.borrow_and_update().clone();
        let contacts = wishes.contacts.iter().filter(|_| wishes.enabled).take(MAX_MARKS);
        let Own { device_key, certificate, .. } = &self.own;
        let pairs = contacts.filter_map(|it| Pair::new(device_key, certificate, &it.certificate));
        self.pairs = pairs.collect();
        self.announcer.contacts_changed();
        match (self.pairs.is_empty(), self.listening.take()) {
            (true, Some(listening)) => listening.mdns.close().await,
            (false, None) => self.listen(),
            (_, listening) => self.listening = listening,
        }
        let found = self.sightings.look_again(today(), self.pairs.iter());
        let known: HashSet<_> = self.sightings.devices().into_iter().collect();
        self.near_in.send_if_modified(|near| {
            let before = near.len();
            near.retain(|device| known.contains(device));
            near.len() != before
        });
        self.announce();
        found.into_iter().for_each(|device| self.check(device));
    }

    fn listen(&mut self) {
        let (mdns, events) = Mdns::spawn();
        self.listening = Some(Listening { mdns, events, since: Instant::now() });
    }

    /// Announces what is new, if anything is.
    fn announce(&mut self) {
        let there = match &self.listening {
            Some(_) => interfaces(),
            None => Default::default(),
        };
        if !self.announcer.update(today(), there, self.own.port, &self.pairs) {
            return;
        }
        self.connector.expect(self.announcer.callers(&self.pairs));
        if let Some(Listening { mdns, .. }) = &self.listening {
            mdns.announce(self.announcer.services());
        }
    }

    fn on_event(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Heard { instance, text, interfaces } => {
                let heard = (instance, text, interfaces);
                if let Some(device) = self.sightings.heard(heard, today(), self.pairs.iter()) {
                    self.check(device);
                }
            }
            mdns::Event::Gone { instance } => {
                // It may have been taken back by somebody else.
                if let Some(device) = self.sightings.gone(&instance) {
                    self.check(device);
                }
            }
            mdns::Event::Restarted => {
                self.sightings.doubt_all();
                self.check_all();
            }
        }
    }

    fn on_question(&mut self, Question { device, answer }: Question) {
        let heard = !self.sightings.of(&device).is_empty();
        let settled = self.settled_at().is_none_or(|at| at <= Instant::now());
        if !heard && settled {
            // Whoever asked may have given up.
            let _ = answer.send(None);
            return;
        }
        self.asking.entry(device).or_default().push(answer);
        if heard {
            self.check(device);
        }
    }

    /// When who has not been heard is not there.
    fn settled_at(&self) -> Option<Instant> {
        self.listening.as_ref().map(|listening| listening.since + HEARD_BY)
    }

    /// Those who are asked for and have not been heard.
    fn unheard(&self) -> impl Iterator<Item = DeviceKey> {
        let asked = self.asking.keys().copied();
        asked.filter(|device| !self.checking.contains(device) && !self.due.contains(device))
    }

    fn give_up_unheard(&mut self) {
        let unheard: Vec<_> = self.unheard().collect();
        unheard.into_iter().for_each(|device| self.answer(device, None));
    }

    fn answer(&mut self, device: DeviceKey, remote: Option<SocketAddr>) {
        for answer in self.asking.remove(&device).unwrap_or_default() {
            // Whoever asked may have given up.
            let _ = answer.send(remote);
        }
    }

    fn check_all(&mut self) {
        self.sightings.devices().into_iter().for_each(|device| self.check(device));
    }

    /// Looks whether a contact answers, unless that is being done.
    fn check(&mut self, device: DeviceKey) {
        if self.checking.contains(&device) || self.due.contains(&device) {
            return;
        }
        if self.checking.len() >= MAX_CHECKS {
            // At most one for each contact.
            return self.due.push(device);
        }
        self.checking.insert(device);
        let (connector, offers) = (self.connector.clone(), self.offers(device));
        self.checks.spawn(async move {
            let first = first_answer(&connector, device, offers);
            (device, timeout(CHECK_TIME, first).await.ok().flatten())
        });
    }

    /// One for each announcement, since each has keys of its own.
    fn offers(&self, device: DeviceKey) -> Vec<Offer> {
        let Some(pair) = self.pairs.iter().find(|pair| pair.device() == device) else {
            return Vec::new();
        };
        let sightings = self.sightings.of(&device).into_iter();
        let offers = sightings.filter_map(|Sighting { nonce, remotes, .. }| {
            // What is announced on a network is on it.
            let remotes = remotes.into_iter().filter(|it| self.connector.is_on_link(*it));
            let kind = CandidateKind::Host;
            let candidates: Vec<_> = remotes.map(|address| Candidate { kind, address }).collect();
            if candidates.is_empty() {
                return None;
            }
            let (tag, secret) = pair.checks_of_them(&nonce);
            Some(Offer { tag, secret, generation: 0, candidates, mapping: None })
        });
        offers.collect()
    }

    fn on_checked(&mut self, device: DeviceKey, remote: Option<SocketAddr>) {
        self.checking.remove(&device);
        self.sightings.checked(&device, remote.is_some());
        self.near_in.send_if_modified(|near| match remote {
            Some(_) => near.insert(device),
            None => near.remove(&device),
        });
        self.answer(device, remote);
        if let Some(next) = self.due.pop() {
            self.check(next);
        }
    }
}

/// The address that is the first to answer. The attempts end with it.
async fn first_answer(
    connector: &Connector,
    device: DeviceKey,
    offers: Vec<Offer>,
) -> Option<SocketAddr> {
    let mut answers = JoinSet::new();
    for offer in offers {
        let mut attempt = connector.look(device, offer).await;
        answers.spawn(async move {
            loop {
                if let driver::Event::Reachable(path) = attempt.next().await {
                    return path.remote;
                }
            }
        });
    }
    answers.join_next().await.and_then(Result::ok)
}

async fn next(listening: &mut Option<Listening>) -> mdns::Event {
    match listening {
        Some(Listening { events, .. }) => match events.recv().await {
            Some(event) => event,
            // It ends with its handle.
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn today() -> Day {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Day(now.as_secs() / 86_400)
}
