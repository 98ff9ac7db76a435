//! What a device announces on a network, without I/O: where it may be called, and a mark for each
//! contact, by which that contact alone recognises it.
//!
//! A mark is a MAC over everything else, so that nobody can announce other addresses under a copied
//! mark: nothing is ever sent to an address that the contact has not named. To those who are not
//! contacts marks are random, and new with each announcement; their number says no more than the
//! next power of two above the number of contacts.
//!
//! A mark vouches for addresses, not for the network: repeated by somebody else while its day is
//! near, on any network where the addresses fit (link-local ones do on all), it still makes contacts
//! check those addresses. They learn nothing false by it, since nobody answers there without the key;
//! but who listens there learns that they are contacts.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv6Addr},
};

use bytes::{Buf, BufMut, Bytes};

use super::pair::{Day, MARK_LEN, Mark, Pair};

/// First byte of the encoding.
const VERSION: u8 = 1;
/// Addresses of one interface that are announced.
pub const MAX_ADDRESSES: usize = 4;
/// Marks of one announcement: with names and addresses it still fits one packet.
pub const MAX_MARKS: usize = 128;
/// Fewer marks than this are filled up.
const MIN_MARKS: usize = 8;
/// The longest encoding.
pub const MAX_LEN: usize = HEAD_LEN + MAX_ADDRESSES * 16 + MAX_MARKS * MARK_LEN;
/// Version, nonce, port, number of addresses.
const HEAD_LEN: usize = 1 + 16 + 2 + 1;

/// Tells announcements of one device apart; random.
pub type Nonce = [u8; 16];

/// What is announced on one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Calls after this announcement are keyed with it.
    pub nonce: Nonce,
    /// The port of the main socket.
    pub port: u16,
    /// The interface's own addresses.
    pub addresses: Vec<IpAddr>,
}

/// An announcement as somebody made it, which may be anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    announcement: Announcement,
    /// What marks are made over.
    covered: Bytes,
    marks: Vec<Mark>,
}

impl Announcement {
    /// `1 ‖ nonce 16 ‖ port u16 ‖ count u8 ‖ count × address 16 ‖ marks, 8 bytes each`; IPv4 is
    /// mapped into IPv6. `fill` gives the random bytes that stand in for missing contacts and
    /// decide the order, so that places mean nothing.
    pub fn seal<'a>(
        &self,
        day: Day,
        pairs: impl Iterator<Item = &'a Pair>,
        mut fill: impl FnMut(&mut [u8]),
    ) -> Vec<u8> {
        let mut bytes = self.encode();
        let pairs = pairs.take(MAX_MARKS);
        let mut marks: Vec<Mark> = pairs.map(|pair| pair.to_announce(day).mark(&bytes)).collect();
        marks.resize_with(marks.len().max(MIN_MARKS).next_power_of_two(), || {
            let mut mark = [0; MARK_LEN];
            fill(&mut mark);
            mark
        });
        // Marks are as good as random: in their own order they tell nothing of the contacts'.
        marks.sort_unstable();
        marks.iter().for_each(|mark| bytes.extend(mark));
        bytes
    }

    fn encode(&self) -> Vec<u8> {
        let addresses = &self.addresses[..self.addresses.len().min(MAX_ADDRESSES)];
        let mut bytes = Vec::with_capacity(MAX_LEN);
        bytes.put_u8(VERSION);
        bytes.put_slice(&self.nonce);
        bytes.put_u16(self.port);
        bytes.put_u8(u8::try_from(addresses.len()).unwrap_or(u8::MAX));
        for address in addresses {
            let ip = match address {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => *ip,
            };
            bytes.put_slice(&ip.octets());
        }
        bytes
    }
}

