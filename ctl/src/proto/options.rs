//! How something is to be sent.

use serde::{Deserialize, Serialize};

/// The least that [`SendOptions::limit`] may be, in bytes per second: with less, a block of 1 MiB
/// would be under way for longer than a receiver waits for it.
pub const MIN_LIMIT: u64 = 64 << 10;

/// The most bytes of a text that is sent as such; a longer one is sent as any file.
pub const MAX_TEXT: usize = 16 << 10;

/// What a user says about how something is sent; what is not said has its usual value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SendOptions {
    /// Globs of what is left out below the folders that are sent. One without a slash is compared
    /// with the names of entries, one with a slash with their paths below the folder that was named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// The most bytes of content that are sent per second, at least [`MIN_LIMIT`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Compare what was sent before by its content, not by size and time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub checksum: bool,
    /// Replace what was sent before and differs, where the receiver lets this contact do so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub update: bool,
    /// Send extended attributes, those of the namespace `user`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub xattrs: bool,
}
