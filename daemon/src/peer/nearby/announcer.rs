//! What this device announces: on each interface of its own, its addresses there and nothing else,
//! under random names, anew for every day and for every change.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use filefleet_server::protos::hex;

use crate::{
    connect::driver::Caller,
    discover::mdns::{
        Instance, Service,
        announcement::{Announcement, Nonce},
        pair::{Day, Pair},
    },
};

/// Announcements that others may still go by after they were replaced.
const OUTDATED: usize = 8;

/// What is announced, and was announced a moment ago.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    current: BTreeMap<Instance, (Nonce, Service)>,
    outdated: VecDeque<Nonce>,
    /// What the present announcements are made from.
    made_from: Option<MadeFrom>,
}

type MadeFrom = (Day, BTreeMap<String, Vec<IpAddr>>);

impl Announcer {
    /// Announces to other contacts from now on.
    pub(super) fn contacts_changed(&mut self) {
        self.made_from = None;
    }

    /// Makes new announcements if it is another day, or the interfaces are others.
    pub(super) fn update(
        &mut self,
        day: Day,
        interfaces: BTreeMap<String, Vec<IpAddr>>,
        port: u16,
        pairs: &[Pair],
    ) -> bool {
        let from = (day, interfaces);
        if self.made_from.as_ref() == Some(&from) {
            return false;
        }
        self.retire();
        for (interface, addresses) in &from.1 {
            let announcement = Announcement { nonce: random(), port, addresses: addresses.clone() };
            let text = announcement.seal(day, pairs.iter(), fill_random);
            let service = Service { interface: interface.clone(), port, text };
            let instance = hex::encode(&random::<16>());
            self.current.insert(instance, (announcement.nonce, service));
        }
        self.made_from = Some(from);
        true
    }

    fn retire(&mut self) {
        let replaced = std::mem::take(&mut self.current).into_values();
        self.outdated.extend(replaced.map(|(nonce, _)| nonce));
        let surplus = self.outdated.len().saturating_sub(OUTDATED);
        self.outdated.drain(..surplus);
    }

    /// For the network.
    pub(super) fn services(&self) -> BTreeMap<Instance, Service> {
        let services = self.current.iter();
        services.map(|(instance, (_, service))| (instance.clone(), service.clone())).collect()
    }

    /// Who may check whether this device answers, after what was announced.
    pub(super) fn callers<'a>(&'a self, pairs: &'a [Pair]) -> impl Iterator<Item = Caller> + 'a {
        let nonces = self.current.values().map(|(nonce, _)| nonce).chain(&self.outdated);
        nonces.flat_map(move |nonce| {
            pairs.iter().map(move |pair| {
                let (tag, secret) = pair.checks_of_us(nonce);
                Caller { tag, secret, device: pair.device() }
            })
        })
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the platform has randomness");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;

    use super::*;
    use crate::discover::mdns::{announcement::Sealed, pair::tests::pair};

    fn interfaces(address: &str) -> BTreeMap<String, Vec<IpAddr>> {
        let of = |name: &str, address: &str| (name.to_owned(), vec![address.parse().unwrap()]);
        [of("eth0", address), of("wlan0", "10.1.0.1")].into()
    }

    #[test]
    fn each_interface_announces_its_own_address_and_no_other() {
        let mut announcer = Announcer::default();
        let (ours, theirs) = ([pair(1, 2)], [pair(2, 1)]);
        assert!(announcer.update(Day(1), interfaces("10.0.0.1"), 7, &ours));
        assert_eq!(announcer.services().len(), 2);
        for service in announcer.services().into_values() {
            let sealed = Sealed::decode(&Bytes::from(service.text)).unwrap();
            let (_, announced) = sealed.open(Day(1), theirs.iter()).unwrap();
            let own = &interfaces("10.0.0.1")[&service.interface];
            assert_eq!((&announced.addresses, announced.port), (own, 7));
        }
    }

    #[test]
    fn another_day_address_or_contact_makes_everything_new() {
        let mut announcer = Announcer::default();
        let pairs = [pair(1, 2)];
        let mut seen = Vec::new();
        let mut update = |announcer: &mut Announcer, day, address| {
            let changed = announcer.update(Day(day), interfaces(address), 7, &pairs);
            seen.extend(announcer.services().into_keys().filter(|_| changed));
            changed
        };
        assert!(update(&mut announcer, 1, "10.0.0.1"));
        assert!(!update(&mut announcer, 1, "10.0.0.1"));
        assert!(update(&mut announcer, 2, "10.0.0.1"));
        assert!(update(&mut announcer, 2, "10.0.0.2"));
        announcer.contacts_changed();
        assert!(update(&mut announcer, 2, "10.0.0.2"));
        let names = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((names, seen.len()), (8, 8));
    }

    #[test]
    fn who_heard_the_announcement_before_this_one_may_still_call() {
        let mut announcer = Announcer::default();
        let (ours, theirs) = ([pair(1, 2)], pair(2, 1));
        announcer.update(Day(1), interfaces("10.0.0.1"), 7, &ours);
        let (nonce, _) = announcer.current.values().next().unwrap().clone();
        announcer.update(Day(2), interfaces("10.0.0.1"), 7, &ours);
        let may_call = |announcer: &Announcer| {
            announcer
                .callers(&ours)
                .any(|caller| (caller.tag, caller.secret) == theirs.checks_of_them(&nonce))
        };
        assert!(may_call(&announcer));
        (3..20).for_each(|day| {
            announcer.update(Day(day), interfaces("10.0.0.1"), 7, &ours);
        });
        assert!(!may_call(&announcer));
        assert_eq!(announcer.callers(&ours).count(), 2 + OUTDATED);
    }
}
