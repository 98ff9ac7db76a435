//! The search for paths to one peer.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use filefleet_server::{
    nat64::Prefix,
    protos::{certificate::DeviceKey, stun::TransactionId},
    udp::{DemuxSocket, OtherDatagram},
};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::{
    super::{
        allowance::Allowances,
        birthday::{Mapping, Part},
        candidate::{Candidate, CandidateKind, Network},
        checks::{Checks, Success},
        offer::{Offer, Secret, Tag},
    },
    Event, fill_random,
    guessing::Guessing,
    keys::{Credentials, Keys, transaction},
    standing::Found,
};

/// Ports are not guessed before the ordinary checks have had this long.
const CHECKS_FIRST: Duration = Duration::from_secs(1);

/// The search for paths to one peer, as the driver keeps it.
pub(super) struct Search {
    device: DeviceKey,
    ours: Credentials,
    checks: Checks,
    secret: Secret,
    generation: u32,
    theirs: Option<Theirs>,
    /// What the peer was told last.
    offered: Option<(Vec<Candidate>, Option<Mapping>)>,
    events: mpsc::Sender<Event>,
    /// Since when both sides' checks are under way.
    checking_since: Option<Instant>,
    succeeded: bool,
    /// Where the server observes the peer.
    revealed: Option<SocketAddr>,
    /// Whether the session was asked to reveal this side to the peer.
    reveals: bool,
    guessing: Option<AbortOnDropHandle<()>>,
    /// Since when nothing has answered, while both sides' checks are under way.
    in_vain_since: Option<Instant>,
    found: watch::Sender<Found>,
}

struct Theirs {
    credentials: Credentials,
    secret: Secret,
    generation: u32,
    mapping: Option<Mapping>,
    candidates: Vec<Candidate>,
}

/// How this machine reaches others.
pub(super) struct Reach<'a> {
    pub(super) network: &'a Network,
    /// How addresses of IPv4 are reached, if it has IPv6 alone.
    pub(super) translator: Option<Prefix>,
}

impl Reach<'_> {
    /// In which order to ask what a peer offers.
    fn rank(&self, theirs: &[Candidate]) -> impl Iterator<Item = SocketAddr> {
        let ranked = self.network.rank(theirs).into_iter();
        let translator = self.translator;
        ranked.map(move |address| translator.map_or(address, |prefix| prefix.reach(address)))
    }
}

impl Search {
    pub(super) fn new(tag: Tag, device: DeviceKey, events: mpsc::Sender<Event>) -> Self {
        let mut secret = Secret([0; 16]);
        fill_random(&mut secret.0);
        Self {
            device,
            ours: Credentials::new(tag, &secret),
            checks: Checks::default(),
            secret,
            generation: 0,
            theirs: None,
            offered: None,
            events,
            checking_since: None,
            succeeded: false,
            revealed: None,
            reveals: false,
            guessing: None,
            in_vain_since: None,
            found: watch::Sender::new(Found::nothing(Instant::now())),
        }
    }

    /// Tells from now on how the search stands.
    pub(super) fn telling(self, found: watch::Sender<Found>) -> Self {
        Self { found, ..self }
    }

    /// Tells how the search stands, if that is news.
    pub(super) fn tell_standing(&self) {
        let found = Found {
            asked_since: self.found.borrow().asked_since,
            offered: self.theirs.is_some(),
            in_vain_since: self.in_vain_since,
            guessing: self.is_guessing(),
            same_router: self.is_behind_same_router(),
            ours: self.offered.as_ref().and_then(|(_, mapping)| *mapping),
            theirs: self.theirs.as_ref().and_then(|theirs| theirs.mapping),
        };
        self.found.send_if_modified(|told| std::mem::replace(told, found) != found);
    }

    /// Whether servers see both sides at one address.
    fn is_behind_same_router(&self) -> bool {
        let ours = self.offered.as_ref().and_then(|(candidates, _)| public_ip(candidates));
        let theirs = self.theirs.as_ref().and_then(|theirs| public_ip(&theirs.candidates));
        ours.is_some() && ours == theirs
    }

    /// Whom is looked for.
    pub(super) fn device(&self) -> DeviceKey {
        self.device
    }

    /// Whether nobody waits for findings any more.
    pub(super) fn is_over(&self) -> bool {
        self.events.is_closed()
    }

    /// Tells the peer where we are, unless that is what it was told last.
    pub(super) fn offer(&mut self, candidates: &[Candidate], mapping: Option<Mapping>) {
        let told = self.offered.as_ref();
        if told.is_some_and(|(told, known)| told == candidates && *known == mapping) {
            return;
        }
        let candidates = candidates.to_vec();
        let offer = Offer {
            tag: self.ours.tag,
            secret: self.secret.clone(),
            generation: self.generation,
            candidates: candidates.clone(),
            mapping,
        };
        if self.tell(Event::Offer(offer)) {
            self.offered = Some((candidates, mapping));
        }
        self.reveal();
    }

    pub(super) fn tell(&self, event: Event) -> bool {
        self.events.try_send(event).is_ok()
    }

