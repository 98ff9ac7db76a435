//! What one side tells the other about how to reach it; always the whole, so that a later offer
//! replaces an earlier one.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use filefleet_server::protos::hex;

use super::{
    birthday::Mapping,
    candidate::{Candidate, CandidateKind, MAX_CANDIDATES},
};

/// First byte of the encoding.
const OFFER: u8 = 1;
const HOST: u8 = 1;
const SERVER_REFLEXIVE: u8 = 2;
const PORT_MAPPED: u8 = 3;

const MAPPING_UNKNOWN: u8 = 0;
const MAPPING_INDEPENDENT: u8 = 1;
const MAPPING_DEPENDENT: u8 = 2;

/// Names one side's checks in USERNAME and transaction ids, so that one socket serves all peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub u32);

/// With what checks to this side are keyed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

/// Where and how one side may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// This side's name for the checks.
    pub tag: Tag,
    /// Requests to this side are keyed with it.
    pub secret: Secret,
    /// Grows with each restart; the other side restarts along, so that both probe at once.
    pub generation: u32,
    /// Where, best first.
    pub candidates: Vec<Candidate>,
    /// What is known of this side's NAT.
    pub mapping: Option<Mapping>,
}

impl Offer {
    /// `1 ‖ tag u32 ‖ secret 16 ‖ generation u32 ‖ count u8 ‖ count × (kind u8 ‖ address 16 ‖
    /// port u16) ‖ mapping u8`; IPv4 is mapped into IPv6. The mapping may be missing, and more may
    /// follow in later versions.
    pub fn encode(&self) -> Bytes {
        let candidates = &self.candidates[..self.candidates.len().min(MAX_CANDIDATES)];
        let mut bytes = BytesMut::with_capacity(27 + candidates.len() * 19);
        bytes.put_u8(OFFER);
        bytes.put_u32(self.tag.0);
        bytes.put_slice(&self.secret.0);
        bytes.put_u32(self.generation);
        bytes.put_u8(u8::try_from(candidates.len()).unwrap_or(u8::MAX));
        for candidate in candidates {
            bytes.put_u8(match candidate.kind {
                CandidateKind::Host => HOST,
                CandidateKind::ServerReflexive => SERVER_REFLEXIVE,
                CandidateKind::PortMapped => PORT_MAPPED,
            });
            let ip = match candidate.address.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            bytes.put_slice(&ip.octets());
            bytes.put_u16(candidate.address.port());
        }
        bytes.put_u8(match self.mapping {
            None => MAPPING_UNKNOWN,
            Some(Mapping::Independent) => MAPPING_INDEPENDENT,
            Some(Mapping::Dependent) => MAPPING_DEPENDENT,
        });
        bytes.freeze()
    }

    /// Reads an offer; `None` if it is none, or cut short. Candidates of unknown kinds are left
    /// out, and so are those above the limit.
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.try_get_u8().ok()? != OFFER {
            return None;
        }
        let tag = Tag(bytes.try_get_u32().ok()?);
        let mut secret = [0; 16];
        bytes.try_copy_to_slice(&mut secret).ok()?;
        let generation = bytes.try_get_u32().ok()?;
        let count = usize::from(bytes.try_get_u8().ok()?);
        let mut candidates = Vec::with_capacity(count.min(MAX_CANDIDATES));
        for _ in 0..count {
            let kind = bytes.try_get_u8().ok()?;
            let ip = Ipv6Addr::from(bytes.try_get_u128().ok()?).to_canonical();
            let address = SocketAddr::new(ip, bytes.try_get_u16().ok()?);
            let kind = match kind {
                HOST => CandidateKind::Host,
                SERVER_REFLEXIVE => CandidateKind::ServerReflexive,
                PORT_MAPPED => CandidateKind::PortMapped,
                _ => continue,
            };
            if candidates.len() < MAX_CANDIDATES {
                candidates.push(Candidate { kind, address });
            }
        }
        let mapping = match bytes.try_get_u8() {
            Ok(MAPPING_INDEPENDENT) => Some(Mapping::Independent),
            Ok(MAPPING_DEPENDENT) => Some(Mapping::Dependent),
            Ok(_) | Err(_) => None,
        };
        Some(Self { tag, secret: Secret(secret), generation, candidates, mapping })
    }
}

impl Secret {
    /// As the password of STUN's short-term credentials.
    pub fn password(&self) -> String {
        hex::encode(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn offer(candidates: Vec<Candidate>) -> Offer {
        let mapping = Some(Mapping::Dependent);
        Offer { tag: Tag(0x0102_0304), secret: Secret([5; 16]), generation: 6, candidates, mapping }
    }

    fn candidate(kind: CandidateKind, address: &str) -> Candidate {
        Candidate { kind, address: address.parse().unwrap() }
    }

    #[test]
    fn an_offer_keeps_its_bytes() {
        let offer = offer(vec![
            candidate(CandidateKind::Host, "10.0.0.1:258"),
            candidate(CandidateKind::ServerReflexive, "[2001:db8::1]:1"),
            candidate(CandidateKind::PortMapped, "192.0.2.1:2"),
        ]);
        let bytes = offer.encode();
        let expected = format!(
            "01 01020304 {} 00000006 03 01 00000000000000000000ffff0a000001 0102 \
             02 20010db8000000000000000000000001 0001 \
             03 00000000000000000000ffffc0000201 0002 02",
            "05".repeat(16)
        );
        assert_eq!(hex::encode(&bytes), expected.replace(' ', ""));
        assert_eq!(Offer::decode(bytes), Some(offer));
    }

    #[test]
    fn an_offer_without_what_came_later_is_understood() {
        let host = candidate(CandidateKind::Host, "10.0.0.1:1");
        let mut bytes = offer(vec![host]).encode();
        bytes.truncate(bytes.len() - 1);
        let decoded = Offer::decode(bytes).unwrap();
        assert_eq!((decoded.candidates, decoded.mapping), (vec![host], None));
    }

    #[test]
    fn what_is_unknown_or_too_much_is_left_out() {
        let many = vec![candidate(CandidateKind::Host, "10.0.0.1:1"); 300];
        let decoded = Offer::decode(offer(many).encode()).unwrap();
        assert_eq!(decoded.candidates.len(), MAX_CANDIDATES);
        let mut bytes = offer(decoded.candidates[..2].to_vec()).encode().to_vec();
        bytes[26] = 77;
        bytes.extend([1, 2, 3]);
        assert_eq!(Offer::decode(bytes.into()).unwrap().candidates.len(), 1);
        assert_eq!(Offer::decode(Bytes::from_static(&[2, 0, 0])), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>) {
            let _ = Offer::decode(bytes.clone().into());
            if let Some(first) = bytes.first_mut() {
                *first = OFFER;
            }
            let _ = Offer::decode(bytes.into());
        }
    }
}
