//! The control messages of a transfer. They cross on a session's ordered, reliable message channel;
//! every one names its transfer, and receiving one twice changes nothing.

use super::super::entry::{Entry, RelPath};
use super::compare::{
    Verdict, put_blocks, put_hashes, put_offered, put_verdicts, read_blocks, read_hashes,
    read_offered, read_verdicts,
};
use super::entry::{put_entry, read_entry};
use super::losses::{put_losses, read_losses};
use super::reason::Reason;
use super::wire::{Reader, WireError, put_bytes};
use crate::transfer::hash::Digest;
use crate::transfer::loss::Losses;

/// The most entries that one transfer may have.
pub(crate) const MAX_ENTRIES: u64 = 10_000_000;
/// The most entries that a request previews, and a page holds.
pub(crate) const MAX_PREVIEW: u16 = 1_000;
/// The most bytes of a request's preview or a page; a message is at most 60 KiB.
pub(crate) const MAX_PREVIEW_BYTES: usize = 32 * 1024;
/// The most acknowledgements in one message.
pub(crate) const MAX_ACKS: u16 = 256;
/// The longest text a peer may add to a reason.
pub(crate) const MAX_TEXT: u16 = 512;
/// The longest text that a request shows; with a preview it fits into a message.
pub(crate) const MAX_SHOWN_TEXT: u16 = 16 * 1024;

/// The longest text that names a file which failed.
pub(crate) const MAX_FILE_NAME: u16 = 512;

const MAX_PATH: u16 = 8 * 1024;

/// A transfer's name for both sides: random, chosen by the sender.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TransferId(pub(crate) [u8; 16]);

impl TransferId {
    /// A new random id.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        Self(bytes)
    }
}

impl std::fmt::Display for TransferId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for TransferId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for TransferId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 32 || !text.is_ascii() {
            return Err(());
        }
        let mut bytes = [0; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(bytes))
    }
}

/// One line of a request's preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preview {
    pub(crate) path: RelPath,
    pub(crate) kind: PreviewKind,
    pub(crate) size: u64,
}

/// What a previewed entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PreviewKind {
    File,
    Directory,
    Symlink,
}

/// How much a transfer holds, as far as the sender has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// False while the sender still walks: then the numbers are "at least".
    pub(crate) exact: bool,
}

/// The receiver's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Send. `instance` names the receiver's state of this transfer: another value than last time
    /// says that all is to be read and named again from the beginning. `compares`: something is here
    /// with which entries are compared before they are sent.
    Accept { instance: u64, compares: bool },
    /// A person has to say; the request stays, whatever happens to the session.
    Waiting,
    /// No.
    Decline { reason: Reason, text: String },
}

/// What the receiver has stored (not yet committed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    /// A pack, by its number.
    Pack { number: u64 },
    /// A block of a file, with the chaining value of what was written.
    Block { file: u64, revision: u8, block: u32, cv: [u8; 32] },
    /// A file that came in blocks: all of it is there and its hash is right.
    File { file: u64, revision: u8 },
}

