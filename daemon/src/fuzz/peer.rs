//! What a peer says: frames of a link, messages of a transfer, headers of streams, offers.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use filefleet_server::protos::certificate::DeviceCertificate;

use super::engine::fuzz;
use crate::connect::birthday::Mapping;
use crate::connect::candidate::{Candidate, CandidateKind, MAX_CANDIDATES};
use crate::connect::offer::{Offer, Secret, Tag};
use crate::peer::frame::{self, Frame, HEADER_LEN, Hello, Kind};
use crate::transfer::TransferId;
use crate::transfer::hash::BLOCK;
use crate::transfer::proto::tests::{encode_pack, entries, losses, messages, pack};
use crate::transfer::proto::{
    BLOCK_HEADER_LEN, BlockHeader, Envelope, PREFIX_LEN, PackEntry, PackHeader, Prefix, Reader,
    StreamKind, put_entry, put_losses, read_entry, read_losses,
};

const ID: TransferId = TransferId([0xab; 16]);

pub(super) fn certificate() -> DeviceCertificate {
    let identity = SigningKey::from_bytes(&[1; 32]);
    let device = SigningKey::from_bytes(&[2; 32]).verifying_key().into();
    DeviceCertificate::issue(&identity, device, "laptop", 3, 4)
}

/// A link's control stream, as it is read: a header, then what it announces.
#[test]
fn frames_of_a_link() {
    let message = |kind| frame::Message { seq: 7, kind, body: Bytes::from_static(b"body") };
    let hello = Hello { incarnation: 5, certificate: certificate() };
    let seeds = [
        Frame::Hello(hello),
        Frame::Message(message(Kind::ENGINE)),
        Frame::Message(message(Kind::SIGNAL)),
        Frame::Ack(9),
    ];
    let seeds = seeds.iter().map(|frame| frame.encode().concat()).collect();
    fuzz("frames of a link", seeds, |bytes| {
        let Some((head, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else { return false };
        let Ok((frame_type, length)) = frame::decode_header(*head) else { return false };
        let Some(payload) = rest.get(..length) else { return false };
        let read = Frame::decode(frame_type, Bytes::copy_from_slice(payload));
        let Ok(Some(frame)) = read else { return false };
        let again = frame.encode().concat();
        let payload = Bytes::copy_from_slice(&again[HEADER_LEN..]);
        assert_eq!(Frame::decode(again[0], payload).unwrap(), Some(frame));
        true
    });
}

#[test]
fn messages_of_a_transfer() {
    let seeds = messages();
    let seeds =
        seeds.into_iter().map(|(_, message)| Envelope { transfer: ID, message }.encode()).collect();
    fuzz("messages of a transfer", seeds, |bytes| {
        let Ok(Some(envelope)) = Envelope::decode(bytes) else { return false };
        // Unknown reasons and damaged texts come out as the nearest right ones, and stay so.
        let settled = Envelope::decode(&envelope.encode()).unwrap().unwrap();
        assert_eq!(Envelope::decode(&settled.encode()).unwrap(), Some(settled));
        true
    });
}

#[test]
fn entries_of_a_manifest() {
    let entries = entries();
    let seeds = entries.iter().map(|entry| {
        let mut bytes = Vec::new();
        put_entry(&mut bytes, entry);
        bytes
    });
    fuzz("entries of a manifest", seeds.collect(), |bytes| {
        let mut reader = Reader::new(bytes);
        let Ok(entry) = read_entry(&mut reader) else { return false };
        let mut again = Vec::new();
        put_entry(&mut again, &entry);
        assert_eq!(bytes[..again.len()], again);
        true
    });
}

/// As a message brings them, and as the store keeps them.
#[test]
fn losses_of_a_transfer() {
    let mut seed = Vec::new();
    put_losses(&mut seed, &losses());
    fuzz("losses of a transfer", vec![seed], |bytes| {
        let Ok(losses) = read_losses(&mut Reader::new(bytes)) else { return false };
        let mut again = Vec::new();
        put_losses(&mut again, &losses);
        assert_eq!(read_losses(&mut Reader::new(&again)), Ok(losses));
        true
    });
}

#[test]
fn headers_of_packs() {
    let seeds = [&[][..], &[0], &[7, 0, 9], &[BLOCK]];
    let mut seeds: Vec<_> = seeds.iter().map(|sizes| encode_pack(&pack(sizes))).collect();
    let packed = |(index, entry)| PackEntry { index, entry, hash: [1; 32] };
    let attributed = entries().into_iter().filter(|entry| !entry.has_holes).take(3);
    let entries = (0..).zip(attributed).map(packed).collect();
    seeds.push(encode_pack(&PackHeader { number: 3, entries }));
    fuzz("headers of packs", seeds, |bytes| {
        let Ok(header) = PackHeader::decode(bytes) else { return false };
        assert!(header.content_len().unwrap() <= BLOCK);
        assert_eq!(encode_pack(&header), bytes);
        true
    });
}

#[test]
fn beginnings_of_streams() {
    let prefix =
        |kind, header_len| Prefix { kind, transfer: ID, instance: 2, header_len }.encode().to_vec();
    let seeds = vec![
        prefix(StreamKind::Block, BLOCK_HEADER_LEN),
        prefix(StreamKind::Pack, 1_000),
        prefix(StreamKind::Zeros, BLOCK_HEADER_LEN),
    ];
    fuzz("beginnings of streams", seeds, |bytes| {
        let Some(bytes) = bytes.first_chunk::<PREFIX_LEN>() else { return false };
        let Ok(prefix) = Prefix::decode(bytes) else { return false };
        assert_eq!(prefix.encode(), *bytes);
        true
    });
    let header = BlockHeader { file: 1, revision: 2, block: 3, len: 1 << 20, cv: [4; 32] };
    fuzz("headers of blocks", vec![header.encode()], |bytes| {
        let Ok(header) = BlockHeader::decode(bytes) else { return false };
        assert!((1..=BLOCK).contains(&u64::from(header.len)));
        assert!(header.offset().checked_add(BLOCK).is_some());
        assert_eq!(header.encode(), bytes);
        true
    });
}

#[test]
fn offers_of_candidates() {
    let host =
        |address: &str| Candidate { kind: CandidateKind::Host, address: address.parse().unwrap() };
    let mapping = Some(Mapping::Dependent);
    let offer = |candidates| Offer {
        tag: Tag(1),
        secret: Secret([2; 16]),
        generation: 3,
        candidates,
        mapping,
    };
    let many = vec![host("[2001:db8::1]:7"); MAX_CANDIDATES];
    let seeds = [offer(vec![]), offer(vec![host("10.0.0.1:9")]), offer(many)];
    fuzz(
        "offers of candidates",
        seeds.iter().map(|offer| offer.encode().to_vec()).collect(),
        |bytes| {
            let Some(offer) = Offer::decode(Bytes::copy_from_slice(bytes)) else { return false };
            assert!(offer.candidates.len() <= MAX_CANDIDATES);
            assert_eq!(Offer::decode(offer.encode()), Some(offer));
            true
        },
    );
}
