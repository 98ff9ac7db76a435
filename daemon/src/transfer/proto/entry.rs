//! How an entry of a manifest lies in bytes.

use super::message::read_path;
use super::wire::{Reader, WireError, put_bytes};
use crate::transfer::entry::{
    Attribute, Attributes, Entry, EntryKind, MAX_ATTRIBUTES, MAX_BYTES, MAX_NAME, Timestamp,
};

const MAX_TARGET: u16 = 4 * 1024;
/// In an entry's kind: it is a file with holes.
const HAS_HOLES: u8 = 0x40;
/// In an entry's kind: its attributes follow.
const HAS_ATTRIBUTES: u8 = 0x80;

/// An entry: `u8 kind ‖ u16 mode ‖ i64 seconds ‖ u32 nanoseconds ‖ path ‖ (u64 size | target) ‖
/// attributes`; kind 0 is a file, 1 a folder, 2 a symbolic link, 3 a hard link, 4 a file that hard links
/// may name. 64 more is a file with holes; with 128 more follow attributes: `u8 n ‖ n × (name ‖ value)`.
pub(crate) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    let kind = match entry.kind {
        EntryKind::File { .. } if entry.is_shared => 4,
        EntryKind::File { .. } => 0,
        EntryKind::Directory => 1,
        EntryKind::Symlink { .. } => 2,
        EntryKind::HardLink { .. } => 3,
    };
    let holes = if entry.has_holes { HAS_HOLES } else { 0 };
    let attributes = if entry.attributes.is_empty() { 0 } else { HAS_ATTRIBUTES };
    out.push(kind | holes | attributes);
    out.extend_from_slice(&u16::try_from(entry.mode & 0o777).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&entry.mtime.secs().to_be_bytes());
    out.extend_from_slice(&entry.mtime.nanos().to_be_bytes());
    put_bytes(out, entry.path.as_bytes());
    match &entry.kind {
        EntryKind::File { size } => out.extend_from_slice(&size.to_be_bytes()),
        EntryKind::Directory => {}
        EntryKind::Symlink { target } => put_bytes(out, target),
        EntryKind::HardLink { target } => put_bytes(out, target.as_bytes()),
    }
    if !entry.attributes.is_empty() {
        put_attributes(out, &entry.attributes);
    }
}

/// Reads what [`put_entry`] wrote; permission bits beyond `0o777`, bad times, and holes and attributes
/// of what has none are refused.
pub(crate) fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, WireError> {
    let flags = reader.u8()?;
    let (has_holes, has_attributes) = (flags & HAS_HOLES != 0, flags & HAS_ATTRIBUTES != 0);
    let kind = flags & !(HAS_HOLES | HAS_ATTRIBUTES);
    let is_shared = kind == 4;
    let mode = u32::from(reader.u16()?);
    if mode > 0o777 {
        return Err(WireError::Invalid("permission bits"));
    }
    let (secs, nanos) = (reader.i64()?, reader.u32()?);
    let mtime = Timestamp::new(secs, nanos).ok_or(WireError::Invalid("modification time"))?;
    let path = read_path(reader)?;
    let kind = match kind {
        0 | 4 => EntryKind::File { size: reader.u64()? },
        1 => EntryKind::Directory,
        2 => EntryKind::Symlink { target: reader.bytes("link target", MAX_TARGET)?.to_vec() },
        3 => EntryKind::HardLink { target: read_path(reader)? },
        _ => return Err(WireError::Invalid("kind of entry")),
    };
    let attributes = match (has_attributes, &kind) {
        (false, _) => Attributes::default(),
        (true, EntryKind::File { .. } | EntryKind::Directory) => read_attributes(reader)?,
        (true, _) => return Err(WireError::Invalid("attributes of a link")),
    };
    if has_holes && !matches!(kind, EntryKind::File { .. }) {
        return Err(WireError::Invalid("holes of what is no file"));
    }
    Ok(Entry { path, kind, mode, mtime, is_shared, has_holes, attributes })
}

fn put_attributes(out: &mut Vec<u8>, attributes: &Attributes) {
    let attributes = attributes.iter();
    out.push(u8::try_from(attributes.len()).unwrap_or(u8::MAX));
    for Attribute { name, value } in attributes {
        put_bytes(out, name);
        put_bytes(out, value);
    }
}

/// At least one; what does not keep the bounds or the order is refused.
fn read_attributes(reader: &mut Reader<'_>) -> Result<Attributes, WireError> {
    let count = reader.u8()?;
    if count == 0 || usize::from(count) > MAX_ATTRIBUTES {
        return Err(WireError::Invalid("number of attributes"));
    }
    let [most_name, most_value] =
        [MAX_NAME, MAX_BYTES].map(|most| u16::try_from(most).unwrap_or(u16::MAX));
    let mut attributes = Attributes::default();
    for _ in 0..count {
        let name = reader.bytes("name of an attribute", most_name)?.to_vec();
        let value = reader.bytes("value of an attribute", most_value)?.to_vec();
        let pushed = attributes.push(Attribute { name, value });
        pushed.map_err(|_| WireError::Invalid("attributes"))?;
    }
    Ok(attributes)
}
