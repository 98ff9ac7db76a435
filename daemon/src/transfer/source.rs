//! What is sent: the files and folders that the user named, walked lazily and read block by block.
//!
//! [`Source::walk`] gives manifest entries; [`Source::open`] finds an entry's file again by its
//! path alone, so nothing need be kept per entry. Symbolic links are sent as links: neither the
//! walk nor an open follows one below what the user named, even if it was put there in between.
//! All calls block; nothing here knows of peers or the network.

mod exclude;
mod file;
mod tally;
mod walk;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use exclude::{Excludes, GlobError};
pub use file::{Change, SourceFile};
pub use tally::Tally;
pub use walk::{SkipReason, Skipped, Walk};

use super::entry::{PathError, RelPath};
use super::folder::{Folder, Trail, name_bytes, to_path};

/// The files and folders of one outgoing transfer.
#[derive(Debug)]
pub struct Source {
    /// What the user named, in his order.
    roots: Arc<[Root]>,
    by_name: HashMap<RelPath, usize>,
    excludes: Arc<Excludes>,
    /// Whether extended attributes are sent.
    xattrs: bool,
    nearby: Mutex<Nearby>,
}

/// One thing that the user named.
#[derive(Debug)]
struct Root {
    /// Its name: the top of all its entries' paths.
    top: RelPath,
    name: OsString,
    /// The folder it lies in.
    parent: PathBuf,
}

/// The folders around the file that was opened last.
#[derive(Debug, Default)]
struct Nearby {
    base: Option<(usize, Arc<Folder>)>,
    trail: Trail,
}

/// Why something cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Nothing was named.
    #[error("nothing to send")]
    Nothing,
    /// The file or folder does not exist (any more).
    #[error("no such file or folder: {0:?}")]
    NotFound(PathBuf),
    /// We may not read it.
    #[error("no permission to read {0:?}")]
    PermissionDenied(PathBuf),
    /// Two of the named files or folders have the same name.
    #[error("two of the files have the same name: {0:?}")]
    SameName(OsString),
    /// A path without a name, such as `/`.
    #[error("{0:?} has no name to send it under")]
    NoName(PathBuf),
    /// Its name cannot be sent.
    #[error("the name of {0:?} cannot be sent")]
    BadName(PathBuf, #[source] PathError),
    /// It is something else than a file, folder or link, or became so.
    #[error("{0:?} is not a file")]
    NotAFile(PathBuf),
    /// The file ended early while it was read.
    #[error("the file became shorter while it was read")]
    Shrunk,
    /// Anything else.
    #[error("cannot read {0:?}")]
    Io(PathBuf, #[source] io::Error),
}

impl Source {
    /// Looks at what the user named. Fails if anything is missing or two things have one name.
    pub fn new(paths: &[PathBuf]) -> Result<Self, SourceError> {
        if paths.is_empty() {
            return Err(SourceError::Nothing);
        }
        let roots: Arc<[Root]> =
            paths.iter().map(|path| Root::new(path)).collect::<Result<_, _>>()?;
        let mut by_name = HashMap::new();
        for (index, root) in roots.iter().enumerate() {
            if by_name.insert(root.top.clone(), index).is_some() {
                return Err(SourceError::SameName(root.name.clone()));
            }
        }
        let (excludes, nearby) = (Arc::default(), Mutex::default());
        Ok(Self { roots, by_name, excludes, xattrs: false, nearby })
    }

    /// The same, but for what is left out.
    #[must_use]
    pub fn without(self, excludes: Excludes) -> Self {
        Self { excludes: Arc::new(excludes), ..self }
    }

    /// The same, and extended attributes too if they are `wanted`.
    #[must_use]
    pub fn with_attributes(self, wanted: bool) -> Self {
        Self { xattrs: wanted, ..self }
    }

    /// The entries, read as they are asked for: folders before what is in them.
    #[must_use]
    pub fn walk(&self) -> Walk {
        Walk::new(Arc::clone(&self.roots), Arc::clone(&self.excludes), self.xattrs)
    }

    /// Opens the file that the walk gave as `path`.
    pub fn open(&self, path: &RelPath) -> Result<SourceFile, SourceError> {
        let error = |error| SourceError::of(self.locate(path), error);
        let parent = self.parent_of(path).map_err(error)?;
        SourceFile::open(parent, path.name(), self.xattrs).map_err(error)
    }

    /// Where the entry `path` lies on this machine, for messages.
    #[must_use]
    pub fn locate(&self, path: &RelPath) -> PathBuf {
        self.root_of(path).map_or_else(PathBuf::new, |(_, root)| root.locate(path))
    }

    fn root_of(&self, path: &RelPath) -> Option<(usize, &Root)> {
        let top = RelPath::new([path.top()]).ok()?;
        let index = *self.by_name.get(&top)?;
        Some((index, self.roots.get(index)?))
    }

    /// The open folder in which the entry `path` lies.
    fn parent_of(&self, path: &RelPath) -> io::Result<Arc<Folder>> {
        let (index, root) = self.root_of(path).ok_or(ErrorKind::NotFound)?;
        let mut nearby = self.nearby.lock().unwrap_or_else(PoisonError::into_inner);
        let base = match &nearby.base {
            Some((known, base)) if *known == index => Arc::clone(base),
            _ => {
                nearby.trail.clear();
                let base = Arc::new(Folder::open(&root.parent)?);
                nearby.base = Some((index, Arc::clone(&base)));
                base
            }
        };
        let depth = path.components().count() - 1;
        nearby.trail.descend(&base, path.components().take(depth), |_, parent, name| {
            parent.open_folder(name)
        })
    }
}

impl Root {
    fn new(path: &Path) -> Result<Self, SourceError> {
        let wrap = |error| SourceError::of(path.to_path_buf(), error);
        path.symlink_metadata().map_err(wrap)?;
        // `.` and `..` have a name only once they are resolved.
        let absolute = match path.file_name() {
            Some(_) => std::path::absolute(path),
            None => path.canonicalize(),
        };
        let absolute = absolute.map_err(wrap)?;
        let (Some(name), Some(parent)) = (absolute.file_name(), absolute.parent()) else {
            return Err(SourceError::NoName(path.to_path_buf()));
        };
        let top = RelPath::new([name_bytes(name)])
            .map_err(|error| SourceError::BadName(path.to_path_buf(), error))?;
        Ok(Self { top, name: name.to_os_string(), parent: parent.to_path_buf() })
    }

    /// Where the entry `path` below this lies.
    fn locate(&self, path: &RelPath) -> PathBuf {
        let names = path.components().map(to_path);
        names.fold(self.parent.clone(), |parent, name| parent.join(name))
    }
}

impl SourceError {
    fn of(file_path: PathBuf, error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::NotFound(file_path),
            ErrorKind::PermissionDenied => Self::PermissionDenied(file_path),
            ErrorKind::InvalidInput | ErrorKind::IsADirectory => Self::NotAFile(file_path),
            ErrorKind::UnexpectedEof => Self::Shrunk,
            _ => Self::Io(file_path, error),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
