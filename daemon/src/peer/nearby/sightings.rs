//! Where contacts have announced themselves, without I/O. Only what a contact's mark vouches for
//! gets here, and of each only the last few.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr, SocketAddrV6},
};

use bytes::Bytes;
use filefleet_server::protos::certificate::DeviceKey;

use crate::discover::mdns::{
    Instance,
    announcement::{Announcement, Nonce, Sealed},
    pair::{Day, Pair},
};

/// Announcements of one device, as on several networks.
const MAX_OF_DEVICE: usize = 4;
/// Announcements of nobody known that are kept: one of them may become a contact.
const MAX_UNKNOWN: usize = 128;
/// Addresses of one announcement that are tried; a link-local one counts for each interface.
const MAX_REMOTES: usize = 8;

/// An announcement whose announcer is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    instance: Instance,
    pub(super) nonce: Nonce,
    pub(super) remotes: Vec<SocketAddr>,
    /// Somebody says that it has ended, which anybody may say.
    is_doubtful: bool,
}

/// What was heard, as the network said it.
#[derive(Debug, Clone)]
struct Heard {
    instance: Instance,
    text: Bytes,
    interfaces: Vec<u32>,
}

/// What has been heard of whom.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    /// The newest last.
    known: HashMap<DeviceKey, VecDeque<Sighting>>,
    unknown: VecDeque<Heard>,
}

impl Sightings {
    /// Somebody has announced this. Gives whom it is by, if that is one of these and news.
    pub(super) fn heard<'a>(
        &mut self,
        (instance, text, interfaces): (Instance, Bytes, Vec<u32>),
        today: Day,
        pairs: impl Iterator<Item = &'a Pair>,
    ) -> Option<DeviceKey> {
        self.recognise(Heard { instance, text, interfaces }, today, pairs)
    }

    /// There are other contacts now: who announced themselves may be one.
    pub(super) fn look_again<'a>(
        &mut self,
        today: Day,
        pairs: impl Iterator<Item = &'a Pair> + Clone,
    ) -> Vec<DeviceKey> {
        self.known.retain(|device, _| pairs.clone().any(|pair| pair.device() == *device));
        let unknown = std::mem::take(&mut self.unknown);
        let found = unknown.into_iter();
        found.filter_map(|heard| self.recognise(heard, today, pairs.clone())).collect()
    }

    fn recognise<'a>(
        &mut self,
        heard: Heard,
        today: Day,
        pairs: impl Iterator<Item = &'a Pair>,
    ) -> Option<DeviceKey> {
        let sealed = Sealed::decode(&heard.text)?;
        let Some((pair, announced)) = sealed.open(today, pairs) else {
            self.unknown.retain(|known| known.instance != heard.instance);
            if self.unknown.len() >= MAX_UNKNOWN {
                self.unknown.pop_front();
            }
            self.unknown.push_back(heard);
            return None;
        };
        let remotes = remotes(announced, &heard.interfaces);
        let (instance, nonce) = (heard.instance, announced.nonce);
        let sighting = Sighting { instance, nonce, remotes, is_doubtful: false };
        let known = self.known.entry(pair.device()).or_default();
        // Who says the same under another name has copied it, and shall not push anything out.
        let is_copy =
            |known: &Sighting| known.nonce == sighting.nonce && known.instance != sighting.instance;
        if known.contains(&sighting) || known.iter().any(is_copy) {
            return None;
        }
        known.retain(|known| known.instance != sighting.instance);
        if known.len() >= MAX_OF_DEVICE {
            known.pop_front();
        }
        known.push_back(sighting);
        Some(pair.device())
    }

    /// An announcement is said to have ended; whose it was. It is kept until it is known whether they
    /// answer there.
    pub(super) fn gone(&mut self, instance: &str) -> Option<DeviceKey> {
        self.unknown.retain(|known| known.instance != instance);
        let sightings = self.known.iter_mut();
        let mut sightings =
            sightings.flat_map(|(device, known)| known.iter_mut().map(move |it| (device, it)));
        let (device, sighting) = sightings.find(|(_, it)| it.instance == instance)?;
        sighting.is_doubtful = true;
        Some(*device)
    }

    /// Whether any announcement has ended is not known.
    pub(super) fn doubt_all(&mut self) {
        self.unknown.clear();
        self.known.values_mut().flatten().for_each(|it| it.is_doubtful = true);
    }

    /// A device has been checked. What is doubtful of it ends, unless it has answered and is known
    /// by nothing else.
    pub(super) fn checked(&mut self, device: &DeviceKey, answered: bool) {
        let Some(known) = self.known.get_mut(device) else { return };
        if !answered || known.iter().any(|it| !it.is_doubtful) {
            known.retain(|it| !it.is_doubtful);
        }
        if known.is_empty() {
            self.known.remove(device);
        }
    }

    /// What this device has announced and not taken back, the newest first.
    pub(super) fn of(&self, device: &DeviceKey) -> Vec<Sighting> {
        self.known.get(device).into_iter().flatten().rev().cloned().collect()
    }

    /// Who has announced anything.
    pub(super) fn devices(&self) -> Vec<DeviceKey> {
        self.known.keys().copied().collect()
    }
}

