//! The control protocol: one JSON object a line, over the user's own local socket.
//!
//! The daemon speaks first, with [`Hello`]. From then on a client sends [`Request`]s and the daemon
//! answers each with a [`Response`] of the same id. After [`Call::Watch`] the daemon also sends
//! [`Event`]s: [`Event::State`] first, which is everything, then changes.
//!
//! What the daemon sends is a [`Message`], told apart by its `type`:
//!
//! ```json
//! {"type":"hello","version":1,"daemon":"0.1.0","pid":4711}
//! {"type":"response","id":1,"result":{"ok":{"reply":"done"}}}
//! {"type":"event","event":"request_gone","data":{"id":"…"}}
//! ```
//!
//! Names, file names and messages in views are text as their owners wrote it. Whoever puts them on
//! a screen passes them through [`text`](crate::text).

mod brief;
pub mod chunk;
mod doctor;
mod error;
mod event;
pub mod frame;
mod link;
mod loss;
mod options;
mod reply;
mod request;
mod view;
mod wire_path;

use serde::{Deserialize, Serialize};

pub use doctor::{
    Check, DoctorView, Finding, Ipv6, Level, NatFiltering, NatKind, NatMapping, NetworkView,
};
pub use error::{ControlError, ErrorCode};
pub use event::Event;
pub use link::{LinkChange, LinkEvent, LinkKind, LinkLoss, RelayedCode, WhyRelayed};
pub use loss::{LossExample, LossKind, LossView};
pub use options::{MAX_TEXT, MIN_LIMIT, SendOptions};
pub use reply::{Reply, Setting};
pub use request::{Call, Change, Passphrase, Request};
pub use view::{
    Accept, ContactView, Direction, EntryKind, EntryView, FileFailure, Offer, RequestPage,
    RequestView, StateView, StatusView, SurveyView, TransferState, TransferView,
};
pub use wire_path::WirePath;

/// The version of this protocol. A client and a daemon that disagree do not talk.
pub const VERSION: u32 = 1;

/// Most entries a client may ask for with one [`Call::RequestShow`].
pub const MAX_PAGE: u64 = 500;

/// What the daemon says first on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol's version, [`VERSION`].
    pub version: u32,
    /// The daemon's own version, for people.
    pub daemon: String,
    /// The daemon's process id.
    pub pid: u32,
}

impl Hello {
    /// The hello of this process, whose program has the version `daemon`.
    pub fn new(daemon: &str) -> Self {
        Self { version: VERSION, daemon: daemon.to_owned(), pid: std::process::id() }
    }
}

/// The answer to the request with the same id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The request's id; 0 answers a line that was no request.
    pub id: u64,
    /// What came of it.
    #[serde(with = "Outcome")]
    pub result: Result<Reply, ControlError>,
}

/// How a result looks on the wire: `{"ok":…}` or `{"error":…}`.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Result<Reply, ControlError>", rename_all = "snake_case")]
enum Outcome {
    Ok(Reply),
    #[serde(rename = "error")]
    Err(ControlError),
}

/// Any line that the daemon sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "most messages are events, and they pass one by one")]
pub enum Message {
    /// The first line.
    Hello(Hello),
    /// The answer to a request.
    Response(Response),
    /// A change, for those who watch.
    Event(Event),
}

impl Message {
    /// Reads one line from the daemon. `Ok(None)` is a message or an event of a kind that this
    /// program does not know: it is to be skipped.
    pub fn decode(line: &[u8]) -> serde_json::Result<Option<Self>> {
        match serde_json::from_slice(line) {
            Ok(message) => Ok(Some(message)),
            Err(error) => match serde_json::from_slice::<Kind>(line) {
                Ok(kind) if kind.is_unknown() => Ok(None),
                _ => Err(error),
            },
        }
    }
}

/// The tags of a message, whatever else is in it.
#[derive(Deserialize)]
struct Kind {
    r#type: String,
    event: Option<String>,
}

impl Kind {
    fn is_unknown(&self) -> bool {
        match self.r#type.as_str() {
            "hello" | "response" => false,
            "event" => self.event.as_deref().is_some_and(|event| !Event::KINDS.contains(&event)),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
