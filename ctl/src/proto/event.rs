//! What the daemon tells those who watch.

use serde::{Deserialize, Serialize};

use super::{ContactView, LinkEvent, RequestView, Setting, StateView, TransferView};

/// A change of what the daemon knows; each view replaces the one with the same id or name.
#[allow(clippy::large_enum_variant, reason = "most events are transfers, which are the largest")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "most events are transfers, and they pass one by one"
)]
pub enum Event {
    /// Everything as it stands; first after [`Call::Watch`](super::Call::Watch).
    State(Box<StateView>),
    /// A transfer began, moved on or ended; [briefly](TransferView::brief).
    Transfer(TransferView),
    /// A link with somebody came up, went away, or became the one in use.
    Link(LinkEvent),
    /// A request waits for an answer, or more of it is known.
    Request(RequestView),
    /// A request waits no more.
    RequestGone {
        /// The request's id.
        id: String,
    },
    /// A contact is new or changed, or came or went.
    Contact(ContactView),
    /// A contact was removed.
    ContactGone {
        /// The contact's name.
        name: String,
    },
    /// The registration at the server changed.
    Registration {
        /// The name this user has claimed.
        name: Option<String>,
        /// The server's address.
        server: Option<String>,
        /// Whether the server knows this daemon right now.
        registered: bool,
        /// Why not, if there is a reason.
        error: Option<String>,
    },
    /// A setting changed.
    Setting(Setting),
    /// Something a person should know.
    Warning {
        /// One sentence.
        message: String,
    },
}

impl Event {
    /// The kinds of event that this version knows, as they are on the wire.
    pub(super) const KINDS: [&str; 10] = [
        "state",
        "transfer",
        "link",
        "request",
        "request_gone",
        "contact",
        "contact_gone",
        "registration",
        "setting",
        "warning",
    ];
}
