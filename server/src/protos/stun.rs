//! STUN Binding messages (RFC 8489), plain and keyed.
//!
//! Plain requests ask a server for the reflexive address. Keyed ones are the peers' connectivity
//! checks (RFC 8445 section 7): USERNAME, then MESSAGE-INTEGRITY with a short-term credential, then
//! FINGERPRINT. An indication from the server is its restart beacon.

use std::net::SocketAddr;

use stun_types::{
    attribute::{Software, Username, XorMappedAddress},
    message::{
        BINDING, IntegrityAlgorithm, IntegrityKey, Message, MessageClass, MessageType,
        MessageWrite, MessageWriteExt, MessageWriteVec, ShortTermCredentials,
    },
};

/// What ties a response to its request; random, or who does not see the request could answer it.
pub type TransactionId = [u8; 12];

const HEADER_LEN: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Makes a plain request longer than any plain response (44 bytes), since a server answers a
/// stranger with no more bytes than it was sent.
const SOFTWARE: &str = "filefleet STUN client";
/// The longest USERNAME sent (RFC 8489 section 14.3 allows 508).
pub const MAX_USERNAME: usize = 128;

/// A STUN message of the Binding method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StunMessage {
    /// Asks where this came from.
    Request {
        /// To be repeated in the response.
        id: TransactionId,
        /// Whose key a connectivity check was made with.
        username: Option<String>,
        /// Whether the integrity attribute is there and right under the key given to [`decode`].
        authenticated: bool,
    },
    /// Says where a request came from.
    Response {
        /// The request's.
        id: TransactionId,
        /// The sender of the request as the answering side saw it.
        mapped: SocketAddr,
        /// As for a request.
        authenticated: bool,
    },
    /// Wants no answer.
    Indication,
}

/// Why a datagram is no [`StunMessage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StunError {
    /// Against RFC 8489, or with a wrong FINGERPRINT.
    #[error("malformed STUN message")]
    Malformed,
    /// Another method, an error response, or a response without address.
    #[error("unexpected STUN message")]
    Unexpected,
}

/// The short-term credential of keyed messages.
#[derive(Debug, Clone)]
pub struct StunKey(IntegrityKey);

impl StunKey {
    /// The key of a secret both sides hold; make it random and at least 16 bytes strong.
    pub fn new(password: &str) -> Self {
        Self(ShortTermCredentials::new(password.to_owned()).make_key())
    }
}

/// Whether a datagram is STUN, by its first two bits and the magic cookie.
pub fn is_stun(datagram: &[u8]) -> bool {
    // RFC 8489 section 5: the two most significant bits are zeros, then the cookie.
    datagram.len() >= HEADER_LEN && datagram[0] < 4 && datagram[4..8] == MAGIC_COOKIE
}

/// Reads one datagram. With a `key`, the message may come out as authenticated by it.
pub fn decode(datagram: &[u8], key: Option<&StunKey>) -> Result<StunMessage, StunError> {
    if !is_stun(datagram) {
        return Err(StunError::Malformed);
    }
    let length = usize::from(u16::from_be_bytes([datagram[2], datagram[3]]));
    if datagram.len() != HEADER_LEN + length {
        return Err(StunError::Malformed);
    }
    let message = Message::from_bytes(datagram).map_err(|_| StunError::Malformed)?;
    if !message.has_method(BINDING) {
        return Err(StunError::Unexpected);
    }
    let id = id_of(datagram);
    let authenticated = key.is_some_and(|key| message.validate_integrity_with_key(&key.0).is_ok());
    match message.class() {
        MessageClass::Request => {
            let username = message.attribute::<Username>().ok();
            let username = username.map(|username| username.username().to_owned());
            Ok(StunMessage::Request { id, username, authenticated })
        }
        MessageClass::Success => {
            let mapped = message
                .attribute::<XorMappedAddress>()
                .map_err(|_| StunError::Unexpected)?
                .addr(message.transaction_id());
            Ok(StunMessage::Response { id, mapped, authenticated })
        }
        MessageClass::Indication => Ok(StunMessage::Indication),
        MessageClass::Error => Err(StunError::Unexpected),
    }
}

/// A plain request, padded so that a server may answer it.
pub fn request(id: TransactionId) -> Vec<u8> {
    let software = Software::new(SOFTWARE).expect("is short enough");
    let mut message = builder(MessageClass::Request, id);
    message.add_attribute(&software).expect("an attribute is added once and before the last");
    message.finish()
}

/// A plain response: 32 bytes for an IPv4 address, 44 for IPv6.
pub fn response(id: TransactionId, mapped: SocketAddr) -> Vec<u8> {
    builder_with_address(id, mapped).finish()
}

/// An indication: the server's restart beacon.
pub fn indication(id: TransactionId) -> Vec<u8> {
    builder(MessageClass::Indication, id).finish()
}

/// A connectivity check. A username longer than [`MAX_USERNAME`] is cut.
pub fn keyed_request(id: TransactionId, username: &str, key: &StunKey) -> Vec<u8> {
    let username = &username[..username.floor_char_boundary(MAX_USERNAME)];
    let username = Username::new(username).expect("is short enough");
    let mut message = builder(MessageClass::Request, id);
    message.add_attribute(&username).expect("an attribute is added once and before the last");
    finish_keyed(message, key)
}

