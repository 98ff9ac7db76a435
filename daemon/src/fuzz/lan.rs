//! What is announced on a network, by anybody.

use bytes::Bytes;

use super::engine::fuzz;
use crate::discover::mdns::announcement::{Announcement, MAX_ADDRESSES, Sealed};
use crate::discover::mdns::pair::{Day, tests::pair};

const TODAY: Day = Day(20_000);

/// Nothing else than what a contact has said counts as theirs, whatever is made of it.
#[test]
fn announcements_on_a_network() {
    let (alices, bobs) = ([pair(1, 2), pair(1, 3)], [pair(2, 1), pair(2, 4)]);
    let addresses = |count: usize| {
        let all = ["10.0.0.1", "fe80::1", "fd00::1", "2001:db8::1"];
        all.iter().take(count).map(|address| address.parse().unwrap()).collect()
    };
    let said: Vec<_> = (0..=MAX_ADDRESSES)
        .map(|count| Announcement { nonce: [5; 16], port: 9, addresses: addresses(count) })
        .collect();
    let seal = |it: &Announcement| it.seal(TODAY, alices.iter(), |bytes| bytes.fill(3));
    let seeds = said.iter().map(seal).collect();
    fuzz("announcements on a network", seeds, |bytes| {
        let Some(sealed) = Sealed::decode(&Bytes::copy_from_slice(bytes)) else { return false };
        if let Some((by, announced)) = sealed.open(TODAY, bobs.iter()) {
            assert_eq!(by.device(), bobs[0].device());
            assert!(said.contains(announced), "{announced:?}");
        }
        true
    });
}
