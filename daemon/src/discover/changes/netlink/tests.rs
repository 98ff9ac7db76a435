#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn link(index: u32, flags: u32) -> Vec<u8> {
    let body = [&[0; 4], &index.to_ne_bytes()[..], &flags.to_ne_bytes()].concat();
    message(LINKS[0], 0, &body)
}

/// A message about an IPv6 address of the second interface.
fn address(kind: u16, flags: u8, scope: u8, last: u8) -> Vec<u8> {
    message(kind, 0, &address_body(flags, scope, last))
}

fn address_body(flags: u8, scope: u8, last: u8) -> Vec<u8> {
    // struct rtattr: first one that is of no interest (IFA_CACHEINFO), then IFA_ADDRESS.
    let attributes = [&[20, 0, 6, 0][..], &[9; 16], &[20, 0, 1, 0], &[0x20; 15], &[last]].concat();
    let header = [&[10, 64, flags, scope][..], &2_u32.to_ne_bytes()].concat();
    [header, attributes].concat()
}

#[test]
fn a_link_matters_when_its_state_is_another() {
    let mut known = Known::default();
    assert!(known.learn(&link(2, 0x1)));
    assert!(!known.learn(&link(2, 0x1 | 0x1000)));
    assert!(known.learn(&link(2, 0x1_0041)));
    let gone = message(LINKS[1], 0, &[&[0; 4], &2_u32.to_ne_bytes()[..], &[0; 4]].concat());
    assert!(known.learn(&gone));
    assert!(!known.learn(&gone));
}

#[test]
fn default_routes_matter_wherever_they_stand() {
    let default = message(24, 0, &[2, 0, 0, 0, 254, 0]);
    let (network, local) =
        (message(24, 0, &[2, 24, 0, 0, 254]), message(24, 0, &[2, 0, 0, 0, 255]));
    let mut known = Known::default();
    assert!(known.learn(&default));
    assert!(!known.learn(&[network.clone(), local.clone()].concat()));
    assert!(known.learn(&[network, local, default].concat()));
}

#[test]
fn an_address_matters_once_it_can_be_used_and_when_it_is_gone() {
    const TENTATIVE: u8 = 0x40;
    let mut known = Known::default();
    assert!(!known.learn(&address(20, TENTATIVE, 0, 1)));
    assert!(known.learn(&address(20, 0, 0, 1)));
    assert!(!known.learn(&address(20, 0, 0, 1)), "it was renewed");
    assert!(known.learn(&address(20, 0, 0, 2)));
    assert!(known.learn(&address(21, 0, 0, 1)));
    assert!(!known.learn(&address(21, 0, 0, 1)));
}

#[test]
fn an_address_of_the_link_only_does_not_matter() {
    let mut known = Known::default();
    assert!(!known.learn(&address(20, 0, 253, 1)));
    assert!(!known.learn(&address(21, 0, 253, 1)));
}

#[test]
fn what_was_there_at_the_start_does_not_matter_before_it_is_gone() {
    let mut known = Known::default();
    assert!(!known.learn(&message(20, LIST_ITEM, &address_body(0, 0, 1))));
    assert!(!known.learn(&address(20, 0, 0, 1)));
    assert!(known.learn(&address(21, 0, 0, 1)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        Known::default().learn(&bytes);
        Addresses::default().learn(&bytes, true);
    }
}

/// The loopback's own address is there on every machine, and is listed for anybody who asks.
#[tokio::test]
async fn the_kernel_lets_anybody_listen_and_lists_addresses() {
    let mut netlink = Netlink::open().unwrap();
    let mut buffer = vec![0; BUFFER_LEN];
    let length = netlink.socket.recv(&mut buffer).await.unwrap();
    assert!(!netlink.known.learn(&buffer[..length]), "a list is no change");
    let (first, _) = Message::first(&buffer[..length]).unwrap();
    assert!(!netlink.known.addresses.learn(first.body, true), "it is known now");
}
