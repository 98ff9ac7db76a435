//! What an examination of the network has found.

use serde::{Deserialize, Serialize};

/// What `ffctl doctor` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoctorView {
    /// What was looked at, in the order in which it matters.
    pub findings: Vec<Finding>,
    /// What to expect of sending, in one sentence.
    pub outlook: String,
    /// The same for programs.
    pub network: NetworkView,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub check: Check,
    /// How it is.
    pub level: Level,
    /// What was found, and what it means: one sentence.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Whether the server's name has an address.
    Resolution,
    /// Whether the server answers by UDP.
    Udp,
    /// Whether the server takes TLS over TCP, which serves where UDP is blocked.
    Tcp,
    /// Whether the server has the key that it should have.
    Certificate,
    /// Whether the server knows this daemon.
    Registration,
    /// Whether the server's relay answers by UDP.
    Relay,
    /// How long a packet to the server and back takes.
    RoundTrip,
    /// How far this machine's clock is from the server's.
    Clock,
    /// The address under which others see this machine.
    Address,
    /// What the NAT between this machine and others does.
    Nat,
    /// Whether the router has opened a port.
    PortMapping,
    /// Whether there is IPv6.
    Ipv6,
    /// Something that a newer daemon looks at.
    #[serde(other)]
    Other,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could.
    Warn,
    /// Something does not work.
    Problem,
}

/// What is known of the network; nothing where it could not be found out. Durations are seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkView {
    /// The kind of the NAT.
    pub nat: Option<NatKind>,
    /// Whether others see this machine at one address.
    pub mapping: Option<NatMapping>,
    /// What may come in.
    pub filtering: Option<NatFiltering>,
    /// Under which addresses the server sees this machine's main socket.
    pub public: Vec<String>,
    /// The address that the router has given this machine.
    pub mapped: Option<String>,
    /// Whether the server answers by UDP.
    pub udp: Option<bool>,
    /// Whether the server takes TLS over TCP.
    pub tcp: Option<bool>,
    /// How far IPv6 goes.
    pub ipv6: Option<Ipv6>,
    /// The round trip to the server.
    pub round_trip: Option<f64>,
    /// How much the server's clock is ahead of this machine's.
    pub clock_offset: Option<f64>,
}

/// NATs, as games consoles tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NatKind {
    /// The machine's own address is public.
    None,
    /// One mapping, which addresses that were sent nothing may use.
    Open,
    /// One mapping, and only who was sent something may use it.
    Moderate,
    /// A mapping for each destination.
    Strict,
}

/// Whether the address that others see depends on who they are (RFC 4787 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NatMapping {
    /// All see the same.
    Independent,
    /// Each sees another.
    Dependent,
}

/// Who may use a mapping (RFC 4787 section 5), as far as one server can find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NatFiltering {
    /// Ports, too, that were sent nothing.
    PortIndependent,
    /// Only addresses and ports that were sent something.
    PortDependent,
}

/// How far IPv6 goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ipv6 {
    /// The machine has no public address.
    None,
    /// It has one, and whether it works was not found out: the server has none.
    Unproven,
    /// It has one, and the server does not answer there.
    Broken,
    /// The server answers.
    Works,
}

impl DoctorView {
    /// The worst of the findings.
    pub fn level(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}
