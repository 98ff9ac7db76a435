//! With what the checks between two sides are keyed, and how they are told from those of others.

use filefleet_server::{
    protos::stun::{StunKey, StunMessage, TransactionId, decode, keyed_request, keyed_response},
    udp::OtherDatagram,
};

use super::fill_random;
use crate::connect::offer::{Secret, Tag};

/// One side's name in checks, and the key of requests to it.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub(super) tag: Tag,
    pub(super) key: StunKey,
}

/// What checks between this side and its peer need.
#[derive(Debug, Clone)]
pub struct Keys {
    pub(super) ours: Credentials,
    pub(super) theirs: Credentials,
}

impl Credentials {
    pub(super) fn new(tag: Tag, secret: &Secret) -> Self {
        Self { tag, key: StunKey::new(&secret.password()) }
    }

    /// Answers a check of this side; `None` if it is none, or not keyed for it.
    pub(super) fn answer(&self, request: &OtherDatagram) -> Option<Vec<u8>> {
        match decode(&request.payload, Some(&self.key)) {
            Ok(StunMessage::Request { id, authenticated: true, .. }) => {
                Some(keyed_response(id, request.source, &self.key))
            }
            _ => None,
        }
    }

    /// The id of the check that this answers, if it comes from this side.
    pub(super) fn answered(&self, response: &OtherDatagram) -> Option<TransactionId> {
        match decode(&response.payload, Some(&self.key)) {
            Ok(StunMessage::Response { id, authenticated: true, .. }) => Some(id),
            _ => None,
        }
    }
}

impl Keys {
    /// A check of the peer under a new id.
    pub fn request(&self) -> Vec<u8> {
        self.request_as(self.transaction())
    }

    /// A check of the peer.
    pub fn request_as(&self, id: TransactionId) -> Vec<u8> {
        keyed_request(id, &username(self.theirs.tag, self.ours.tag), &self.theirs.key)
    }

    /// A new id for a check.
    pub fn transaction(&self) -> TransactionId {
        transaction(self.ours.tag)
    }

    /// The answer to a check of the peer's; `None` if it is not one.
    pub fn answer(&self, request: &OtherDatagram) -> Option<Vec<u8>> {
        self.ours.answer(request)
    }

    /// The id of our check that the peer answers; `None` if it is not the peer's answer.
    pub fn answered(&self, response: &OtherDatagram) -> Option<TransactionId> {
        self.theirs.answered(response)
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
    use super::*;

    #[test]
    fn usernames_are_read_back() {
        assert_eq!(read_username(&username(Tag(7), Tag(9))), Some((Tag(7), Tag(9))));
        for odd in ["", ":", "1", "1:", "x:1", "123456789:1"] {
            assert_eq!(read_username(odd), None, "{odd}");
        }
    }
}
