//! Somebody who speaks the peer protocol by hand.

use bytes::Bytes;
use quinn::{SendStream, VarInt};

use crate::{
    peer::{
        CloseReason, SessionGuard,
        tests::support::{Got, User, soon},
    },
    transfer::{
        TransferId,
        entry::{Attributes, Entry, EntryKind, RelPath, Timestamp},
        hash,
        loss::Losses,
        proto::{
            Answer, BLOCK_HEADER_LEN, BlockHeader, Envelope, Message, PackEntry, PackHeader,
            Prefix, Preview, StreamKind, Totals,
        },
    },
};

/// What Bob says to streams of transfers that he does not know.
const NOT_WANTED: VarInt = VarInt::from_u32(1);

/// One who sends a transfer in a session of its own.
pub(super) struct Speaker {
    pub(super) got: Got,
    pub(super) id: TransferId,
    /// Bob's state of the transfer, once he has accepted.
    instance: u64,
    _guard: SessionGuard,
}

impl Speaker {
    /// Calls Bob.
    pub(super) async fn call(user: &mut User) -> Self {
        let session = user.call("bob").await;
        let got = user.got().await;
        Self { got, id: TransferId::random(), instance: 0, _guard: session.hold() }
    }

    /// Is asked to receive something.
    pub(super) async fn asked(user: &mut User) -> Self {
        let mut got = user.got().await;
        let Envelope { transfer: id, message } =
            Envelope::decode(&got.hear().await).unwrap().unwrap();
        assert!(matches!(message, Message::Request { .. }), "{message:?}");
        Self { _guard: got.session.hold(), got, id, instance: 0 }
    }

    /// Calls Bob and gets a transfer of "one byte" accepted.
    pub(super) async fn accepted(user: &mut User) -> Self {
        let mut speaker = Self::call(user).await;
        speaker.ask().await;
        speaker
    }

    /// Gets another transfer accepted in the same session.
    pub(super) async fn ask(&mut self) {
        self.id = TransferId::random();
        self.accept().await;
    }

    /// Calls Bob again and goes on with the same transfer.
    pub(super) async fn again(self, user: &mut User) -> Self {
        let Self { got, id, .. } = self;
        got.session.closed().await;
        let mut speaker = Self::call(user).await;
        speaker.id = id;
        speaker.accept().await;
        speaker
    }

    async fn accept(&mut self) {
        self.say(request(1)).await;
        let Message::Answer(Answer::Accept { instance, .. }) = self.hear().await else {
            panic!("not accepted");
        };
        self.begin(instance).await;
    }

    /// Speaks from now on of this state.
    pub(super) async fn begin(&mut self, instance: u64) {
        self.instance = instance;
        self.say(Message::Begin { instance, run: 1 }).await;
    }

    /// What streams of this transfer are for.
    pub(super) fn to(&self) -> To {
        To { transfer: self.id, instance: self.instance }
    }

    pub(super) async fn say(&self, message: Message) {
        self.say_of(self.id, message).await;
    }

    pub(super) async fn say_of(&self, transfer: TransferId, message: Message) {
        self.say_bytes(Envelope { transfer, message }.encode()).await;
    }

    /// Says anything; nobody may listen any more.
    pub(super) async fn say_bytes(&self, bytes: Vec<u8>) {
        let _ = soon(self.got.session.send(bytes.into())).await;
    }

    /// The next message, which must be about this transfer.
    pub(super) async fn hear(&mut self) -> Message {
        let Envelope { transfer, message } = self.hear_any().await;
        assert_eq!(transfer, self.id, "{message:?}");
        message
    }

    pub(super) async fn hear_any(&mut self) -> Envelope {
        let bytes: Bytes = self.got.hear().await;
        Envelope::decode(&bytes).unwrap().unwrap()
    }

    /// All messages up to the one that is wanted, which is the last.
    pub(super) async fn hear_until(&mut self, wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
        let mut heard = Vec::new();
        loop {
            heard.push(self.hear().await);
            if heard.last().is_some_and(&wanted) {
                return heard;
            }
        }
    }

    /// Waits until Bob gives up the transfer, and checks that nothing was complete before.
    pub(super) async fn refused(&mut self, reason: crate::transfer::Reason) {
        let heard = self.hear_until(|message| matches!(message, Message::Cancel { .. })).await;
        let complete = |message: &Message| matches!(message, Message::Complete { .. });
        assert!(!heard.iter().any(complete), "{heard:?}");
        match heard.last() {
            Some(Message::Cancel { reason: told, .. }) => assert_eq!(*told, reason, "{heard:?}"),
            _ => unreachable!(),
        }
    }

    /// Waits until Bob says that everything is delivered.
    pub(super) async fn complete(&mut self) -> Vec<Message> {
        self.hear_until(|message| matches!(message, Message::Complete { .. })).await
    }

    pub(super) async fn closed(&self) -> CloseReason {
        soon(self.got.session.closed()).await
    }

