//! Answering STUN Binding requests, on either port.

use std::net::SocketAddr;

use crate::protos::stun::{self, StunMessage};

/// The response to a request from `source`; `None` if it is no request, or shorter than its
/// response: anybody can send in anybody's name, and gets nobody more than was sent.
pub(super) fn answer(datagram: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    match stun::decode(datagram, None) {
        Ok(StunMessage::Request { id, .. }) => {
            let response = stun::response(id, source);
            (response.len() <= datagram.len()).then_some(response)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn requests_are_answered_if_the_answer_is_no_longer() {
        for source in ["192.0.2.1:5", "[2001:db8::1]:5"] {
            let source: SocketAddr = source.parse().unwrap();
            let request = stun::request([1; 12]);
            let answer = answer(&request, source).unwrap();
            assert!(answer.len() <= request.len());
            assert_eq!(
                stun::decode(&answer, None).unwrap(),
                StunMessage::Response { id: [1; 12], mapped: source, authenticated: false }
            );
        }
    }

    #[test]
    fn nothing_else_is_answered() {
        let source = "192.0.2.1:5".parse().unwrap();
        let mut bare = stun::request([1; 12]);
        bare.truncate(20);
        bare[3] = 0;
        assert!(stun::decode(&bare, None).is_ok());
        for datagram in [bare, stun::indication([1; 12]), stun::response([1; 12], source)] {
            assert_eq!(answer(&datagram, source), None);
        }
    }
}