    /// Asks everybody again; the next offer makes the peer do the same.
    pub(super) fn restart(&mut self, now: Instant) {
        self.generation = self.generation.wrapping_add(1);
        self.offered = None;
        self.reveals = false;
        self.check_again(now);
    }

    fn check_again(&mut self, now: Instant) {
        if std::mem::take(&mut self.succeeded) {
            self.in_vain_since = Some(now);
        }
        self.checks.restart(now);
    }

    /// The peer says where it is.
    pub(super) fn take_offer(&mut self, now: Instant, offer: Offer, ours: &Reach<'_>) {
        let Offer { tag, secret, generation, candidates, mapping } = offer;
        match &mut self.theirs {
            Some(theirs) if theirs.credentials.tag == tag && theirs.secret == secret => {
                theirs.mapping = mapping;
                theirs.candidates.clone_from(&candidates);
                if std::mem::replace(&mut theirs.generation, generation) != generation {
                    self.check_again(now);
                }
            }
            theirs => {
                if theirs.is_some() {
                    self.checks.clear();
                    self.succeeded = false;
                }
                let credentials = Credentials::new(tag, &secret);
                let candidates = candidates.clone();
                *theirs = Some(Theirs { credentials, secret, generation, mapping, candidates });
                (self.checking_since, self.in_vain_since) = (Some(now), Some(now));
            }
        }
        self.checks.add(now, ours.rank(&candidates));
        self.reveal();
    }

    /// The peer's addresses may now be reached in another way.
    pub(super) fn look_again(&mut self, now: Instant, ours: &Reach<'_>) {
        if let Some(theirs) = &self.theirs {
            self.checks.add(now, ours.rank(&theirs.candidates));
        }
    }

    /// Where the server observes the peer.
    pub(super) fn take_revealed(&mut self, observed: SocketAddr) {
        self.revealed = Some(observed);
    }

    /// What this side does when ports are guessed; `None` while there is no need or no hope.
    fn part(&self) -> Option<Part> {
        let (_, ours) = self.offered.as_ref()?;
        Part::of(*ours, self.theirs.as_ref()?.mapping)
    }

    /// Lets the peer know from the server where we are, if ports may have to be guessed.
    fn reveal(&mut self) {
        if self.part().is_some() && !self.reveals {
            self.reveals = self.tell(Event::Reveal);
        }
    }

    /// Whether ports are being guessed.
    pub(super) fn is_guessing(&self) -> bool {
        self.guessing.as_ref().is_some_and(|guessing| !guessing.is_finished())
    }

    /// What guessing takes, if it is time for it: the mappings leave nothing else, the server has
    /// said where the peer is, and the ordinary checks have come to nothing.
    pub(super) fn to_guess(
        &self,
        now: Instant,
        main: &Arc<DemuxSocket>,
        translator: Option<Prefix>,
    ) -> Option<Guessing> {
        let since = self.checking_since.filter(|_| !self.succeeded)?;
        if now.saturating_duration_since(since) < CHECKS_FIRST {
            return None;
        }
        // Only IPv4 has such NATs.
        let remote = self.revealed.filter(SocketAddr::is_ipv4)?;
        let remote = translator.map_or(remote, |prefix| prefix.reach(remote));
        let theirs = self.theirs.as_ref()?.credentials.clone();
        let keys = Keys { ours: self.ours.clone(), theirs };
        let (main, events) = (Arc::clone(main), self.events.clone());
        Some(Guessing { part: self.part()?, remote, keys, main, events })
    }

    /// Guesses ports until there is a path.
    pub(super) fn guess(&mut self, guessing: Guessing) {
        self.guessing = Some(AbortOnDropHandle::new(tokio::spawn(guessing.run())));
    }

    /// Answers a check that names this search; `None` if it is not the peer's.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        request: &OtherDatagram,
        from: Tag,
        allowances: &mut Allowances,
    ) -> Option<Vec<u8>> {
        let answer = self.ours.answer(request)?;
        // A check may overtake the offer: then its source is asked once the offer is here.
        if self.theirs.as_ref().is_none_or(|theirs| theirs.credentials.tag == from) {
            self.checks.on_request(now, request.source, allowances);
        }
        Some(answer)
    }

    /// Whether an answer to a check is right, and news.
    pub(super) fn on_response(
        &mut self,
        now: Instant,
        response: &OtherDatagram,
        allowances: &mut Allowances,
    ) -> Option<Success> {
        let id = self.theirs.as_ref()?.credentials.answered(response)?;
        let success = self.checks.on_response(now, response.source, id, allowances)?;
        self.succeeded = true;
        self.in_vain_since = None;
        self.guessing = None;
        Some(success)
    }

    /// When the next check is due.
    pub(super) fn timeout(&self, allowances: &Allowances) -> Option<Instant> {
        self.theirs.as_ref().and_then(|_| self.checks.timeout(allowances))
    }

    /// The check that is due, and whom to send it to.
    pub(super) fn due(
        &mut self,
        now: Instant,
        allowances: &mut Allowances,
    ) -> Option<(Vec<u8>, SocketAddr)> {
        self.timeout(allowances).filter(|at| *at <= now)?;
        let theirs = self.theirs.as_ref()?.credentials.clone();
        let id: TransactionId = transaction(self.ours.tag);
        let remote = self.checks.poll(now, id, allowances)?;
        let keys = Keys { ours: self.ours.clone(), theirs };
        Some((keys.request_as(id), remote))
    }
}

