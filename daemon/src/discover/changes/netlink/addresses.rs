//! The addresses that can be used, as far as the kernel has told. It tells much that changes
//! nothing: routers renew IPv6 addresses every few minutes, and an address is announced before it is
//! known to be nobody else's.

use std::collections::HashSet;

/// linux/if_addr.h, struct ifaddrmsg: family u8, prefix length u8, flags u8, scope u8, index u32.
const HEADER_LEN: usize = 8;
const AF_INET6: u8 = 10;
/// linux/rtnetlink.h: valid on one link only.
const SCOPE_LINK: u8 = 253;
/// linux/if_addr.h: still to be checked for duplicates, or found to be one.
const UNUSABLE: u8 = 0x40 | 0x08;
/// linux/if_addr.h, IFA_ADDRESS and IFA_LOCAL: the latter is ours where the two differ.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
/// struct rtattr: length u16, type u16; then the content.
const ATTRIBUTE_LEN: usize = 4;
/// A machine with more addresses hears of each message about the others as of a change.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Addresses(HashSet<Address>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Address {
    interface: [u8; 4],
    prefix_len: u8,
    bytes: Vec<u8>,
}

impl Addresses {
    /// Takes in the content of a message about an address that is there, or is no more; whether
    /// that makes a difference.
    pub(super) fn learn(&mut self, body: &[u8], is_there: bool) -> bool {
        let Some(([family, prefix_len, flags, scope], interface, attributes)) = split(body) else {
            return false;
        };
        // Nobody is told of an IPv6 address that is valid on the link only.
        if (family, scope) == (AF_INET6, SCOPE_LINK) {
            return false;
        }
        let Some(bytes) = attribute(attributes, LOCAL).or(attribute(attributes, ADDRESS)) else {
            return false;
        };
        let address = Address { interface, prefix_len, bytes: bytes.to_vec() };
        match is_there && flags & UNUSABLE == 0 {
            true if self.0.len() < MOST => self.0.insert(address),
            true => !self.0.contains(&address),
            false => self.0.remove(&address),
        }
    }
}

fn split(body: &[u8]) -> Option<([u8; 4], [u8; 4], &[u8])> {
    let (header, attributes) = body.split_at_checked(HEADER_LEN)?;
    Some((header[..4].try_into().ok()?, header[4..].try_into().ok()?, attributes))
}

/// The content of the first attribute of this type.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let half =
            |at: usize| Some(u16::from_ne_bytes(attributes.get(at..at + 2)?.try_into().ok()?));
        let (length, kind) = (usize::from(half(0)?), half(2)?);
        let content = attributes.get(ATTRIBUTE_LEN..length)?;
        if kind == wanted {
            return Some(content);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}