    /// Opens a stream and writes to it; Bob may stop it at any time.
    pub(super) async fn open(&self, bytes: &[u8]) -> SendStream {
        let (_, _, mut stream, _) = soon(self.got.session.open_stream()).await.unwrap();
        let _ = soon(stream.write_all(bytes)).await;
        stream
    }

    /// Sends a whole stream.
    pub(super) async fn stream(&self, bytes: &[u8]) -> SendStream {
        let mut stream = self.open(bytes).await;
        let _ = stream.finish();
        stream
    }

    /// Sends the beginning of a stream, which Bob stops because he does not know its transfer.
    pub(super) async fn is_stopped(&self, bytes: &[u8]) {
        let stream = self.open(bytes).await;
        assert_eq!(soon(stream.stopped()).await.unwrap(), Some(NOT_WANTED));
    }

    /// Sends a pack of these entries.
    pub(super) async fn pack(&self, number: u64, entries: &[(u64, Entry, &[u8])]) -> SendStream {
        self.stream(&pack(self.to(), number, entries)).await
    }

    /// Announces a file that comes in blocks.
    pub(super) async fn start(&self, index: u64, revision: u8, name: &str, size: u64) {
        let entry = entry(name, EntryKind::File { size });
        self.say(Message::Start { file: index, revision, entry }).await;
    }

    /// Sends the rest: so many entries in all.
    pub(super) async fn finish(&self, entries: u64) {
        self.say(Message::Finish { entries }).await;
    }
}

/// What a stream says that it is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct To {
    transfer: TransferId,
    instance: u64,
}

/// For no state that Bob can have.
impl From<TransferId> for To {
    fn from(transfer: TransferId) -> Self {
        Self { transfer, instance: 0 }
    }
}

/// A request that says to hold so many bytes.
pub(super) fn request(bytes: u64) -> Message {
    let totals = Totals { files: 1, bytes, exact: true };
    Message::Request { totals, preview: Vec::new(), update: false, text: String::new() }
}

/// The word that so much is there and nothing was lost.
pub(super) fn all_there(files: u64, bytes: u64) -> Message {
    Message::Complete { files, bytes, losses: Losses::default() }
}

/// A request with this preview.
pub(super) fn request_of(preview: Vec<Preview>) -> Message {
    Message::Request { totals: Totals::default(), preview, update: false, text: String::new() }
}

pub(super) fn entry(path: &str, kind: EntryKind) -> Entry {
    let path = RelPath::decode(path.as_bytes()).unwrap();
    Entry {
        path,
        kind,
        mode: 0o644,
        mtime: Timestamp::default(),
        is_shared: false,
        has_holes: false,
        attributes: Attributes::default(),
    }
}

pub(super) fn file<'a>(index: u64, path: &str, content: &'a [u8]) -> (u64, Entry, &'a [u8]) {
    (index, entry(path, EntryKind::File { size: content.len() as u64 }), content)
}

pub(super) fn folder(index: u64, path: &str) -> (u64, Entry, &'static [u8]) {
    (index, entry(path, EntryKind::Directory), b"")
}

pub(super) fn symlink(index: u64, path: &str, target: &[u8]) -> (u64, Entry, &'static [u8]) {
    (index, entry(path, EntryKind::Symlink { target: target.to_vec() }), b"")
}

/// A pack whose hashes are right.
pub(super) fn pack(to: impl Into<To>, number: u64, entries: &[(u64, Entry, &[u8])]) -> Vec<u8> {
    let mut table = Vec::new();
    for (index, entry, content) in entries {
        let hash = *blake3::hash(content).as_bytes();
        PackEntry { index: *index, entry: entry.clone(), hash }.put(&mut table);
    }
    let content: Vec<u8> = entries.iter().flat_map(|(_, _, content)| content.to_vec()).collect();
    let count = entries.len().try_into().unwrap();
    pack_of(to, &PackHeader::encode_table(number, count, &table), &content)
}

/// A pack of any header and content.
pub(super) fn pack_of(to: impl Into<To>, header: &[u8], content: &[u8]) -> Vec<u8> {
    let header_len = header.len().try_into().unwrap();
    let To { transfer, instance } = to.into();
    let prefix = Prefix { kind: StreamKind::Pack, transfer, instance, header_len };
    [&prefix.encode(), header, content].concat()
}

/// A block as its header says it.
pub(super) fn block_of(to: impl Into<To>, header: &BlockHeader, content: &[u8]) -> Vec<u8> {
    let header_len = BLOCK_HEADER_LEN;
    let To { transfer, instance } = to.into();
    let prefix = Prefix { kind: StreamKind::Block, transfer, instance, header_len };
    [&prefix.encode(), header.encode().as_slice(), content].concat()
}

/// The header of a block of zeros, all of it true.
pub(super) fn zeros(file: u64, revision: u8, block: u32, size: u64) -> (BlockHeader, Vec<u8>) {
    let content = vec![0; hash::block_len(size, block.into()).unwrap()];
    let cv = hash::block_cv(size, block.into(), &content).unwrap();
    let len = content.len().try_into().unwrap();
    (BlockHeader { file, revision, block, len, cv }, content)
}
