//! What clients see of the daemon's state: plain values, converted by the daemon.
//!
//! Names, labels and file names are text as their owners wrote it, undecodable bytes replaced.
//! Instants are Unix seconds, sizes are bytes, rates are bytes per second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ControlError, LinkKind, LossView, Setting, WhyRelayed, WirePath};

/// The daemon in one look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// The name this user has claimed.
    pub name: Option<String>,
    /// The fingerprint of this user's identity key.
    pub identity: String,
    /// This machine's name.
    pub device: String,
    /// The server's address.
    pub server: Option<String>,
    /// Whether the server knows this daemon right now.
    pub registered: bool,
    /// Why not, if there is a reason.
    pub registration_error: Option<String>,
    /// The transfers under way.
    pub transfers: Vec<TransferView>,
    /// How many requests wait for an answer.
    pub requests: u64,
    /// Where received files go unless told otherwise.
    pub received_dir: WirePath,
    /// Whether contacts on the same network find this machine, and are found, without a server.
    #[serde(default)]
    pub lan_discovery: bool,
    /// What a person should know, a sentence each.
    pub warnings: Vec<String>,
    /// The daemon's version.
    pub version: String,
    /// The daemon's process id.
    pub pid: u32,
}

/// Everything, as [`Event::State`](super::Event::State) carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateView {
    /// The daemon in one look.
    pub status: StatusView,
    /// Transfers under way and those that ended a short while ago.
    pub transfers: Vec<TransferView>,
    /// The requests that wait for an answer.
    pub requests: Vec<RequestView>,
    /// Everybody who is pinned.
    pub contacts: Vec<ContactView>,
    /// Every setting.
    #[serde(default)]
    pub settings: Vec<Setting>,
}

/// One transfer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferView {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Which way it goes.
    pub direction: Direction,
    /// The other person's name.
    pub peer: String,
    /// How far it is.
    pub state: TransferState,
    /// The first top-level names, for people.
    pub label: String,
    /// The text that it is, which also arrives as a file; the sender's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Files in all, or so far if not `total_known`.
    pub files: u64,
    /// Files that were delivered.
    pub files_done: u64,
    /// Bytes in all, or so far if not `total_known`.
    pub bytes: u64,
    /// Bytes that were delivered.
    pub bytes_done: u64,
    /// Of the files that were delivered, those that an earlier transfer had brought already.
    #[serde(default)]
    pub files_there: u64,
    /// Bytes of these.
    #[serde(default)]
    pub bytes_there: u64,
    /// Of the files that were delivered, those that replaced what an earlier transfer had brought.
    #[serde(default)]
    pub files_replaced: u64,
    /// Of those that were to replace such, the ones that lie beside it: it has been altered there, or
    /// may not be replaced.
    #[serde(default)]
    pub files_beside: u64,
    /// Bytes of content that were handed to links since the daemon was started, those that were sent
    /// again included.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Bytes of content that links have brought, those that came again included.
    #[serde(default)]
    pub received_bytes: u64,
    /// Whether the sender has walked to the end of what it sends.
    pub total_known: bool,
    /// Whether it is to replace what was sent before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub update: bool,
    /// The most bytes per second that this side sends of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The rate at present.
    pub rate: u64,
    /// The best link in use; at the end, the one that carried most.
    pub link: Option<LinkKind>,
    /// How many bytes each kind of link has carried.
    pub links: BTreeMap<LinkKind, u64>,
    /// How long it has been active, without waiting.
    pub seconds: f64,
    /// When it was asked for.
    pub started_at: u64,
    /// What it waits for.
    pub detail: Option<String>,
    /// Why it goes through the relay, or would, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_relayed: Option<WhyRelayed>,
    /// Why it failed.
    pub error: Option<ControlError>,
    /// What stands in the way of one that is queued or paused, if anything does.
    #[serde(default)]
    pub reason: Option<ControlError>,
    /// When one that is queued or paused is tried again if nothing else wakes it before.
    #[serde(default)]
    pub next_try: Option<u64>,
    /// The files that failed while the rest went on; the first 100, and in lists and events the first
    /// 3 with their texts shortened.
    pub failures: Vec<FileFailure>,
    /// How many more failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures_more: u64,
    /// What could not be kept, at the other side or here; one of each kind, with fewer examples in
    /// lists and events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<LossView>,
    /// Where it is received.
    pub dest: Option<WirePath>,
    /// The files and folders on this machine: what is sent, or what has arrived, under the name that
    /// it got. The first at the top level, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<WirePath>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Which way a transfer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Direction {
    Outgoing,
    Incoming,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// The other person is not reachable, or others go first.
    Queued,
    /// It was asked for and not answered yet.
    Waiting,
    /// Data moves.
    Active,
    /// It had begun, and the other person went away or has no room; it goes on by itself.
    Paused,
    /// Everything was verified and stored.
    Done,
    /// It ended with an error.
    Failed,
    /// The receiver did not want it.
    Declined,
    /// Somebody stopped it.
    Cancelled,
}

