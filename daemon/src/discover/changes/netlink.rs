//! What the kernel says about links, addresses and routes (rtnetlink(7)), as far as it matters.

mod addresses;

use std::{collections::HashMap, io};

use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, send,
    socket_with,
};
use tokio::net::UnixDatagram;

use self::addresses::Addresses;

/// linux/rtnetlink.h, RTMGRP_*: links, and addresses and routes of both families.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// linux/rtnetlink.h, RTM_*: something new, or gone.
const LINKS: [u16; 2] = [16, 17];
const ADDRESSES: [u16; 2] = [20, 21];
const ROUTES: [u16; 2] = [24, 25];
/// linux/rtnetlink.h, RTM_GETADDR: asks for all addresses.
const GET_ADDRESSES: u16 = 22;
/// linux/netlink.h, NLM_F_REQUEST and NLM_F_DUMP of a request for a list, NLM_F_MULTI of its items.
const REQUEST_LIST: u16 = 0x1 | 0x300;
const LIST_ITEM: u16 = 0x2;
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
    known: Known,
}

/// What was heard of.
#[derive(Debug, Default)]
struct Known {
    /// The state of links.
    links: HashMap<u32, u32>,
    addresses: Addresses,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // The protocol of that number, 0, is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        let socket = UnixDatagram::from_std(socket.into())?;
        let mut netlink = Self { socket, known: Known::default() };
        netlink.ask_for_addresses();
        Ok(netlink)
    }

    /// Begins anew with what is known of addresses. Where it cannot be asked for, each address counts
    /// as new when it is heard of first.
    fn ask_for_addresses(&mut self) {
        self.known.addresses = Addresses::default();
        let request = message(GET_ADDRESSES, REQUEST_LIST, &[0; 8]);
        if let Err(error) = send(&self.socket, &request, SendFlags::empty()) {
            tracing::debug!(%error, "the kernel lists no addresses");
        }
    }

    /// Waits for a change that matters. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        let mut buffer = vec![0; BUFFER_LEN];
        loop {
            match self.socket.recv(&mut buffer).await {
                Ok(length) if self.known.learn(&buffer[..length]) => return,
                Ok(_) => {}
                // So much has happened that some of it was lost.
                Err(_) => {
                    self.ask_for_addresses();
                    return;
                }
            }
        }
    }
}

impl Known {
    /// Whether any of these messages says that something is otherwise than before.
    fn learn(&mut self, mut messages: &[u8]) -> bool {
        let mut changed = false;
        while let Some((message, rest)) = Message::first(messages) {
            messages = rest;
            changed |= self.learn_one(&message);
        }
        changed
    }

    fn learn_one(&mut self, message: &Message<'_>) -> bool {
        let Message { kind, flags, body } = *message;
        match kind {
            kind if LINKS.contains(&kind) => self.link_changed(kind, body),
            kind if ROUTES.contains(&kind) => is_default_route(body),
            kind if ADDRESSES.contains(&kind) => {
                let changed = self.addresses.learn(body, kind == ADDRESSES[0]);
                changed && flags & LIST_ITEM == 0
            }
            _ => false,
        }
    }

    /// struct ifinfomsg: family u8, pad u8, type u16, index i32, flags u32. Wireless links say much
    /// that is nothing new.
    fn link_changed(&mut self, kind: u16, body: &[u8]) -> bool {
        let (Some(index), Some(flags)) = (number(body, 4), number(body, 8)) else { return false };
        match kind == LINKS[0] {
            true => self.links.insert(index, flags & IFF) != Some(flags & IFF),
            false => self.links.remove(&index).is_some(),
        }
    }
}

/// struct nlmsghdr: length u32, type u16, flags u16, sequence u32, port u32; then the content.
#[derive(Debug)]
struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The first message, and those after it.
    fn first(messages: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = usize::try_from(number(messages, 0)?).ok()?;
        let half = |at: usize| Some(u16::from_ne_bytes(messages.get(at..at + 2)?.try_into().ok()?));
        let body = messages.get(HEADER_LEN..length)?;
        let rest = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((Self { kind: half(4)?, flags: half(6)?, body }, rest))
    }
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_LEN + body.len()).expect("requests are short");
    let mut message = length.to_ne_bytes().to_vec();
    message.extend([kind, flags].map(u16::to_ne_bytes).concat());
    message.resize(HEADER_LEN, 0);
    message.extend(body);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

/// struct rtmsg: family, length of the destination's prefix, …, at 4 the table.
fn is_default_route(body: &[u8]) -> bool {
    body.get(1) == Some(&0) && body.get(4) == Some(&TABLE_MAIN)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
