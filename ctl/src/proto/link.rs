//! How two daemons are joined, why not better, and what changes about it.

use serde::{Deserialize, Serialize};

/// How two daemons are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// On a shared network.
    Lan,
    /// From address to address, through NATs if need be.
    Direct,
    /// Through the server, which sees ciphertext only.
    Relayed,
}

/// Why a transfer goes through the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyRelayed {
    /// For programs.
    pub code: RelayedCode,
    /// For people: one sentence.
    pub message: String,
}

/// Why a transfer goes through the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayedCode {
    /// Nobody learns an address of somebody who has not accepted them.
    NotAcceptedYet,
    /// No UDP leaves this machine's network.
    UdpBlocked,
    /// A direct path is being looked for.
    Searching,
    /// The ports of a NAT are being guessed.
    GuessingPorts,
    /// Both are behind the same router, which keeps them apart.
    LanIsolated,
    /// No direct path was found.
    NoPath,
    /// There is a direct link, and the relayed one is faster.
    DirectSlower,
    /// There is a direct link, and nothing comes in over it.
    DirectSilent,
    /// A reason of a newer daemon.
    #[serde(other)]
    Other,
}

/// Something has changed about the links with somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkEvent {
    /// Their name.
    pub peer: String,
    /// What has happened.
    pub change: LinkChange,
    /// To a link of this kind.
    pub kind: LinkKind,
    /// Why a link was lost, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<LinkLoss>,
    /// Why the link in use is the relayed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_relayed: Option<WhyRelayed>,
}

/// What can happen to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkChange {
    /// It came up.
    Joined,
    /// It is no more.
    Lost,
    /// New data goes over it from now on.
    InUse,
}

/// Why a link is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkLoss {
    /// Nothing came in over it any more.
    Silent,
    /// Others are better, and it was not needed.
    Surplus,
    /// The other side closed it.
    ClosedByPeer,
    /// It broke.
    Broken,
    /// All links ended: there was nothing more to say, or the other side went away.
    SessionOver,
    /// A reason of a newer daemon.
    #[serde(other)]
    Other,
}