/// Where an announcer is, as seen from here.
fn remotes(announced: &Announcement, interfaces: &[u32]) -> Vec<SocketAddr> {
    let port = announced.port;
    let on_each = |address: &IpAddr| -> Vec<SocketAddr> {
        match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => interfaces
                .iter()
                .map(|interface| SocketAddrV6::new(*v6, port, 0, *interface).into())
                .collect(),
            address => vec![SocketAddr::new(*address, port)],
        }
    };
    announced.addresses.iter().flat_map(on_each).take(MAX_REMOTES).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::discover::mdns::pair::tests::pair;

    const TODAY: Day = Day(20_000);

    fn announce(nonce: u8, pairs: &[Pair]) -> (Instance, Bytes, Vec<u32>) {
        let addresses = ["10.0.0.1", "fe80::1"].map(|address| address.parse().unwrap()).to_vec();
        let announcement = Announcement { nonce: [nonce; 16], port: 7, addresses };
        let text = announcement.seal(TODAY, pairs.iter(), |bytes| bytes.fill(nonce));
        (format!("instance {nonce}"), text.into(), vec![2, 3])
    }

    #[test]
    fn a_contact_is_seen_until_the_last_announcement_is_gone() {
        let (alices, bobs) = ([pair(1, 2)], [pair(2, 1)]);
        let mut seen = Sightings::default();
        let alice = Some(bobs[0].device());
        assert_eq!(seen.heard(announce(1, &alices), TODAY, bobs.iter()), alice);
        assert_eq!(seen.heard(announce(1, &alices), TODAY, bobs.iter()), None);
        assert_eq!(seen.heard(announce(2, &alices), TODAY, bobs.iter()), alice);
        let of_alice = seen.of(&bobs[0].device());
        assert_eq!(of_alice.iter().map(|it| it.nonce[0]).collect::<Vec<_>>(), [2, 1]);
        let remotes = ["10.0.0.1:7", "[fe80::1%2]:7", "[fe80::1%3]:7"];
        assert_eq!(of_alice[0].remotes, remotes.map(|remote| remote.parse().unwrap()));
        assert_eq!(seen.gone("instance 2"), alice);
        seen.checked(&bobs[0].device(), true);
        assert_eq!(seen.of(&bobs[0].device()), of_alice[1..]);
        assert_eq!(seen.gone("instance 1"), alice);
        seen.checked(&bobs[0].device(), false);
        assert_eq!((seen.devices(), seen.gone("instance 1")), (vec![], None));
    }

    #[test]
    fn who_is_said_to_be_gone_and_answers_stays() {
        let (alices, bobs) = ([pair(1, 2)], [pair(2, 1)]);
        let mut seen = Sightings::default();
        let alice = bobs[0].device();
        for nonce in [1, 2] {
            seen.heard(announce(nonce, &alices), TODAY, bobs.iter());
        }
        seen.gone("instance 1");
        seen.gone("instance 2");
        assert_eq!(seen.of(&alice).len(), 2, "where to check");
        seen.checked(&alice, true);
        assert_eq!(seen.of(&alice).len(), 2);
        assert_eq!(seen.heard(announce(2, &alices), TODAY, bobs.iter()), Some(alice));
        seen.checked(&alice, true);
        assert_eq!(seen.of(&alice).len(), 1);
    }

    #[test]
    fn who_is_not_heard_again_and_does_not_answer_is_forgotten() {
        let (alices, bobs) = ([pair(1, 2)], [pair(2, 1)]);
        let mut seen = Sightings::default();
        seen.heard(announce(1, &alices), TODAY, bobs.iter());
        seen.doubt_all();
        seen.heard(announce(1, &alices), TODAY, bobs.iter());
        seen.checked(&bobs[0].device(), false);
        assert_eq!(seen.devices(), [bobs[0].device()], "it has been heard again");
        seen.doubt_all();
        seen.checked(&bobs[0].device(), false);
        assert_eq!(seen.devices(), []);
    }

    #[test]
    fn who_becomes_a_contact_was_seen_already_and_who_is_none_any_more_is_not() {
        let (alices, bobs) = ([pair(1, 2)], [pair(2, 1)]);
        let mut seen = Sightings::default();
        assert_eq!(seen.heard(announce(1, &alices), TODAY, [].iter()), None);
        assert_eq!(seen.look_again(TODAY, bobs.iter()), [bobs[0].device()]);
        assert_eq!(seen.look_again(TODAY, bobs.iter()), []);
        seen.look_again(TODAY, [].iter());
        assert_eq!(seen.devices(), []);
    }

    #[test]
    fn a_copy_under_another_name_changes_nothing() {
        let (alices, bobs) = ([pair(1, 2)], [pair(2, 1)]);
        let mut seen = Sightings::default();
        let (genuine, text, interfaces) = announce(1, &alices);
        seen.heard((genuine, text.clone(), interfaces.clone()), TODAY, bobs.iter());
        let before = seen.of(&bobs[0].device());
        let copy = ("copy".to_owned(), text, interfaces);
        assert_eq!(seen.heard(copy, TODAY, bobs.iter()), None);
        assert_eq!(seen.gone("copy"), None);
        assert_eq!(seen.of(&bobs[0].device()), before);
    }

    #[test]
    fn no_number_of_announcements_takes_more_room() {
        let (alices, bobs) = ([pair(1, 2)], [pair(2, 1)]);
        let mut seen = Sightings::default();
        for nonce in 0..=255 {
            seen.heard(announce(nonce, &alices), TODAY, bobs.iter());
            seen.heard(announce(nonce, &[pair(3, 4)]), TODAY, bobs.iter());
        }
        assert_eq!(seen.of(&bobs[0].device()).len(), MAX_OF_DEVICE);
        assert_eq!(seen.unknown.len(), MAX_UNKNOWN);
    }
}
