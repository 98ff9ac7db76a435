//! What the daemon answers.

use serde::{Deserialize, Serialize};

use super::{
    ContactView, DoctorView, RequestPage, RequestView, StatusView, SurveyView, TransferView,
};

/// The answer to a [`Call`](super::Call) that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "data", rename_all = "snake_case")]
pub enum Reply {
    /// It is done, and there is nothing to say about it.
    Done,
    /// How things stand.
    Status(StatusView),
    /// What an examination of the network has found.
    Doctor(Box<DoctorView>),
    /// The bytes that belong to the call may come now.
    Ready,
    /// A transfer exists from now on.
    SendStarted {
        /// Its id.
        transfer: String,
    },
    /// What would be sent.
    Survey(SurveyView),
    /// The requests that wait for an answer.
    Requests(Vec<RequestView>),
    /// A part of a manifest.
    RequestPage(RequestPage),
    /// Transfers, newest first, each [briefly](TransferView::brief).
    Transfers(Vec<TransferView>),
    /// One transfer, with all that is known of it.
    Transfer(Box<TransferView>),
    /// An invitation.
    Invite {
        /// One link with server, its pin, name and identity.
        link: String,
    },
    /// One contact.
    Contact(ContactView),
    /// Everybody, by name.
    Contacts(Vec<ContactView>),
    /// An identity, encrypted.
    Identity {
        /// PEM text (PKCS #8, encrypted).
        pem: String,
    },
    /// One setting.
    Setting(Setting),
    /// Every setting, by key.
    Settings(Vec<Setting>),
}

/// One setting of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// Its value, written as in the settings file.
    pub value: String,
    /// Whether the value is the built-in one.
    pub is_default: bool,
    /// What it decides: one line for people.
    pub help: String,
}
