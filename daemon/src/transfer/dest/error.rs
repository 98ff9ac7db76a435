//! What can go wrong at the destination, in words that a user can act on.

use std::io::{self, ErrorKind};

use crate::transfer::entry::{PathError, RelPath};

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DestError {
    /// The disk is full.
    #[error("no space is left on the destination's disk")]
    NoSpace,
    /// The user may not store more.
    #[error("the disk quota at the destination is used up")]
    QuotaExceeded,
    /// The file system is mounted read-only.
    #[error("the destination is read-only")]
    ReadOnly,
    /// The folder's permissions do not let us write.
    #[error("no permission to write to the destination folder")]
    PermissionDenied,
    /// The destination folder, or ours in it, is not there (any more).
    #[error("the destination folder does not exist")]
    Vanished,
    /// The destination is something else than a folder.
    #[error("the destination is not a folder")]
    NotAFolder,
    /// The file system does not take files of this size.
    #[error("the file is larger than the destination's file system allows")]
    TooLarge,
    /// The file system does not take this name.
    #[error("the destination's file system does not accept the name")]
    NameRefused,
    /// The system does not take this kind of entry.
    #[error("the destination cannot hold symbolic links")]
    SymlinksUnsupported,
    /// The file system gives a file no further names.
    #[error("the destination cannot hold hard links")]
    HardLinksUnsupported,
    /// Another `Destination` works on the same transfer.
    #[error("this transfer is being received already")]
    InUse,
    /// The peer sent an impossible path or link target.
    #[error(transparent)]
    Unsafe(#[from] PathError),
    /// A file or link stands where a folder must be, or somebody replaced our folder or file.
    #[error("something else is in the way at \"{0}\"")]
    Obstructed(RelPath),
    /// Every name up to `name (9999)` is taken.
    #[error("too many files with the name \"{0}\" exist already")]
    NamesExhausted(RelPath),
    /// One transfer may have so many folders at the top and no more.
    #[error("the transfer has too many folders at the top level")]
    TooManyFolders,
    /// More content came than the file has, or was written at the end than the manifest said.
    #[error("the content does not have the length that was announced")]
    WrongLength,
    /// A file was to be committed whose content never came.
    #[error("the file's content was not received")]
    NotReceived,
    /// Content came for a file that has its final name already.
    #[error("the file is complete already")]
    Sealed,
    /// Something in our hidden partial folder is not what we put there.
    #[error("the hidden folder with the partial data was tampered with")]
    Tampered,
    /// Anything else.
    #[error("the destination cannot be written")]
    Io(#[source] io::Error),
}

impl From<io::Error> for DestError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull => Self::NoSpace,
            ErrorKind::QuotaExceeded => Self::QuotaExceeded,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            ErrorKind::NotFound => Self::Vanished,
            ErrorKind::NotADirectory => Self::NotAFolder,
            ErrorKind::FileTooLarge => Self::TooLarge,
            ErrorKind::InvalidFilename => Self::NameRefused,
            _ => Self::Io(error),
        }
    }
}

impl DestError {
    /// The same failure for another entry.
    pub(super) fn alike(&self) -> Self {
        match self {
            Self::NoSpace => Self::NoSpace,
            Self::QuotaExceeded => Self::QuotaExceeded,
            Self::ReadOnly => Self::ReadOnly,
            Self::Io(error) => Self::of(error),
            other => Self::Io(io::Error::other(other.to_string())),
        }
    }

    /// One failure that many entries share.
    pub(super) fn of(error: &io::Error) -> Self {
        let copy =
            error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        Self::from(copy)
    }
}
