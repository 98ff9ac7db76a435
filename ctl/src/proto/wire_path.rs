//! File paths in JSON, which knows only Unicode while paths need not be.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// A path on this machine: a JSON string if it is Unicode, else `{"hex":"…"}` with its bytes
/// (on Windows its UTF-16 units, little-endian).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WirePath(pub PathBuf);

impl WirePath {
    /// The path itself.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl From<PathBuf> for WirePath {
    fn from(file_path: PathBuf) -> Self {
        Self(file_path)
    }
}

impl From<&Path> for WirePath {
    fn from(file_path: &Path) -> Self {
        Self(file_path.to_owned())
    }
}

/// Shows the path as [`text::display`] does.
impl fmt::Display for WirePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::display(&self.0.to_string_lossy()).fmt(f)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Repr<'a> {
    Text(std::borrow::Cow<'a, str>),
    Bytes { hex: String },
}

impl Serialize for WirePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => Repr::Text(text.into()),
            None => Repr::Bytes { hex: hex(&os::to_bytes(&self.0)) },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WirePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Repr::deserialize(deserializer)? {
            Repr::Text(text) => Ok(Self(text.into_owned().into())),
            Repr::Bytes { hex } => unhex(&hex)
                .and_then(os::from_bytes)
                .map(Self)
                .ok_or_else(|| D::Error::custom("a path in hex needs whole hexadecimal units")),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |&[high, low]: &[u8; 2]| u8::try_from(digit(high)? << 4 | digit(low)?).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(unix)]
mod os {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    pub(super) fn to_bytes(file_path: &Path) -> Vec<u8> {
        file_path.as_os_str().as_bytes().to_vec()
    }

    #[expect(clippy::unnecessary_wraps, reason = "not every byte string is a path on Windows")]
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
        Some(OsString::from_vec(bytes).into())
    }
}

#[cfg(windows)]
mod os {
    use std::ffi::OsString;
    use std::os::windows::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    pub(super) fn to_bytes(file_path: &Path) -> Vec<u8> {
        file_path.as_os_str().encode_wide().flat_map(u16::to_le_bytes).collect()
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
        let (units, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        rest.is_empty().then(|| OsString::from_wide(&units).into())
    }
}
