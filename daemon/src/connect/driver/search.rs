//! The search for paths to one peer, and how its STUN messages are told from those of others.

use std::{net::SocketAddr, time::Instant};

use filefleet_server::{
    protos::stun::{StunKey, StunMessage, TransactionId, decode, keyed_request, keyed_response},
    udp::OtherDatagram,
};
use tokio::sync::mpsc;

use super::{
    super::{
        candidate::{Candidate, Network},
        checks::{Checks, Success},
        offer::{Offer, Secret, Tag},
    },
    Event, fill_random,
};

/// The search for paths to one peer, as the driver keeps it.
pub(super) struct Search {
    tag: Tag,
    checks: Checks,
    secret: Secret,
    key: StunKey,
    generation: u32,
    theirs: Option<Theirs>,
    offered: Option<Vec<Candidate>>,
    events: mpsc::Sender<Event>,
}

struct Theirs {
    tag: Tag,
    secret: Secret,
    key: StunKey,
    generation: u32,
}

impl Search {
    pub(super) fn new(tag: Tag, events: mpsc::Sender<Event>) -> Self {
        let mut secret = Secret([0; 16]);
        fill_random(&mut secret.0);
        Self {
            tag,
            checks: Checks::default(),
            key: StunKey::new(&secret.password()),
            secret,
            generation: 0,
            theirs: None,
            offered: None,
            events,
        }
    }

    /// Whether nobody waits for findings any more.
    pub(super) fn is_over(&self) -> bool {
        self.events.is_closed()
    }

    /// Tells the peer where we are, unless that is what it was told last.
    pub(super) fn offer(&mut self, candidates: &[Candidate]) {
        if self.offered.as_deref() == Some(candidates) {
            return;
        }
        let offer = Offer {
            tag: self.tag,
            secret: self.secret.clone(),
            generation: self.generation,
            candidates: candidates.to_vec(),
        };
        if self.tell(Event::Offer(offer)) {
            self.offered = Some(candidates.to_vec());
        }
    }

    pub(super) fn tell(&self, event: Event) -> bool {
        self.events.try_send(event).is_ok()
    }

    /// Asks everybody again; the next offer makes the peer do the same.
    pub(super) fn restart(&mut self, now: Instant) {
        self.generation = self.generation.wrapping_add(1);
        self.offered = None;
        self.checks.restart(now);
    }

    /// The peer says where it is.
    pub(super) fn take_offer(&mut self, now: Instant, offer: Offer, network: &Network) {
        let Offer { tag, secret, generation, candidates } = offer;
        match &mut self.theirs {
            Some(theirs) if theirs.tag == tag && theirs.secret == secret => {
                if theirs.generation != generation {
                    theirs.generation = generation;
                    self.checks.restart(now);
                }
            }
            theirs => {
                if theirs.is_some() {
                    self.checks = Checks::default();
                }
                let key = StunKey::new(&secret.password());
                *theirs = Some(Theirs { tag, secret, key, generation });
            }
        }
        self.checks.add(now, network.rank(&candidates));
    }

    /// Answers a check that names this search; `None` if it is not the peer's.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        request: &OtherDatagram,
        from: Tag,
    ) -> Option<Vec<u8>> {
        let Ok(StunMessage::Request { id, authenticated: true, .. }) =
            decode(&request.payload, Some(&self.key))
        else {
            return None;
        };
        // A check may overtake the offer: then its source is asked once the offer is here.
        if self.theirs.as_ref().is_none_or(|theirs| theirs.tag == from) {
            self.checks.on_request(now, request.source);
        }
        Some(keyed_response(id, request.source, &self.key))
    }

    /// Whether an answer to a check is right, and news.
    pub(super) fn on_response(
        &mut self,
        now: Instant,
        response: &OtherDatagram,
        id: TransactionId,
    ) -> Option<Success> {
        let key = &self.theirs.as_ref()?.key;
        match decode(&response.payload, Some(key)) {
            Ok(StunMessage::Response { authenticated: true, .. }) => {
                self.checks.on_response(now, response.source, id)
            }
            _ => None,
        }
    }

    /// When the next check is due.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.theirs.as_ref().and_then(|_| self.checks.timeout())
    }

    /// The check that is due, and whom to send it to.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Vec<u8>, SocketAddr)> {
        self.timeout().filter(|at| *at <= now)?;
        let theirs = self.theirs.as_ref()?;
        let id = transaction(self.tag);
        let remote = self.checks.poll(now, id)?;
        Some((keyed_request(id, &username(theirs.tag, self.tag), &theirs.key), remote))
    }
}

