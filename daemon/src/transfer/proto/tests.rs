//! Bytes on the wire: a snapshot and a round trip per message, and decoders against anything.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::transfer::entry::{
    Attribute, Attributes, Entry, EntryKind, MAX_ATTRIBUTES, MAX_BYTES, RelPath, Timestamp,
};
use crate::transfer::loss::{LossKind, Losses, Lost};

const ID: TransferId = TransferId([0xab; 16]);

fn path(text: &str) -> RelPath {
    RelPath::new(text.split('/')).unwrap()
}

fn entry(kind: EntryKind) -> Entry {
    let mtime = Timestamp::new(-1, 5).unwrap();
    Entry {
        path: path("a/b"),
        kind,
        mode: 0o640,
        mtime,
        is_shared: false,
        has_holes: false,
        attributes: Attributes::default(),
    }
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

/// With attributes.
fn attributed(kind: EntryKind) -> Entry {
    let mut attributes = Attributes::default();
    for (name, value) in [(&b"user.a"[..], &b"\0\xff"[..]), (b"user.b", b"")] {
        attributes.push(Attribute { name: name.to_vec(), value: value.to_vec() }).unwrap();
    }
    Entry { attributes, ..entry(kind) }
}

pub(crate) fn losses() -> Losses {
    let mut losses = Losses::default();
    losses.add("a", Lost::new(LossKind::Time, ""));
    losses.add("b", Lost::new(LossKind::Name, "b (2)"));
    losses
}

fn failed(reason: Reason, text: &str, name: &str) -> Message {
    Message::FileFailed { file: 1, reason, text: text.to_owned(), name: name.to_owned() }
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
    let sparse =
        Entry { has_holes: true, is_shared: true, ..attributed(EntryKind::File { size: 3 }) };
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
        (19, Message::Start { file: 1, revision: 0, entry: attributed(EntryKind::Directory) }),
        (19, Message::Start { file: 1, revision: 0, entry: sparse }),
        (20, Message::End { file: 1, revision: 2, root: [3; 32] }),
        (21, Message::Acked(acks)),
        (22, Message::Delivered { files: 1, bytes: 2 }),
        (23, failed(Reason::SourceChanged, "no", "a/b")),
        (24, Message::Finish { entries: 1 }),
        (25, Message::Complete { files: 1, bytes: 2, losses: Losses::default() }),
        (25, Message::Complete { files: 1, bytes: 2, losses: losses() }),
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
    assert_eq!(bytes(failed(Reason::Io, "", "ab")), "00000000000000010f000000026162");
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
    let entry = Entry { has_holes: true, ..attributed(EntryKind::File { size: 3 }) };
    let start = Message::Start { file: 1, revision: 2, entry };
    let expected = expected.replacen("0200", "02c0", 1)
        + "02\
           0006757365722e61\
           000200ff\
           0006757365722e62\
           0000";
    assert_eq!(bytes(start), expected);
    let expected = "00000000000000010000000000000002\
                    02\
                    020000000000000001010001610000\
                    0400000000000000010100016200056220283229";
    let complete = Message::Complete { files: 1, bytes: 2, losses: losses() };
    assert_eq!(bytes(complete), expected);
}

#[test]
fn the_most_losses_fit_a_message() {
    let mut most = Losses::default();
    for kind in LossKind::ALL.iter().cycle().take(20 * LossKind::ALL.len()) {
        most.add(&"p".repeat(999), Lost::new(*kind, "d".repeat(999)));
    }
    let message = Message::Complete { files: 1, bytes: 2, losses: most };
    let bytes = Envelope { transfer: ID, message: message.clone() }.encode();
    assert!(bytes.len() < 60 << 10, "{}", bytes.len());
    assert_eq!(Envelope::decode(&bytes).unwrap().map(|it| it.message), Some(message));
}

#[test]
fn the_most_attributes_fit_a_message_and_a_pack() {
    let mut attributes = Attributes::default();
    for number in 0..MAX_ATTRIBUTES {
        let value = vec![1; MAX_BYTES / MAX_ATTRIBUTES - 8];
        attributes.push(Attribute { name: format!("user.{number:03}").into(), value }).unwrap();
    }
    let path = RelPath::new(std::iter::repeat_n("x".repeat(200), 20)).unwrap();
    let entry = Entry { path, attributes, ..entry(EntryKind::File { size: 3 }) };
    let message = Message::Start { file: 1, revision: 0, entry };
    let bytes = Envelope { transfer: ID, message: message.clone() }.encode();
    assert!(bytes.len() < 60 << 10, "{}", bytes.len());
    assert_eq!(Envelope::decode(&bytes).unwrap().map(|it| it.message), Some(message));
}

#[test]
fn attributes_and_holes_of_what_has_none_are_refused() {
    let encoded = |entry: &Entry| {
        let mut out = Vec::new();
        put_entry(&mut out, entry);
        out
    };
    let read = |bytes: &[u8]| read_entry(&mut Reader::new(bytes));
    let links =
        [EntryKind::Symlink { target: b"x".to_vec() }, EntryKind::HardLink { target: path("x") }];
    for kind in links {
        assert!(read(&encoded(&attributed(kind))).is_err());
    }
    let folder = Entry { has_holes: true, ..entry(EntryKind::Directory) };
    assert!(read(&encoded(&folder)).is_err());
    // None, too many, of another namespace, in another order, twice the same.
    let one = encoded(&entry(EntryKind::Directory));
    let with = |table: &[u8]| [&[one[0] | 0x80], &one[1..], table].concat();
    let named = |name: &[u8]| [&[0, name.len() as u8], name, &[0, 0]].concat();
    assert!(read(&with(&[0])).is_err());
    assert!(read(&with(&[&[200][..], &named(b"user.a").repeat(200)].concat())).is_err());
    for names in [&[&b"trusted.a"[..]][..], &[b"user.b", b"user.a"], &[b"user.a", b"user.a"]] {
        let table: Vec<u8> = names.iter().flat_map(|name| named(name)).collect();
        assert!(read(&with(&[&[names.len() as u8], &table[..]].concat())).is_err(), "{names:?}");
    }
    assert!(read(&with(&[&[1], &named(b"user.a")[..]].concat())).is_ok());
}

#[test]
fn losses_are_bounded_before_anything_is_allocated() {
    let mut complete = vec![25];
    complete.extend_from_slice(&ID.0);
    complete.extend_from_slice(&[0; 16]);
    for table in [&[255][..], &[1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 255]] {
        let bytes = [&complete, table].concat();
        assert!(matches!(Envelope::decode(&bytes), Err(WireError::TooLong { .. })), "{table:?}");
    }
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

/// Entries of every kind that have more than others, for the fuzzer.
#[cfg(target_os = "linux")]
pub(crate) fn entries() -> Vec<Entry> {
    let file = |size| EntryKind::File { size };
    vec![
        entry(file(3)),
        Entry { has_holes: true, ..entry(file(1 << 30)) },
        attributed(file(0)),
        attributed(EntryKind::Directory),
        entry(EntryKind::HardLink { target: path("c/d") }),
        entry(EntryKind::Symlink { target: b"../x".to_vec() }),
    ]
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
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), number in 16_u8..36) {
        let _ = Envelope::decode(&bytes);
        let mut typed = vec![number];
        typed.extend_from_slice(&bytes);
        let _ = Envelope::decode(&typed);
        let _ = PackHeader::decode(&bytes);
        let _ = BlockHeader::decode(&bytes);
        let _ = read_losses(&mut Reader::new(&bytes));
        let _ = read_entry(&mut Reader::new(&bytes));
        if let Some(prefix) = bytes.first_chunk::<PREFIX_LEN>() {
            let _ = Prefix::decode(prefix);
        }
    }
}
