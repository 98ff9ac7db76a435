//! The name a person claims at a server.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A name as it is claimed at a server: `[a-z0-9][a-z0-9._-]{0,31}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The longest name, in bytes.
pub const MAX_LEN: usize = 32;

/// Why a text is no [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 32 of a–z, 0–9, '.', '_' and '-', and starts with a letter or a digit")]
pub struct InvalidName;

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let valid = text.len() <= MAX_LEN
            && text.as_bytes().first().is_some_and(alphanumeric)
            && text.bytes().all(|byte| alphanumeric(&byte) || b"._-".contains(&byte));
        if valid { Ok(Self(text)) } else { Err(InvalidName) }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn accepts_names_of_the_allowed_form() {
        for text in ["a", "0", "bob", "a.b_c-d", &"x".repeat(32)] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in
            ["", "Bob", "-bob", ".x", "_x", "a b", "bob@server", "ä", "a/b", &"x".repeat(33)]
        {
            assert_eq!(text.parse::<Name>(), Err(InvalidName), "{text}");
            let json = serde_json::to_string(text).unwrap();
            assert!(serde_json::from_str::<Name>(&json).is_err());
        }
    }
}