/// A control message. The number in each doc line is its type byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// 16: sender: `totals ‖ u16 n ‖ n × preview ‖ bool update ‖ text`. May be repeated in another session.
    /// `update`: what was sent before and differs is to be replaced, if the receiver allows it. A `text`
    /// that is not empty is what the one file of the transfer holds, to be shown to a person.
    Request { totals: Totals, preview: Vec<Preview>, update: bool, text: String },
    /// 17: sender: `totals`, when the walk has counted further.
    Totals(Totals),
    /// 18: receiver: `u8 0 ‖ u64 instance ‖ bool compares` or `u8 1` or `u8 2 ‖ u8 reason ‖ text`.
    Answer(Answer),
    /// 19: sender: `u64 file ‖ u8 revision ‖ entry`: a file that is sent in blocks starts, or starts
    /// again after its source changed.
    Start { file: u64, revision: u8, entry: Entry },
    /// 20: sender: `u64 file ‖ u8 revision ‖ 32 root`: the source of the file is unchanged to its end.
    End { file: u64, revision: u8, root: [u8; 32] },
    /// 21: receiver: `u16 n ‖ n × (u8 0 ‖ u64 number | u8 1 ‖ u64 file ‖ u8 revision ‖ u32 block ‖ 32 cv
    /// | u8 2 ‖ u64 file ‖ u8 revision)`.
    Acked(Vec<Ack>),
    /// 22: receiver: `u64 files ‖ u64 bytes`: so much is durable under its final name, in all.
    Delivered { files: u64, bytes: u64 },
    /// 23: both: `u64 file ‖ u8 reason ‖ text ‖ name`: this one file is given up, the rest goes on. Its
    /// `name` is its path as a text, for a side that does not know the number.
    FileFailed { file: u64, reason: Reason, text: String, name: String },
    /// 24: sender: `u64 entries`: everything has been sent.
    Finish { entries: u64 },
    /// 25: receiver: `u64 files ‖ u64 bytes ‖ losses`: everything is durable; the transfer is over, and
    /// this is what could not be kept.
    Complete { files: u64, bytes: u64, losses: Losses },
    /// 26: both: `u8 reason ‖ text`: the transfer is over.
    Cancel { reason: Reason, text: String },
    /// 27: receiver: `u64 offset ‖ u16 limit`: asks for a page of the manifest.
    PageQuery { offset: u64, limit: u16 },
    /// 28: sender: `u64 offset ‖ bool last ‖ u16 n ‖ n × preview`.
    Page { offset: u64, last: bool, entries: Vec<Preview> },
    /// 29: sender: `u64 instance ‖ u64 run`: what follows in this session belongs to this state of the
    /// receiver and this run of the sender, whose numbers of files and packs mean nothing in another.
    Begin { instance: u64, run: u64 },
    /// 30: sender: `u64 number ‖ u16 n ‖ n × entry ‖ u16 m ‖ m × 32 hash`: which of these are to be sent?
    /// With hashes, one for each entry, files are compared by their content; zeros stand for one that
    /// is not known.
    Offer { number: u64, entries: Vec<Entry>, hashes: Vec<Digest> },
    /// 31: receiver: `u64 number ‖ u16 n ‖ n × u8 verdict`: the answer to an offer.
    Verdicts { number: u64, verdicts: Vec<Verdict> },
    /// 32: sender: `u64 file ‖ u8 revision ‖ u32 first ‖ u16 count`: which of these blocks of a file that
    /// has started are here?
    BlocksQuery { file: u64, revision: u8, first: u32, count: u16 },
    /// 33: receiver: `u64 file ‖ u32 first ‖ u16 n ‖ n × 32 chaining value`: the answer; zeros stand for
    /// a block that is not here, and so does the end of the list.
    Blocks { file: u64, first: u32, cvs: Vec<[u8; 32]> },
    /// 34: receiver: `u64 replaced ‖ u64 beside`: of what is durable, so many files have replaced what was
    /// there, and so many that were to replace something lie beside it.
    Placed { replaced: u64, beside: u64 },
    /// 35: receiver: `u8 reason ‖ text`: nothing can be stored for the moment. What it has not
    /// acknowledged is to be sent again, when it accepts with another state.
    Stalled { reason: Reason, text: String },
}

/// A message with the transfer it belongs to: `u8 type ‖ 16 transfer ‖ body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) transfer: TransferId,
    pub(crate) message: Message,
}

impl Envelope {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.message.number()];
        out.extend_from_slice(&self.transfer.0);
        self.message.put(&mut out);
        out
    }

    /// Decodes a message; `None` is a type that this version does not know and skips.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let mut reader = Reader::new(bytes);
        let number = reader.u8()?;
        let transfer = TransferId(reader.array()?);
        let Some(message) = Message::read(number, &mut reader)? else { return Ok(None) };
        reader.end()?;
        Ok(Some(Self { transfer, message }))
    }
}