impl TransferState {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Declined | Self::Cancelled)
    }
}

/// A file that did not arrive although its transfer went on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFailure {
    /// The file, relative to what was sent.
    pub path: String,
    /// Why.
    pub message: String,
}

/// What would be sent, by kind, and what would not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyView {
    /// Files.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Folders.
    pub folders: u64,
    /// Symbolic links, which are sent as such, and further names of files.
    pub links: u64,
    /// How much is left out as the user wished; a folder counts once, whatever is in it.
    pub excluded: u64,
    /// The first 100 of these, as they are called on this machine.
    pub excluded_paths: Vec<WirePath>,
    /// How much cannot be sent.
    pub skipped: u64,
    /// The first 100 of these, and why.
    pub skips: Vec<FileFailure>,
}

/// Somebody wants to send something and waits for an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestView {
    /// What `accept` and `decline` take.
    pub id: String,
    /// The sender's name.
    pub from: String,
    /// The fingerprint of the sender's identity key.
    pub identity: String,
    /// Whether the sender is a contact.
    pub known: bool,
    /// Whether their safety phrase was compared.
    pub verified: bool,
    /// The sender's machine.
    pub device: String,
    /// Files in all, or so far if not `total_known`.
    pub files: u64,
    /// Bytes in all, or so far if not `total_known`.
    pub bytes: u64,
    /// Whether the sender has walked to the end of what it offers.
    pub total_known: bool,
    /// The first top-level names, at most 10.
    pub names: Vec<String>,
    /// The text that it is, if it is one; the sender's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether it is to replace what was sent before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub update: bool,
    /// When it came.
    pub received_at: u64,
}

impl RequestView {
    /// How much it offers, for whoever shows it.
    #[must_use]
    pub fn offer(&self) -> Offer {
        Offer { files: self.files, bytes: self.bytes, total_known: self.total_known }
    }
}

/// How much a request offers. Its sender may say so anew until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// As of [`RequestView`].
    pub files: u64,
    /// As of [`RequestView`].
    pub bytes: u64,
    /// As of [`RequestView`].
    pub total_known: bool,
}

impl Offer {
    /// Whether whoever agreed to this has agreed to `other`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_open = !other.total_known && self.total_known;
        !is_open && other.files <= self.files && other.bytes <= self.bytes
    }
}

/// A part of a request's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestPage {
    /// The entries that were asked for, as far as they are known.
    pub entries: Vec<EntryView>,
    /// How many entries are known in all.
    pub total: u64,
    /// Whether the manifest is known to its end.
    pub complete: bool,
}

/// One entry of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryView {
    /// Where it would be, relative to the destination.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its size; 0 for what is no file.
    pub size: u64,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum EntryKind {
    File,
    Dir,
    Symlink,
}

/// One person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContactView {
    /// Their name at the server.
    pub name: String,
    /// The server where they have that name.
    pub server: Option<String>,
    /// The fingerprint of their pinned identity key.
    pub identity: String,
    /// Whether their safety phrase was compared.
    pub verified: bool,
    /// What happens to their transfers.
    pub accept: Accept,
    /// Where their files go, if not to the general folder.
    pub dir: Option<WirePath>,
    /// Most bytes a transfer of theirs may have.
    pub max_size: Option<u64>,
    /// Whether they may replace what they sent before.
    #[serde(default)]
    pub overwrite: bool,
    /// Whether they are connected; unknown unless both are contacts of each other.
    pub online: Option<bool>,
    /// Whether their machine has answered on a network that this one is on, a moment ago.
    #[serde(default)]
    pub near: bool,
    /// What two people compare to be sure of each other.
    pub safety_phrase: Option<String>,
    /// What is wrong, for instance another key that claimed to be them.
    pub warning: Option<String>,
}

impl ContactView {
    /// Whether they are known to be where they can be sent something now.
    pub fn is_reachable(&self) -> bool {
        self.near || self.online == Some(true)
    }
}

/// What happens to somebody's transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// They are taken at once.
    Always,
    /// They wait until this user answers.
    Ask,
    /// They are refused at once.
    Never,
}
