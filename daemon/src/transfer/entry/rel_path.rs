//! A file path below a transfer's destination, safe by construction.

use std::fmt::{self, Write as _};

/// The longest path, in bytes, separators included.
pub const MAX_PATH: usize = 4096;
/// The longest component, in bytes.
pub const MAX_COMPONENT: usize = 255;
/// The most components a path may have.
pub const MAX_DEPTH: usize = 128;
/// How the names of our own hidden folders in a destination begin; no entry may be called so.
pub const PARTIAL_PREFIX: &str = ".filefleet-partial-";

/// One to [`MAX_DEPTH`] names that lead from the destination down to an entry.
///
/// Names are bytes. None is empty, `.`, `..`, longer than [`MAX_COMPONENT`], or holds a NUL or a
/// separator, so a value of this type cannot leave the folder it is applied to, unless a symbolic
/// link is followed on the way. `Display` escapes whatever could mislead a reader.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(
    /// The names, joined by `/`: canonical, for no name holds one.
    Box<[u8]>,
);

/// Why bytes are no acceptable path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path or one of its names is empty, as in `/etc/x` and `a//b`.
    #[error("the file path is absolute or has an empty name in it")]
    Empty,
    /// The path is longer than [`MAX_PATH`].
    #[error("the file path is longer than {MAX_PATH} bytes")]
    TooLong,
    /// The path has more than [`MAX_DEPTH`] names.
    #[error("the file path is more than {MAX_DEPTH} folders deep")]
    TooDeep,
    /// A name is longer than [`MAX_COMPONENT`].
    #[error("a name in the file path is longer than {MAX_COMPONENT} bytes")]
    NameTooLong,
    /// A name is `.` or `..`.
    #[error("the file path has \".\" or \"..\" in it")]
    Relative,
    /// A name holds a NUL or a separator.
    #[error("a name in the file path holds a NUL or a separator")]
    Separator,
    /// A name is one of ours or, on Windows, one of the system's.
    #[error("a name in the file path is reserved")]
    Reserved,
    /// A name is not Unicode on a system whose names are.
    #[error("a name in the file path is not valid Unicode")]
    NotUnicode,
}

impl RelPath {
    /// A path of these names, from the top.
    pub fn new<C: AsRef<[u8]>>(components: impl IntoIterator<Item = C>) -> Result<Self, PathError> {
        let mut joined = Vec::new();
        for (depth, component) in components.into_iter().enumerate() {
            let name = component.as_ref();
            if name.contains(&b'/') {
                return Err(PathError::Separator);
            }
            if depth > 0 {
                joined.push(b'/');
            }
            joined.extend_from_slice(name);
            if joined.len() > MAX_PATH {
                return Err(PathError::TooLong);
            }
        }
        Self::decode(&joined)
    }

    /// A path from its encoded form: its names joined by `/`.
    pub fn decode(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        for (depth, name) in bytes.split(|&byte| byte == b'/').enumerate() {
            if depth == MAX_DEPTH {
                return Err(PathError::TooDeep);
            }
            check_name(name)?;
            if depth == 0 && begins_like_a_partial_folder(name) {
                return Err(PathError::Reserved);
            }
        }
        Ok(Self(bytes.into()))
    }

    /// The encoded form: at most [`MAX_PATH`] bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The names, from the top.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/')
    }

    /// The first name: the entry itself or the folder that all of a tree lies in.
    #[must_use]
    pub fn top(&self) -> &[u8] {
        self.components().next().unwrap_or_default()
    }

    /// The last name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.components().next_back().unwrap_or_default()
    }

    /// The path of something called `name` in this folder.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        Self::new(self.components().chain([name]))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_quoted(f, &self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Writes `bytes` as one line that shows what is there: control, invisible and direction-changing
/// characters, bytes that are no UTF-8, quotes and backslashes are escaped.
fn write_quoted(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                // ZERO WIDTH JOINER holds emoji together.
                '\u{200d}' | '\'' => f.write_char(character)?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

fn check_name(name: &[u8]) -> Result<(), PathError> {
    if name.is_empty() {
        return Err(PathError::Empty);
    }
    if name.len() > MAX_COMPONENT {
        return Err(PathError::NameTooLong);
    }
    if name == b"." || name == b".." {
        return Err(PathError::Relative);
    }
    if name.contains(&0) {
        return Err(PathError::Separator);
    }
    if cfg!(windows) { check_windows_name(name) } else { Ok(()) }
}

/// Compared without case, for some file systems do.
fn begins_like_a_partial_folder(name: &[u8]) -> bool {
    name.get(..PARTIAL_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PARTIAL_PREFIX.as_bytes()))
}

/// What Windows would read as something other than a plain name: other separators, streams,
/// devices, wildcards, and the trailing dots and spaces that it drops.
fn check_windows_name(name: &[u8]) -> Result<(), PathError> {
    let name = str::from_utf8(name).map_err(|_| PathError::NotUnicode)?;
    if name.contains(['\\', ':']) {
        return Err(PathError::Separator);
    }
    let forbidden = |character: char| character < ' ' || "<>\"|?*".contains(character);
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    if name.contains(forbidden) || name.ends_with(['.', ' ']) || is_windows_device(stem) {
        return Err(PathError::Reserved);
    }
    Ok(())
}

fn is_windows_device(stem: &str) -> bool {
    const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
    const PORT_NUMBERS: &str = "0123456789¹²³";
    let stem = stem.to_ascii_uppercase();
    let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let mut number = port.unwrap_or_default().chars();
    DEVICES.contains(&stem.as_str())
        || matches!((number.next(), number.next()), (Some(digit), None) if PORT_NUMBERS.contains(digit))
}

#[cfg(test)]
mod tests;
