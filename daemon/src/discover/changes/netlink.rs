//! What the kernel says about links, addresses and routes (rtnetlink(7)), as far as it matters.

use std::{collections::HashMap, io};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, socket_with,
};
use tokio::net::UnixDatagram;

/// linux/rtnetlink.h, RTMGRP_*: links, and addresses and routes of both families.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// linux/rtnetlink.h, RTM_*: something new, or gone.
const LINKS: [u16; 2] = [16, 17];
const ADDRESSES: [u16; 2] = [20, 21];
const ROUTES: [u16; 2] = [24, 25];
/// linux/netlink.h, struct nlmsghdr.
const HEADER_LEN: usize = 16;
/// linux/if.h: up, running, and the layer below is up.
const IFF: u32 = 0x1 | 0x40 | 0x1_0000;
/// linux/rtnetlink.h: the table of ordinary routes.
const TABLE_MAIN: u8 = 254;
/// Far more than one message; many come in one datagram.
const BUFFER_LEN: usize = 32 * 1024;

/// A socket that hears of changes.
#[derive(Debug)]
pub(super) struct Netlink {
    /// In the type that waits for and receives datagrams of whatever family it is given.
    socket: UnixDatagram,
    links: Links,
}

/// The state of the links that were heard of.
type Links = HashMap<u32, u32>;

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // The protocol of that number, 0, is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        let socket = UnixDatagram::from_std(socket.into())?;
        Ok(Self { socket, links: Links::new() })
    }

    /// Waits for a change that matters. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        let mut buffer = vec![0; BUFFER_LEN];
        loop {
            match self.socket.recv(&mut buffer).await {
                Ok(length) if matters(&buffer[..length], &mut self.links) => return,
                Ok(_) => {}
                // So much has happened that some of it was lost.
                Err(_) => return,
            }
        }
    }
}

/// Whether any of these messages says more than is known.
fn matters(mut messages: &[u8], links: &mut Links) -> bool {
    let mut matters = false;
    while let Some((kind, body, rest)) = first(messages) {
        messages = rest;
        matters |= if LINKS.contains(&kind) {
            link_changed(body, kind, links)
        } else if ROUTES.contains(&kind) {
            is_default_route(body)
        } else {
            ADDRESSES.contains(&kind)
        };
    }
    matters
}

/// Type and content of the first message, and those after it.
fn first(messages: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(number(messages, 0)?).ok()?;
    let kind = u16::from_ne_bytes(messages.get(4..6)?.try_into().ok()?);
    let body = messages.get(HEADER_LEN..length)?;
    let rest = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, rest))
}

/// struct ifinfomsg: family u8, pad u8, type u16, index i32, flags u32. Wireless links say much that
/// is nothing new.
fn link_changed(body: &[u8], kind: u16, links: &mut Links) -> bool {
    let (Some(index), Some(flags)) = (number(body, 4), number(body, 8)) else { return false };
    match kind == LINKS[0] {
        true => links.insert(index, flags & IFF) != Some(flags & IFF),
        false => links.remove(&index).is_some(),
    }
}

/// struct rtmsg: family, length of the destination's prefix, …, at 4 the table.
fn is_default_route(body: &[u8]) -> bool {
    body.get(1) == Some(&0) && body.get(4) == Some(&TABLE_MAIN)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_LEN + body.len()).unwrap_or_default();
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.resize(HEADER_LEN, 0);
        message.extend(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn link(index: u32, flags: u32) -> Vec<u8> {
        message(LINKS[0], &[&[0; 4], &index.to_ne_bytes()[..], &flags.to_ne_bytes()].concat())
    }

    #[test]
    fn a_link_matters_when_its_state_is_another() {
        let mut links = Links::new();
        assert!(matters(&link(2, 0x1), &mut links));
        assert!(!matters(&link(2, 0x1 | 0x1000), &mut links));
        assert!(matters(&link(2, 0x1_0041), &mut links));
        let gone = message(LINKS[1], &[&[0; 4], &2_u32.to_ne_bytes()[..], &[0; 4]].concat());
        assert!(matters(&gone, &mut links));
        assert!(!matters(&gone, &mut links));
    }

    #[test]
    fn addresses_and_default_routes_matter_wherever_they_stand() {
        let (address, default) = (message(20, &[0; 8]), message(24, &[2, 0, 0, 0, 254, 0]));
        let (network, local) = (message(24, &[2, 24, 0, 0, 254]), message(24, &[2, 0, 0, 0, 255]));
        let mut links = Links::new();
        assert!(matters(&address, &mut links) && matters(&default, &mut links));
        assert!(!matters(&[network.clone(), local.clone()].concat(), &mut links));
        assert!(matters(&[network, local, default].concat(), &mut links));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            matters(&bytes, &mut Links::new());
        }
    }

    /// An interface that goes up in a network namespace of this thread's own would do, but needs
    /// root; that the socket opens is what differs from machine to machine.
    #[tokio::test]
    async fn the_kernel_lets_anybody_listen() {
        assert!(Netlink::open().is_ok());
    }
}
