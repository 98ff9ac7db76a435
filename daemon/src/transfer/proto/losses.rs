//! How losses lie in bytes: `u8 n ‖ n × (u8 kind ‖ u64 count ‖ u8 m ‖ m × (path ‖ text))`.

use super::wire::{Reader, WireError, put_bytes};
use crate::transfer::loss::{Count, LossKind, Losses, MAX_DETAIL, MAX_EXAMPLES, MAX_PATH_TEXT};

/// The most kinds; as many as fit a message with all their examples.
const MAX_KINDS: u8 = 12;

/// Appends losses, whose examples and texts are within their bounds already.
pub(crate) fn put_losses(out: &mut Vec<u8>, losses: &Losses) {
    let kinds = losses.iter();
    out.push(u8::try_from(kinds.len()).unwrap_or(u8::MAX));
    for (kind, Count { count, examples }) in kinds {
        out.push(kind.number());
        out.extend_from_slice(&count.to_be_bytes());
        out.push(u8::try_from(examples.len()).unwrap_or(u8::MAX));
        for (path, detail) in examples {
            put_bytes(out, path.as_bytes());
            put_bytes(out, detail.as_bytes());
        }
    }
}

/// Reads what [`put_losses`] wrote. Kinds that are not known here are counted together.
pub(crate) fn read_losses(reader: &mut Reader<'_>) -> Result<Losses, WireError> {
    let mut losses = Losses::default();
    for _ in 0..count(reader, "kinds of losses", MAX_KINDS)? {
        let kind = LossKind::from_number(reader.u8()?);
        let number = reader.u64()?;
        let most = u8::try_from(MAX_EXAMPLES).unwrap_or(u8::MAX);
        let examples = (0..count(reader, "examples of a loss", most)?)
            .map(|_| Ok((text(reader, MAX_PATH_TEXT)?, text(reader, MAX_DETAIL)?)))
            .collect::<Result<_, WireError>>()?;
        losses.add_count(kind, Count { count: number, examples });
    }
    Ok(losses)
}

fn count(reader: &mut Reader<'_>, field: &'static str, most: u8) -> Result<u8, WireError> {
    match reader.u8()? {
        found if found > most => {
            Err(WireError::TooLong { field, found: found.into(), most: most.into() })
        }
        found => Ok(found),
    }
}

/// A text of a peer; one that is no UTF-8, mended, may be longer than it was.
fn text(reader: &mut Reader<'_>, most: u16) -> Result<String, WireError> {
    let mut text = String::from_utf8_lossy(reader.bytes("text", most)?).into_owned();
    text.truncate(text.floor_char_boundary(most.into()));
    Ok(text)
}