impl Sealed {
    /// Reads an announcement; `None` if it is none.
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        if bytes.len() > MAX_LEN {
            return None;
        }
        let mut rest = bytes.clone();
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let mut nonce = Nonce::default();
        rest.try_copy_to_slice(&mut nonce).ok()?;
        let port = rest.try_get_u16().ok()?;
        let count = usize::from(rest.try_get_u8().ok()?);
        if port == 0 || count > MAX_ADDRESSES {
            return None;
        }
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            addresses.push(Ipv6Addr::from(rest.try_get_u128().ok()?).to_canonical());
        }
        let covered = bytes.slice(..bytes.len() - rest.len());
        let (marks, []) = rest.as_chunks::<MARK_LEN>() else { return None };
        let marks = marks.to_vec();
        (marks.len() <= MAX_MARKS).then_some(Self {
            announcement: Announcement { nonce, port, addresses },
            covered,
            marks,
        })
    }

    /// Whose it is, if it is one of these; clocks may differ by a day. It costs three short hashes
    /// for each of them.
    pub fn open<'a>(
        &self,
        today: Day,
        mut pairs: impl Iterator<Item = &'a Pair>,
    ) -> Option<(&'a Pair, &Announcement)> {
        let marks: HashSet<&Mark> = self.marks.iter().collect();
        let days = [today.0, today.0.wrapping_sub(1), today.0.wrapping_add(1)].map(Day);
        let is_by = |pair: &&Pair| {
            days.iter().any(|day| marks.contains(&pair.to_recognise(*day).mark(&self.covered)))
        };
        Some((pairs.find(is_by)?, &self.announcement))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::pair::tests::pair;
    use super::*;

    const TODAY: Day = Day(20_000);

    fn announcement() -> Announcement {
        let addresses = ["10.0.0.1", "2001:db8::1"].map(|address| address.parse().unwrap());
        Announcement { nonce: [3; 16], port: 258, addresses: addresses.to_vec() }
    }

    fn fill(bytes: &mut [u8]) {
        getrandom::fill(bytes).unwrap();
    }

    fn sealed(pairs: &[Pair]) -> Vec<u8> {
        announcement().seal(TODAY, pairs.iter(), fill)
    }

    fn read(bytes: &[u8]) -> Sealed {
        Sealed::decode(&Bytes::copy_from_slice(bytes)).unwrap()
    }

    #[test]
    fn an_announcement_keeps_its_bytes() {
        let bytes = announcement().seal(TODAY, [].iter(), |bytes| bytes.fill(9));
        let expected = [
            &[1][..],
            &[3; 16],
            &[1, 2, 2],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1],
            &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            &[9; 64],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn a_contact_recognises_it_even_if_the_clocks_differ_by_a_day() {
        let bytes = sealed(&[pair(1, 5), pair(1, 2), pair(1, 6)]);
        let known = [pair(2, 9), pair(2, 1)];
        for today in [TODAY.0 - 1, TODAY.0, TODAY.0 + 1] {
            let sealed = read(&bytes);
            let (found, announced) = sealed.open(Day(today), known.iter()).unwrap();
            assert_eq!(found.device(), known[1].device());
            assert_eq!(*announced, announcement());
        }
        for today in [TODAY.0 - 2, TODAY.0 + 2] {
            assert!(read(&bytes).open(Day(today), known.iter()).is_none());
        }
    }

    #[test]
    fn whoever_is_no_contact_recognises_nothing() {
        let bytes = sealed(&[pair(1, 2)]);
        // Carol knows Alice; Alice does not have Carol as a contact.
        assert!(read(&bytes).open(TODAY, [pair(3, 1)].iter()).is_none());
    }

    #[test]
    fn a_copied_mark_is_worth_nothing_with_another_address_or_port() {
        let pairs = [pair(1, 2)];
        let genuine = sealed(&pairs);
        let marks = genuine.len() - 64;
        for announced in [
            Announcement { port: 259, ..announcement() },
            Announcement { nonce: [4; 16], ..announcement() },
            Announcement { addresses: vec!["10.0.0.9".parse().unwrap()], ..announcement() },
        ] {
            let forged = [&announced.encode()[..], &genuine[marks..]].concat();
            assert!(read(&forged).open(TODAY, [pair(2, 1)].iter()).is_none());
        }
        assert!(read(&genuine).open(TODAY, [pair(2, 1)].iter()).is_some());
    }

    #[test]
    fn two_days_two_directions_and_two_announcements_have_no_mark_in_common() {
        let marks = |bytes: Vec<u8>| read(&bytes).marks;
        let (alices, bobs) = ([pair(1, 2), pair(1, 3)], [pair(2, 1), pair(2, 3)]);
        let renewed = Announcement { nonce: [4; 16], ..announcement() };
        let all = [
            sealed(&alices),
            announcement().seal(Day(TODAY.0 + 1), alices.iter(), fill),
            renewed.seal(TODAY, alices.iter(), fill),
            sealed(&bobs),
        ];
        let all: Vec<_> = all.into_iter().flat_map(marks).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn how_many_contacts_there_are_is_not_told() {
        let of = |contacts: u8| {
            let pairs: Vec<_> = (0..contacts).map(|seed| pair(200, seed)).collect();
            sealed(&pairs).len()
        };
        assert_eq!((of(0), of(1), of(8)), (of(8), of(8), of(8)));
        assert_eq!((of(9), of(65)), (of(16), of(128)));
        // One packet holds it, with the names and addresses around it.
        assert!(of(150) <= MAX_LEN && MAX_LEN < 1_200, "{}", of(150));
    }

    #[test]
    fn what_is_too_much_or_odd_is_none() {
        let bytes = sealed(&[pair(1, 2)]);
        let decode = |bytes: &[u8]| Sealed::decode(&Bytes::copy_from_slice(bytes));
        assert!(decode(&bytes[..bytes.len() - 1]).is_none());
        assert!(decode(&[&bytes[..], &[0; MAX_LEN]].concat()).is_none());
        for (at, value) in [(0, 2), (19, 5)] {
            let mut odd = bytes.clone();
            odd[at] = value;
            assert!(decode(&odd).is_none());
        }
        assert!(decode(&Announcement { port: 0, ..announcement() }.encode()).is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_are_nobodys(mut bytes: Vec<u8>) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Some(sealed) = Sealed::decode(&bytes.into()) {
                prop_assert!(sealed.open(TODAY, [pair(2, 1)].iter()).is_none());
            }
        }

        #[test]
        fn one_changed_bit_before_the_marks_makes_it_nobodys(bit in 0..52 * 8_usize) {
            let mut bytes = sealed(&[pair(1, 2)]);
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Some(sealed) = Sealed::decode(&bytes.into()) {
                prop_assert!(sealed.open(TODAY, [pair(2, 1)].iter()).is_none());
            }
        }
    }
}