/// The answer to a connectivity check.
pub fn keyed_response(id: TransactionId, mapped: SocketAddr, key: &StunKey) -> Vec<u8> {
    finish_keyed(builder_with_address(id, mapped), key)
}

fn builder(class: MessageClass, id: TransactionId) -> MessageWriteVec {
    let mut number = [0; 16];
    number[4..].copy_from_slice(&id);
    let message_type = MessageType::from_class_method(class, BINDING);
    Message::builder(message_type, u128::from_be_bytes(number).into(), MessageWriteVec::new())
}

fn builder_with_address(id: TransactionId, mapped: SocketAddr) -> MessageWriteVec {
    let mut message = builder(MessageClass::Success, id);
    let address = XorMappedAddress::new(mapped, message.transaction_id());
    message.add_attribute(&address).expect("an attribute is added once and before the last");
    message
}

fn finish_keyed(mut message: MessageWriteVec, key: &StunKey) -> Vec<u8> {
    message
        .add_message_integrity_with_key(&key.0, IntegrityAlgorithm::Sha256)
        .and_then(|()| message.add_fingerprint())
        .expect("each is added once and in this order");
    message.finish()
}

fn id_of(datagram: &[u8]) -> TransactionId {
    datagram[8..HEADER_LEN].try_into().expect("a STUN header has 20 bytes")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::protos::hex;

    const ID: TransactionId = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn mapped() -> [SocketAddr; 2] {
        ["192.0.2.1:32853".parse().unwrap(), "[2001:db8::1]:32853".parse().unwrap()]
    }

    #[test]
    fn encoding_stays_as_it_is() {
        let id = "0102030405060708090a0b0c";
        let software = "8022001566696c65666c656574205354554e20636c69656e74000000";
        assert_eq!(hex::encode(&request(ID)), format!("0001001c2112a442{id}{software}"));
        assert_eq!(hex::encode(&indication(ID)), format!("001100002112a442{id}"));
        assert_eq!(
            hex::encode(&response(ID, mapped()[0])),
            format!("0101000c2112a442{id}002000080001a147e112a643")
        );
    }

    #[test]
    fn plain_messages_are_read_back() {
        assert_eq!(
            decode(&request(ID), None),
            Ok(StunMessage::Request { id: ID, username: None, authenticated: false })
        );
        assert_eq!(decode(&indication(ID), None), Ok(StunMessage::Indication));
        for mapped in mapped() {
            let response = response(ID, mapped);
            assert!(response.len() <= request(ID).len());
            assert_eq!(
                decode(&response, None),
                Ok(StunMessage::Response { id: ID, mapped, authenticated: false })
            );
        }
    }

    #[test]
    fn keyed_messages_are_authenticated_by_their_key_only() {
        let (key, other) = (StunKey::new("right"), StunKey::new("wrong"));
        for (given, expected) in [(Some(&key), true), (Some(&other), false), (None, false)] {
            assert_eq!(
                decode(&keyed_request(ID, "session", &key), given),
                Ok(StunMessage::Request {
                    id: ID,
                    username: Some("session".to_owned()),
                    authenticated: expected
                })
            );
            for mapped in mapped() {
                assert_eq!(
                    decode(&keyed_response(ID, mapped, &key), given),
                    Ok(StunMessage::Response { id: ID, mapped, authenticated: expected })
                );
            }
        }
        assert_eq!(
            decode(&request(ID), Some(&key)),
            Ok(StunMessage::Request { id: ID, username: None, authenticated: false })
        );
    }

    #[test]
    fn a_changed_keyed_message_is_not_authenticated() {
        let key = StunKey::new("key");
        let message = keyed_request(ID, "session", &key);
        // All but FINGERPRINT, which comes after what MESSAGE-INTEGRITY covers.
        for position in 0..(message.len() - 8) * 8 {
            let mut changed = message.clone();
            changed[position / 8] ^= 1 << (position % 8);
            if let Ok(StunMessage::Request { authenticated, .. }) = decode(&changed, Some(&key)) {
                assert!(!authenticated, "bit {position}");
            }
        }
    }

    proptest! {
        #[test]
        fn decoding_never_panics(
            kind in 0..=3_u8,
            low in any::<u8>(),
            rest in proptest::collection::vec(any::<u8>(), 0..120),
            key in any::<bool>(),
        ) {
            let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
            let datagram =
                [&[kind, low][..], &length, &MAGIC_COOKIE, &ID, &rest].concat();
            let key = key.then(|| StunKey::new("key"));
            let _ = decode(&datagram, key.as_ref());
            let _ = decode(&rest, key.as_ref());
        }

        #[test]
        fn damaged_messages_never_panic(position in 0..88_usize, byte in any::<u8>()) {
            let key = StunKey::new("key");
            let mut message = keyed_request(ID, "session", &key);
            let position = position % message.len();
            message[position] = byte;
            let _ = decode(&message, Some(&key));
        }
    }
}