impl Message {
    fn number(&self) -> u8 {
        match self {
            Self::Request { .. } => 16,
            Self::Totals(_) => 17,
            Self::Answer(_) => 18,
            Self::Start { .. } => 19,
            Self::End { .. } => 20,
            Self::Acked(_) => 21,
            Self::Delivered { .. } => 22,
            Self::FileFailed { .. } => 23,
            Self::Finish { .. } => 24,
            Self::Complete { .. } => 25,
            Self::Cancel { .. } => 26,
            Self::PageQuery { .. } => 27,
            Self::Page { .. } => 28,
            Self::Begin { .. } => 29,
            Self::Offer { .. } => 30,
            Self::Verdicts { .. } => 31,
            Self::BlocksQuery { .. } => 32,
            Self::Blocks { .. } => 33,
            Self::Placed { .. } => 34,
            Self::Stalled { .. } => 35,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Request { totals, preview, update, text } => {
                totals.put(out);
                put_previews(out, preview);
                out.push(u8::from(*update));
                put_text(out, text, MAX_SHOWN_TEXT);
            }
            Self::Totals(totals) => totals.put(out),
            Self::Answer(answer) => answer.put(out),
            Self::Start { file, revision, entry } => {
                put_file(out, *file, *revision);
                put_entry(out, entry);
            }
            Self::End { file, revision, root } => {
                put_file(out, *file, *revision);
                out.extend_from_slice(root);
            }
            Self::Acked(acks) => put_acks(out, acks),
            Self::Delivered { files: one, bytes: other }
            | Self::Placed { replaced: one, beside: other } => {
                out.extend_from_slice(&one.to_be_bytes());
                out.extend_from_slice(&other.to_be_bytes());
            }
            Self::FileFailed { file, reason, text, name } => {
                out.extend_from_slice(&file.to_be_bytes());
                put_reason(out, *reason, text);
                put_text(out, name, MAX_FILE_NAME);
            }
            Self::Complete { files, bytes, losses } => {
                out.extend_from_slice(&files.to_be_bytes());
                out.extend_from_slice(&bytes.to_be_bytes());
                put_losses(out, losses);
            }
            Self::Finish { entries } => out.extend_from_slice(&entries.to_be_bytes()),
            Self::Cancel { reason, text } | Self::Stalled { reason, text } => {
                put_reason(out, *reason, text);
            }
            Self::PageQuery { offset, limit } => {
                out.extend_from_slice(&offset.to_be_bytes());
                out.extend_from_slice(&limit.to_be_bytes());
            }
            Self::Page { offset, last, entries } => {
                out.extend_from_slice(&offset.to_be_bytes());
                out.push(u8::from(*last));
                put_previews(out, entries);
            }
            Self::Begin { instance, run } => {
                out.extend_from_slice(&instance.to_be_bytes());
                out.extend_from_slice(&run.to_be_bytes());
            }
            Self::Offer { number, entries, hashes } => {
                out.extend_from_slice(&number.to_be_bytes());
                put_offered(out, entries);
                put_hashes(out, hashes);
            }
            Self::Verdicts { number, verdicts } => {
                out.extend_from_slice(&number.to_be_bytes());
                put_verdicts(out, verdicts);
            }
            Self::BlocksQuery { file, revision, first, count } => {
                put_file(out, *file, *revision);
                out.extend_from_slice(&first.to_be_bytes());
                out.extend_from_slice(&count.to_be_bytes());
            }
            Self::Blocks { file, first, cvs } => {
                out.extend_from_slice(&file.to_be_bytes());
                out.extend_from_slice(&first.to_be_bytes());
                put_blocks(out, cvs);
            }
        }
    }

    fn read(number: u8, reader: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        Ok(Some(match number {
            16 => Self::Request {
                totals: Totals::read(reader)?,
                preview: read_previews(reader)?,
                update: reader.bool("update")?,
                text: read_text(reader, MAX_SHOWN_TEXT)?,
            },
            17 => Self::Totals(Totals::read(reader)?),
            18 => Self::Answer(Answer::read(reader)?),
            19 => Self::Start {
                file: reader.u64()?,
                revision: reader.u8()?,
                entry: read_entry(reader)?,
            },
            20 => Self::End { file: reader.u64()?, revision: reader.u8()?, root: reader.array()? },
            21 => Self::Acked(read_acks(reader)?),
            22 => Self::Delivered { files: reader.u64()?, bytes: reader.u64()? },
            23 => {
                let file = reader.u64()?;
                let (reason, text) = read_reason(reader)?;
                Self::FileFailed { file, reason, text, name: read_text(reader, MAX_FILE_NAME)? }
            }
            24 => Self::Finish { entries: reader.u64()? },
            25 => Self::Complete {
                files: reader.u64()?,
                bytes: reader.u64()?,
                losses: read_losses(reader)?,
            },
            26 => {
                let (reason, text) = read_reason(reader)?;
                Self::Cancel { reason, text }
            }
            27 => Self::PageQuery { offset: reader.u64()?, limit: reader.u16()? },
            28 => Self::Page {
                offset: reader.u64()?,
                last: reader.bool("last page")?,
                entries: read_previews(reader)?,
            },
            29 => Self::Begin { instance: reader.u64()?, run: reader.u64()? },
            30 => {
                let (number, entries) = (reader.u64()?, read_offered(reader)?);
                let hashes = read_hashes(reader, entries.len())?;
                Self::Offer { number, entries, hashes }
            }
            31 => Self::Verdicts { number: reader.u64()?, verdicts: read_verdicts(reader)? },
            32 => Self::BlocksQuery {
                file: reader.u64()?,
                revision: reader.u8()?,
                first: reader.u32()?,
                count: reader.u16()?,
            },
            33 => Self::Blocks {
                file: reader.u64()?,
                first: reader.u32()?,
                cvs: read_blocks(reader)?,
            },
            34 => Self::Placed { replaced: reader.u64()?, beside: reader.u64()? },
            35 => {
                let (reason, text) = read_reason(reader)?;
                Self::Stalled { reason, text }
            }
            _ => return Ok(None),
        }))
    }
}