/// Where servers see who offers these, if that is not an address of its own.
fn public_ip(candidates: &[Candidate]) -> Option<IpAddr> {
    let reflexive = |candidate: &&Candidate| candidate.kind == CandidateKind::ServerReflexive;
    let mut reflexive = candidates.iter().filter(reflexive).map(|seen| seen.address.ip());
    reflexive.find(IpAddr::is_ipv4)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use filefleet_server::udp::Datagram;

    use super::*;
    use crate::connect::{candidate::CandidateKind, driver::keys::tag_of};

    struct Side {
        search: Search,
        events: mpsc::Receiver<Event>,
        address: SocketAddr,
        allowances: Allowances,
    }

    impl Side {
        fn new(tag: u32, address: &str) -> Self {
            let (events_in, events) = mpsc::channel(4);
            let address = address.parse().unwrap();
            let device = DeviceKey::from_bytes([7; 32]);
            let search = Search::new(Tag(tag), device, events_in);
            Self { search, events, address, allowances: Allowances::default() }
        }

        fn offer(&mut self) -> Offer {
            let host = Candidate { kind: CandidateKind::Host, address: self.address };
            self.search.offer(&[host], None);
            match self.events.try_recv() {
                Ok(Event::Offer(offer)) => offer,
                other => panic!("{other:?}"),
            }
        }

        fn says(&self, payload: Vec<u8>) -> OtherDatagram {
            let (source, payload) = (self.address, Bytes::from(payload));
            OtherDatagram { source, local_ip: None, kind: Datagram::Stun, payload }
        }
    }

    fn id_of(datagram: &OtherDatagram) -> TransactionId {
        datagram.payload[8..20].try_into().unwrap()
    }

    #[test]
    fn two_sides_find_each_other_by_their_offers() {
        let now = Instant::now();
        let (mut alice, mut bob) = (Side::new(1, "10.0.0.1:1"), Side::new(2, "10.0.0.2:2"));
        let (alices, bobs) = (alice.offer(), bob.offer());
        let ours = Reach { network: &Network::default(), translator: None };
        alice.search.take_offer(now, bobs, &ours);
        bob.search.take_offer(now, alices, &ours);
        let (request, to) = alice.search.due(now, &mut alice.allowances).unwrap();
        assert_eq!(to, bob.address);
        let request = alice.says(request);
        assert_eq!(tag_of(&id_of(&request)), Tag(1));
        let answer = bob.search.answer(now, &request, Tag(1), &mut bob.allowances).unwrap();
        let answer = bob.says(answer);
        let success = alice.search.on_response(now, &answer, &mut alice.allowances).unwrap();
        assert_eq!(success.remote, bob.address);
    }

    #[test]
    fn who_has_not_seen_the_offer_gets_no_answer() {
        let now = Instant::now();
        let (mut alice, mut mallory) = (Side::new(1, "10.0.0.1:1"), Side::new(3, "10.0.0.3:3"));
        let mut offer = alice.offer();
        offer.secret = Secret([0; 16]);
        let ours = Reach { network: &Network::default(), translator: None };
        mallory.search.take_offer(now, offer, &ours);
        let (request, _) = mallory.search.due(now, &mut mallory.allowances).unwrap();
        let request = mallory.says(request);
        assert_eq!(alice.search.answer(now, &request, Tag(3), &mut alice.allowances), None);
        assert_eq!(alice.search.timeout(&alice.allowances), None);
    }

    #[test]
    fn searches_for_one_device_at_the_same_time_share_what_they_may_ask() {
        let now = Instant::now();
        let mut bob = Side::new(2, "10.0.0.2:2");
        let mut searches = [Side::new(1, "10.0.0.1:1"), Side::new(3, "10.0.0.1:1")];
        let ours = Reach { network: &Network::default(), translator: None };
        let mut allowances = Allowances::default();
        let offer = bob.offer();
        searches.iter_mut().for_each(|it| it.search.take_offer(now, offer.clone(), &ours));
        let asked = (0..10_000).map(|ms| now + Duration::from_millis(ms)).flat_map(|now| {
            let due = searches.iter_mut().filter_map(|it| it.search.due(now, &mut allowances));
            due.collect::<Vec<_>>()
        });
        assert_eq!(asked.count(), 10);
    }

    #[test]
    fn an_unchanged_offer_is_made_once_and_again_after_a_restart() {
        let mut alice = Side::new(1, "10.0.0.1:1");
        let first = alice.offer();
        alice.search.offer(&first.candidates, None);
        assert!(alice.events.try_recv().is_err());
        alice.search.restart(Instant::now());
        assert_eq!(alice.offer().generation, first.generation + 1);
    }
}
