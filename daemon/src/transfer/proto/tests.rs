//! Bytes on the wire: a snapshot and a round trip per message, and decoders against anything.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::transfer::entry::{Entry, EntryKind, RelPath, Timestamp};

const ID: TransferId = TransferId([0xab; 16]);

fn path(text: &str) -> RelPath {
    RelPath::new(text.split('/')).unwrap()
}

fn entry(kind: EntryKind) -> Entry {
    let mtime = Timestamp::new(-1, 5).unwrap();
    Entry { path: path("a/b"), kind, mode: 0o640, mtime, is_shared: false }
}

fn previews() -> Vec<Preview> {
    vec![
        Preview { path: path("a"), kind: PreviewKind::Directory, size: 0 },
        Preview { path: path("a/b"), kind: PreviewKind::File, size: 7 },
        Preview { path: path("c"), kind: PreviewKind::Symlink, size: 0 },
    ]
}

fn verdicts() -> Vec<Verdict> {
    vec![Verdict::Send, Verdict::Delivered, Verdict::There, Verdict::Compare]
}

fn offer(hashes: Vec<[u8; 32]>) -> Message {
    Message::Offer { number: 1, entries: vec![entry(EntryKind::Directory)], hashes }
}

/// Every message there is, with its type byte.
pub(crate) fn messages() -> Vec<(u8, Message)> {
    let totals = Totals { files: 1, bytes: 2, exact: true };
    let text = || "no".to_owned();
    let acks = vec![
        Ack::Pack { number: 1 },
        Ack::Block { file: 2, revision: 3, block: 4, cv: [5; 32] },
        Ack::File { file: 6, revision: 7 },
    ];
    let shared = Entry { is_shared: true, ..entry(EntryKind::File { size: 3 }) };
    let second = entry(EntryKind::HardLink { target: path("c/d") });
    let link = EntryKind::Symlink { target: b"../x".to_vec() };
    vec![
        (16, Message::Request { totals, preview: previews(), update: false, text: String::new() }),
        (16, Message::Request { totals, preview: Vec::new(), update: true, text: "hi".to_owned() }),
        (17, Message::Totals(totals)),
        (18, Message::Answer(Answer::Accept { instance: 9, compares: true })),
        (18, Message::Answer(Answer::Waiting)),
        (18, Message::Answer(Answer::Decline { reason: Reason::Declined, text: text() })),
        (19, Message::Start { file: 1, revision: 2, entry: entry(EntryKind::File { size: 3 }) }),
        (19, Message::Start { file: 1, revision: 0, entry: entry(EntryKind::Directory) }),
        (19, Message::Start { file: 1, revision: 0, entry: entry(link) }),
        (19, Message::Start { file: 1, revision: 0, entry: shared }),
        (19, Message::Start { file: 1, revision: 0, entry: second }),
        (20, Message::End { file: 1, revision: 2, root: [3; 32] }),
        (21, Message::Acked(acks)),
        (22, Message::Delivered { files: 1, bytes: 2 }),
        (23, Message::FileFailed { file: 1, reason: Reason::SourceChanged, text: text() }),
        (24, Message::Finish { entries: 1 }),
        (25, Message::Complete { files: 1, bytes: 2 }),
        (26, Message::Cancel { reason: Reason::Cancelled, text: text() }),
        (27, Message::PageQuery { offset: 1, limit: 2 }),
        (28, Message::Page { offset: 1, last: true, entries: previews() }),
        (29, Message::Begin { instance: 9, run: 10 }),
        (30, offer(Vec::new())),
        (30, offer(vec![[7; 32]])),
        (31, Message::Verdicts { number: 1, verdicts: verdicts() }),
        (32, Message::BlocksQuery { file: 1, revision: 2, first: 3, count: 4 }),
        (33, Message::Blocks { file: 1, first: 2, cvs: vec![[3; 32], NO_BLOCK] }),
        (34, Message::Placed { replaced: 1, beside: 2 }),
        (35, Message::Stalled { reason: Reason::NoSpace, text: text() }),
    ]
}