impl Totals {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.files.to_be_bytes());
        out.extend_from_slice(&self.bytes.to_be_bytes());
        out.push(u8::from(self.exact));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { files: reader.u64()?, bytes: reader.u64()?, exact: reader.bool("exact totals")? })
    }
}

impl Answer {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Accept { instance, compares } => {
                out.push(0);
                out.extend_from_slice(&instance.to_be_bytes());
                out.push(u8::from(*compares));
            }
            Self::Waiting => out.push(1),
            Self::Decline { reason, text } => {
                out.push(2);
                put_reason(out, *reason, text);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            0 => {
                let instance = reader.u64()?;
                Self::Accept { instance, compares: reader.bool("comparing")? }
            }
            1 => Self::Waiting,
            2 => {
                let (reason, text) = read_reason(reader)?;
                Self::Decline { reason, text }
            }
            _ => return Err(WireError::Invalid("answer")),
        })
    }
}

fn put_file(out: &mut Vec<u8>, file: u64, revision: u8) {
    out.extend_from_slice(&file.to_be_bytes());
    out.push(revision);
}

fn put_reason(out: &mut Vec<u8>, reason: Reason, text: &str) {
    out.push(reason.number());
    put_text(out, text, MAX_TEXT);
}

/// A text, cut at a character's edge to `most` bytes.
fn put_text(out: &mut Vec<u8>, text: &str, most: u16) {
    put_bytes(out, &text.as_bytes()[..text.floor_char_boundary(most.into())]);
}

fn read_text(reader: &mut Reader<'_>, most: u16) -> Result<String, WireError> {
    Ok(String::from_utf8_lossy(reader.bytes("text", most)?).into_owned())
}

fn read_reason(reader: &mut Reader<'_>) -> Result<(Reason, String), WireError> {
    let reason = Reason::from_number(reader.u8()?);
    Ok((reason, read_text(reader, MAX_TEXT)?))
}

fn put_acks(out: &mut Vec<u8>, acks: &[Ack]) {
    out.extend_from_slice(&u16::try_from(acks.len()).unwrap_or(u16::MAX).to_be_bytes());
    for ack in acks {
        match ack {
            Ack::Pack { number } => {
                out.push(0);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Ack::Block { file, revision, block, cv } => {
                out.push(1);
                put_file(out, *file, *revision);
                out.extend_from_slice(&block.to_be_bytes());
                out.extend_from_slice(cv);
            }
            Ack::File { file, revision } => {
                out.push(2);
                put_file(out, *file, *revision);
            }
        }
    }
}

fn read_acks(reader: &mut Reader<'_>) -> Result<Vec<Ack>, WireError> {
    (0..reader.count("acknowledgements", MAX_ACKS)?)
        .map(|_| match reader.u8()? {
            0 => Ok(Ack::Pack { number: reader.u64()? }),
            1 => Ok(Ack::Block {
                file: reader.u64()?,
                revision: reader.u8()?,
                block: reader.u32()?,
                cv: reader.array()?,
            }),
            2 => Ok(Ack::File { file: reader.u64()?, revision: reader.u8()? }),
            _ => Err(WireError::Invalid("acknowledgement")),
        })
        .collect()
}

fn put_previews(out: &mut Vec<u8>, previews: &[Preview]) {
    out.extend_from_slice(&u16::try_from(previews.len()).unwrap_or(u16::MAX).to_be_bytes());
    for preview in previews {
        out.push(match preview.kind {
            PreviewKind::File => 0,
            PreviewKind::Directory => 1,
            PreviewKind::Symlink => 2,
        });
        out.extend_from_slice(&preview.size.to_be_bytes());
        put_bytes(out, preview.path.as_bytes());
    }
}

fn read_previews(reader: &mut Reader<'_>) -> Result<Vec<Preview>, WireError> {
    (0..reader.count("previewed entries", MAX_PREVIEW)?)
        .map(|_| {
            let kind = match reader.u8()? {
                0 => PreviewKind::File,
                1 => PreviewKind::Directory,
                2 => PreviewKind::Symlink,
                _ => return Err(WireError::Invalid("kind of entry")),
            };
            Ok(Preview { kind, size: reader.u64()?, path: read_path(reader)? })
        })
        .collect()
}

pub(super) fn read_path(reader: &mut Reader<'_>) -> Result<RelPath, WireError> {
    RelPath::decode(reader.bytes("file path", MAX_PATH)?)
        .map_err(|_| WireError::Invalid("file path"))
}