/// RFC 8445 section 7.2.2: the peer's name, a colon, our own.
fn username(theirs: Tag, ours: Tag) -> String {
    format!("{:08x}:{:08x}", theirs.0, ours.0)
}

/// Our own name and the peer's, as the peer has put them.
pub(super) fn read_username(username: &str) -> Option<(Tag, Tag)> {
    let (ours, theirs) = username.split_once(':')?;
    let read = |tag| u32::from_str_radix(tag, 16).ok().map(Tag);
    Some((read(ours)?, read(theirs)?))
}

/// The first four bytes say whose checks it belongs to, the rest is random.
pub(super) fn transaction(tag: Tag) -> TransactionId {
    let mut id = [0; 12];
    fill_random(&mut id[4..]);
    id[..4].copy_from_slice(&tag.0.to_be_bytes());
    id
}

/// Whose checks a transaction belongs to.
pub(super) fn tag_of(id: &TransactionId) -> Tag {
    let [a, b, c, d, ..] = *id;
    Tag(u32::from_be_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use filefleet_server::udp::Datagram;

    use super::*;
    use crate::connect::candidate::CandidateKind;

    struct Side {
        search: Search,
        events: mpsc::Receiver<Event>,
        address: SocketAddr,
    }

    impl Side {
        fn new(tag: u32, address: &str) -> Self {
            let (events_in, events) = mpsc::channel(4);
            let address = address.parse().unwrap();
            Self { search: Search::new(Tag(tag), events_in), events, address }
        }

        fn offer(&mut self) -> Offer {
            let host = Candidate { kind: CandidateKind::Host, address: self.address };
            self.search.offer(&[host]);
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
        alice.search.take_offer(now, bobs, &Network::default());
        bob.search.take_offer(now, alices, &Network::default());
        let (request, to) = alice.search.due(now).unwrap();
        assert_eq!(to, bob.address);
        let request = alice.says(request);
        assert_eq!(tag_of(&id_of(&request)), Tag(1));
        let answer = bob.search.answer(now, &request, Tag(1)).unwrap();
        let answer = bob.says(answer);
        let success = alice.search.on_response(now, &answer, id_of(&answer)).unwrap();
        assert_eq!(success.remote, bob.address);
    }

    #[test]
    fn who_has_not_seen_the_offer_gets_no_answer() {
        let now = Instant::now();
        let (mut alice, mut mallory) = (Side::new(1, "10.0.0.1:1"), Side::new(3, "10.0.0.3:3"));
        let mut offer = alice.offer();
        offer.secret = Secret([0; 16]);
        mallory.search.take_offer(now, offer, &Network::default());
        let (request, _) = mallory.search.due(now).unwrap();
        let request = mallory.says(request);
        assert_eq!(alice.search.answer(now, &request, Tag(3)), None);
        assert_eq!(alice.search.timeout(), None);
    }

    #[test]
    fn an_unchanged_offer_is_made_once_and_again_after_a_restart() {
        let mut alice = Side::new(1, "10.0.0.1:1");
        let first = alice.offer();
        alice.search.offer(&first.candidates);
        assert!(alice.events.try_recv().is_err());
        alice.search.restart(Instant::now());
        assert_eq!(alice.offer().generation, first.generation + 1);
    }

    #[test]
    fn usernames_are_read_back() {
        assert_eq!(read_username(&username(Tag(7), Tag(9))), Some((Tag(7), Tag(9))));
        for odd in ["", ":", "1", "1:", "x:1", "123456789:1"] {
            assert_eq!(read_username(odd), None, "{odd}");
        }
    }
}