#[test]
fn every_message_has_its_number_and_comes_back_equal() {
    for (number, message) in messages() {
        let envelope = Envelope { transfer: ID, message };
        let bytes = envelope.encode();
        assert_eq!(bytes[0], number, "{envelope:?}");
        assert_eq!(bytes[1..17], ID.0);
        assert_eq!(Envelope::decode(&bytes).unwrap().as_ref(), Some(&envelope));
    }
}

#[test]
fn messages_lie_in_bytes_as_documented() {
    let bytes = |message| {
        let encoded = Envelope { transfer: ID, message }.encode();
        encoded[17..].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let totals = Totals { files: 1, bytes: 2, exact: true };
    assert_eq!(bytes(Message::Totals(totals)), "0000000000000001000000000000000201");
    let preview = vec![Preview { path: path("c"), kind: PreviewKind::Symlink, size: 0 }];
    let request = Message::Request { totals, preview, update: true, text: "hé".to_owned() };
    let expected = "0000000000000001000000000000000201\
                    0001\
                    020000000000000000000163\
                    01\
                    0003\
                    68c3a9";
    assert_eq!(bytes(request), expected);
    let accept = Answer::Accept { instance: 9, compares: true };
    assert_eq!(bytes(Message::Answer(accept)), "00000000000000000901");
    assert_eq!(bytes(Message::Answer(Answer::Waiting)), "01");
    let decline = Answer::Decline { reason: Reason::Declined, text: "no".to_owned() };
    assert_eq!(bytes(Message::Answer(decline)), "020100026e6f");
    let acks = vec![Ack::Pack { number: 1 }, Ack::File { file: 6, revision: 7 }];
    assert_eq!(
        bytes(Message::Acked(acks)),
        "0002000000000000000001020000000000000006".to_owned() + "07"
    );
    assert_eq!(bytes(Message::PageQuery { offset: 1, limit: 2 }), "00000000000000010002");
    assert_eq!(
        bytes(Message::Placed { replaced: 1, beside: 2 }),
        "00000000000000010000000000000002"
    );
    assert!(bytes(offer(vec![[7; 32]])).ends_with(&format!("0001{}", "07".repeat(32))));
    let verdicts = Message::Verdicts { number: 5, verdicts: verdicts() };
    assert_eq!(bytes(verdicts), "0000000000000005000400010203");
    let query = Message::BlocksQuery { file: 1, revision: 2, first: 3, count: 4 };
    assert_eq!(bytes(query), "000000000000000102000000030004");
    let begin = Message::Begin { instance: 1, run: 2 };
    assert_eq!(bytes(begin), "00000000000000010000000000000002");
    let failed = Message::FileFailed { file: 1, reason: Reason::Io, text: String::new() };
    assert_eq!(bytes(failed), "00000000000000010f0000");
    let stalled = Message::Stalled { reason: Reason::NoSpace, text: "no".to_owned() };
    assert_eq!(bytes(stalled), "0400026e6f");
    let start = Message::Start { file: 1, revision: 2, entry: entry(EntryKind::File { size: 3 }) };
    let expected = "000000000000000102\
                    00\
                    01a0\
                    ffffffffffffffff\
                    00000005\
                    0003612f62\
                    0000000000000003";
    assert_eq!(bytes(start), expected);
}

#[test]
fn what_is_cut_short_too_long_or_unknown_is_told_apart() {
    for (_, message) in messages() {
        let bytes = Envelope { transfer: ID, message }.encode();
        for len in 0..bytes.len() {
            assert!(Envelope::decode(&bytes[..len]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Envelope::decode(&longer), Err(WireError::Trailing));
    }
    let mut unknown = vec![200];
    unknown.extend_from_slice(&ID.0);
    assert_eq!(Envelope::decode(&unknown), Ok(None));
}

#[test]
fn counts_and_lengths_are_bounded_before_anything_is_allocated() {
    let mut acks = vec![21];
    acks.extend_from_slice(&ID.0);
    acks.extend_from_slice(&(MAX_ACKS + 1).to_be_bytes());
    assert!(matches!(Envelope::decode(&acks), Err(WireError::TooLong { .. })));
    let header_len = MAX_PACK_TABLE;
    for (number, fixed, most) in [(30, 8, MAX_OFFERED), (31, 8, MAX_OFFERED), (33, 12, MAX_BLOCKS)]
    {
        let mut many = vec![number];
        many.extend_from_slice(&ID.0);
        many.extend(std::iter::repeat_n(0, fixed));
        many.extend_from_slice(&(most + 1).to_be_bytes());
        assert!(matches!(Envelope::decode(&many), Err(WireError::TooLong { .. })), "{number}");
    }
    let prefix = Prefix { kind: StreamKind::Pack, transfer: ID, instance: 7, header_len };
    let mut bytes = prefix.encode();
    assert_eq!(Prefix::decode(&bytes), Ok(prefix));
    bytes[25..].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(Prefix::decode(&bytes), Err(WireError::TooLong { .. })));
}

pub(crate) fn pack(sizes: &[u64]) -> PackHeader {
    let item = |(index, size): (usize, &u64)| PackEntry {
        index: index as u64,
        entry: entry(EntryKind::File { size: *size }),
        hash: [1; 32],
    };
    PackHeader { number: 3, entries: sizes.iter().enumerate().map(item).collect() }
}

pub(crate) fn encode_pack(header: &PackHeader) -> Vec<u8> {
    let mut table = Vec::new();
    header.entries.iter().for_each(|entry| entry.put(&mut table));
    PackHeader::encode_table(header.number, header.entries.len() as u16, &table)
}

#[test]
fn packs_and_blocks_come_back_equal_and_hold_at_most_one_block() {
    for sizes in [&[][..], &[0], &[1 << 20], &[1 << 19, 1 << 19, 0]] {
        let header = pack(sizes);
        assert_eq!(PackHeader::decode(&encode_pack(&header)), Ok(header));
    }
    for sizes in [&[(1 << 20) + 1][..], &[1 << 20, 1], &[u64::MAX, 2], &[u64::MAX, u64::MAX, 3]] {
        assert!(PackHeader::decode(&encode_pack(&pack(sizes))).is_err(), "{sizes:?}");
    }
    let block = BlockHeader { file: 1, revision: 2, block: 3, len: 1 << 20, cv: [4; 32] };
    assert_eq!(block.encode().len(), BLOCK_HEADER_LEN as usize);
    assert_eq!(BlockHeader::decode(&block.encode()), Ok(block));
    for len in [0, (1 << 20) + 1] {
        assert!(BlockHeader::decode(&BlockHeader { len, ..block }.encode()).is_err());
    }
}

#[test]
fn hostile_paths_never_become_entries() {
    for bad in ["../x", "/etc/x", "a/../../x", "a//b", "", ".", "a\0b"] {
        let mut out = Vec::new();
        out.push(0);
        out.extend_from_slice(&0o644_u16.to_be_bytes());
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&(bad.len() as u16).to_be_bytes());
        out.extend_from_slice(bad.as_bytes());
        out.extend_from_slice(&[0; 8]);
        assert!(read_entry(&mut Reader::new(&out)).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), number in 16_u8..34) {
        let _ = Envelope::decode(&bytes);
        let mut typed = vec![number];
        typed.extend_from_slice(&bytes);
        let _ = Envelope::decode(&typed);
        let _ = PackHeader::decode(&bytes);
        let _ = BlockHeader::decode(&bytes);
        if let Some(prefix) = bytes.first_chunk::<PREFIX_LEN>() {
            let _ = Prefix::decode(prefix);
        }
    }
}
