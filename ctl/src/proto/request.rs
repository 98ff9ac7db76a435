//! What a client asks of the daemon.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Accept, Offer, SendOptions, WirePath};

/// One request: `{"id":1,"method":"send","params":{…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the client, said again in the response; not 0.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub call: Call,
}

/// Every operation of the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub enum Call {
    /// How things stand: [`Reply::Status`](super::Reply::Status).
    Status,
    /// Look at the network and at the way to the server: `Reply::Doctor`, after some seconds.
    Doctor,
    /// Claim a name at a server and stay registered there: `Reply::Done` once registered.
    Register {
        /// The name to claim.
        name: String,
        /// `HOST[:PORT][#FINGERPRINT]`.
        server: String,
    },
    /// Send files and folders, now or when the receiver is there: `Reply::SendStarted` at once.
    Send {
        /// The receiver's name.
        to: String,
        /// Absolute; symbolic links are not resolved.
        paths: Vec<WirePath>,
        /// Fail if the receiver cannot be reached at first, instead of waiting for that.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        no_queue: bool,
        /// How it is sent.
        #[serde(flatten)]
        options: SendOptions,
    },
    /// Send what follows, as a file: `Reply::Ready`, then the client's bytes as [`chunk`](super::chunk)s
    /// on the same connection, then `Reply::SendStarted` once the daemon has them all on its disk.
    SendStream {
        /// The receiver's name.
        to: String,
        /// What the file is called, without a folder.
        name: String,
        /// See `Send`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        no_queue: bool,
        /// How it is sent.
        #[serde(flatten)]
        options: SendOptions,
    },
    /// Send a text, which the receiver is shown and gets as a small file: `Reply::SendStarted`.
    SendText {
        /// The receiver's name.
        to: String,
        /// The text, at most [`MAX_TEXT`](super::MAX_TEXT) bytes.
        text: String,
        /// What the file is called, without a folder.
        name: String,
        /// See `Send`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        no_queue: bool,
        /// How it is sent.
        #[serde(flatten)]
        options: SendOptions,
    },
    /// What `Send` would send, and what it would leave out: `Reply::Survey`. Nobody is asked.
    Survey {
        /// Absolute; symbolic links are not resolved.
        paths: Vec<WirePath>,
        /// How it would be sent.
        #[serde(flatten)]
        options: SendOptions,
    },
    /// The requests that wait for an answer: `Reply::Requests`.
    Requests,
    /// A part of one request's manifest: `Reply::RequestPage`.
    RequestShow {
        /// The request's id.
        id: String,
        /// How many entries to skip.
        offset: u64,
        /// How many to answer, at most [`MAX_PAGE`](super::MAX_PAGE).
        limit: u64,
    },
    /// Take what a request offers: `Reply::Done`.
    Accept {
        /// The request's id.
        id: String,
        /// Where to put it, absolute; the contact's or the general folder without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<WirePath>,
        /// Whether everything that its sender sends is taken from now on, without asking.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        always: bool,
        /// What the person who accepts was shown: if the request offers more by now, it goes on
        /// waiting, and the answer is [`ErrorCode::RequestChanged`](super::ErrorCode). Without,
        /// whatever it offers is taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Offer>,
    },
    /// Refuse a request: `Reply::Done`.
    Decline {
        /// The request's id.
        id: String,
    },
    /// Running transfers: `Reply::Transfers`.
    Transfers {
        /// Finished ones too.
        all: bool,
    },
    /// One transfer, which may have ended: `Reply::Transfer`.
    Transfer {
        /// The transfer's id.
        id: String,
    },
    /// Stop a transfer on both sides: `Reply::Done`.
    Cancel {
        /// The transfer's id.
        id: String,
    },
    /// Send again what was to be sent and has not arrived, to the same person: `Reply::SendStarted`
    /// with the id of a new transfer.
    Retry {
        /// The id of the transfer that has ended.
        id: String,
    },
    /// A link that introduces this user: `Reply::Invite`.
    Invite,
    /// Pin the person whom an invitation names: `Reply::Contact`.
    ContactAdd {
        /// What `ffctl invite` printed.
        link: String,
    },
    /// Everybody who is pinned: `Reply::Contacts`.
    Contacts,
    /// One contact, with fingerprint and safety phrase: `Reply::Contact`.
    ContactShow {
        /// The contact's name.
        name: String,
    },
    /// Remember that the safety phrase was compared: `Reply::Contact`.
    ContactVerify {
        /// The contact's name.
        name: String,
    },
    /// Change what a contact may do; somebody never met is looked up and pinned: `Reply::Contact`.
    ContactSet {
        /// The contact's name.
        name: String,
        /// What happens to their transfers; unchanged without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accept: Option<Accept>,
        /// Where their files go, absolute; cleared, to the general folder.
        #[serde(default, skip_serializing_if = "Change::is_keep")]
        dir: Change<WirePath>,
        /// Most bytes a transfer of theirs may have; cleared, no bound of their own.
        #[serde(default, skip_serializing_if = "Change::is_keep")]
        max_size: Change<u64>,
        /// Whether they may replace what they sent before; unchanged without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overwrite: Option<bool>,
    },
    /// Forget a contact, pin and all: `Reply::Done`.
    ContactRemove {
        /// The contact's name.
        name: String,
    },
    /// This user's identity, encrypted: `Reply::Identity`.
    IdentityExport {
        /// What it is encrypted with.
        passphrase: Passphrase,
    },
    /// Become the identity that was exported: `Reply::Done`.
    IdentityImport {
        /// What `IdentityExport` answered.
        pem: String,
        /// What it was encrypted with.
        passphrase: Passphrase,
    },
    /// One setting: `Reply::Setting`.
    ConfigGet {
        /// The setting's name.
        key: String,
    },
    /// Change a setting: `Reply::Setting`, with the value as it is now.
    ConfigSet {
        /// The setting's name.
        key: String,
        /// Its new value, written as in the settings file.
        value: String,
    },
    /// Every setting: `Reply::Settings`.
    ConfigList,
    /// Events from now on: `Reply::Done`, then `Event::State`, then changes.
    Watch,
    /// Stop the daemon, gracefully: `Reply::Done`, then the connection closes.
    Shutdown,
}

/// What happens to an optional setting: absent, `null` or a value on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is not set any more.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<T> Change<T> {
    /// Whether nothing changes.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// Applies the change.
    pub fn apply(self, setting: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *setting = None,
            Self::Set(value) => *setting = Some(value),
        }
    }
}

impl<T: Serialize> Serialize for Change<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Clear => serializer.serialize_none(),
            Self::Set(value) => serializer.serialize_some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

/// A passphrase on its way to the daemon; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Passphrase(String);

impl Passphrase {
    /// Wraps the text that a person typed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, never to be logged.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}
