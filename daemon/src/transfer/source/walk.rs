//! The walk over what is sent: one open folder per level, one entry at a time.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Excludes, Root};
use crate::transfer::entry::{Attributes, Entry, EntryKind, MAX_SHARED, PathError, RelPath};
use crate::transfer::folder::attributes::{self, Found};
use crate::transfer::folder::{FileId, Folder, Kind, Listing, Stat, to_path};
use crate::transfer::loss::{LossKind, Losses, Lost};

/// The entries of a [`Source`](super::Source), in the order in which they are found.
///
/// Something that cannot be sent is an `Err` and the walk goes on. Memory is bounded by the depth
/// of the folders, not their size.
#[derive(Debug)]
pub struct Walk {
    roots: Arc<[Root]>,
    excludes: Arc<Excludes>,
    next_root: usize,
    /// The folders on the way down to where the walk is.
    levels: Vec<Level>,
    shared: Shared,
    /// Whether the attributes of folders are read.
    xattrs: bool,
    /// Bytes of these so far.
    attribute_bytes: usize,
    /// What is known to be lost before anything is sent.
    losses: Losses,
}

/// The most bytes of paths that hard links may have; further ones are sent as files. The receiver keeps
/// them until the end, with the folders and symbolic links, in four times as much.
const MAX_LINK_BYTES: usize = 8 << 20;
/// The most bytes of attributes that folders may have, for the same reason; further ones go without.
const MAX_ATTRIBUTE_BYTES: usize = 8 << 20;

/// Files with several names. One that finds no room is sent under each of its names.
#[derive(Debug, Default)]
struct Shared {
    /// The first name that was met, by what the file is.
    first: HashMap<FileId, RelPath>,
    /// Bytes of paths of the links so far.
    link_bytes: usize,
}

#[derive(Debug)]
struct Level {
    path: RelPath,
    folder: Arc<Folder>,
    names: Listing,
}

/// Something that is not sent.
#[derive(Debug)]
pub struct Skipped {
    /// Where it lies.
    pub file_path: PathBuf,
    /// Where it is, relative to what is sent; of what has no name that could be sent, the folder.
    pub path: RelPath,
    /// Why it is not sent.
    pub reason: SkipReason,
}

/// Why something is not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SkipReason {
    /// The user leaves it out.
    #[error("left out")]
    Excluded,
    /// A socket, pipe or device.
    #[error("not a file, folder or symbolic link")]
    Special,
    /// It lies too deep, or its path or name is too long or cannot be sent.
    #[error(transparent)]
    Path(#[from] PathError),
    /// It cannot be read.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
}

impl Skipped {
    /// Whether the user wishes so; else it is a failure.
    #[must_use]
    pub fn is_excluded(&self) -> bool {
        matches!(self.reason, SkipReason::Excluded)
    }
}

impl Walk {
    pub(super) fn new(roots: Arc<[Root]>, excludes: Arc<Excludes>, xattrs: bool) -> Self {
        Self {
            roots,
            excludes,
            next_root: 0,
            levels: Vec::new(),
            shared: Shared::default(),
            xattrs,
            attribute_bytes: 0,
            losses: Losses::default(),
        }
    }

    /// What is known of the entries so far that is not going to be sent of them.
    pub(in crate::transfer) fn losses(&self) -> &Losses {
        &self.losses
    }

    /// The next of the things that the user named.
    fn step_to_root(&mut self) -> Option<Result<Entry, Skipped>> {
        let roots = Arc::clone(&self.roots);
        let root = roots.get(self.next_root)?;
        self.next_root += 1;
        let visited = Folder::open(&root.parent)
            .map_err(SkipReason::Unreadable)
            .and_then(|parent| self.visit(&parent, root.top.clone()));
        Some(visited.map_err(|reason| self.skipped(&root.top, None, reason)))
    }

    /// The next entry of the deepest open folder; `None` if it has no more.
    fn step_in_folder(&mut self) -> Option<Result<Entry, Skipped>> {
        let level = self.levels.last_mut()?;
        let name = match level.names.next_name()? {
            Ok(name) => name,
            Err(error) => {
                let level = self.levels.pop()?;
                return Some(Err(self.skipped(&level.path, None, SkipReason::Unreadable(error))));
            }
        };
        let folder = Arc::clone(&level.folder);
        let parent = level.path.clone();
        let visited = match parent.join(&name) {
            Ok(path) => self.visit(&folder, path),
            Err(error) => Err(error.into()),
        };
        Some(visited.map_err(|reason| self.skipped(&parent, Some(&name), reason)))
    }

    /// Looks at what lies at `path`, in the folder `parent`. A folder is opened, to go on there.
    fn visit(&mut self, parent: &Folder, path: RelPath) -> Result<Entry, SkipReason> {
        let name = path.name();
        let stat = parent.stat(name)?;
        if self.excludes.leave_out(&path, stat.kind == Kind::Folder) {
            return Err(SkipReason::Excluded);
        }
        let mut attributes = Attributes::default();
        let kind = match stat.kind {
            Kind::Special => return Err(SkipReason::Special),
            Kind::Symlink => EntryKind::Symlink { target: parent.read_symlink(name)? },
            Kind::File => {
                parent.check_readable(name)?;
                self.kind_of_file(&stat, &path)
            }
            Kind::Folder => {
                let folder = Arc::new(parent.open_folder(name)?);
                let names = folder.list()?;
                attributes = self.attributes_of(&folder, &path);
                self.levels.push(Level { path: path.clone(), folder, names });
                EntryKind::Directory
            }
        };
        if stat.has_special_bits {
            self.losses.add(&path.to_string(), Lost::new(LossKind::SpecialBits, ""));
        }
        let is_file = matches!(kind, EntryKind::File { .. });
        let is_shared = is_file && self.shared.names(&stat, &path);
        let (mode, mtime) = (stat.mode, stat.mtime);
        Ok(Entry { path, kind, mode, mtime, is_shared, has_holes: false, attributes })
    }

    /// The file, or a hard link to it if another name of it was met before.
    fn kind_of_file(&mut self, stat: &Stat, path: &RelPath) -> EntryKind {
        let (kind, has_room) = self.shared.kind_of(stat, path);
        if !has_room {
            let lost = Lost::new(LossKind::HardLink, "more hard links than one transfer keeps");
            self.losses.add(&path.to_string(), lost);
        }
        kind
    }

    /// The attributes of a folder, as long as there is room for them.
    fn attributes_of(&mut self, folder: &Folder, path: &RelPath) -> Attributes {
        let Found { attributes, others } = attributes::read(folder, self.xattrs);
        others.into_iter().for_each(|lost| self.losses.add(&path.to_string(), lost));
        let bytes = self.attribute_bytes + attributes.bytes();
        if bytes > MAX_ATTRIBUTE_BYTES {
            let text = "more than one transfer keeps of folders";
            let lost = Lost::new(LossKind::AttributesNeverSent, text);
            self.losses.add(&path.to_string(), lost);
            return Attributes::default();
        }
        self.attribute_bytes = bytes;
        attributes
    }

    fn skipped(&self, path: &RelPath, name: Option<&[u8]>, reason: SkipReason) -> Skipped {
        let root = self.next_root.checked_sub(1).and_then(|index| self.roots.get(index));
        let folder = root.map(|root| root.locate(path)).unwrap_or_default();
        let file_path = name.map_or_else(|| folder.clone(), |name| folder.join(to_path(name)));
        let path = name.and_then(|name| path.join(name).ok()).unwrap_or_else(|| path.clone());
        Skipped { file_path, path, reason }
    }
}

impl Shared {
    /// The file, or a hard link to it if another name of it was met before; false if there was no room to
    /// know or to keep that.
    fn kind_of(&mut self, stat: &Stat, path: &RelPath) -> (EntryKind, bool) {
        let file = EntryKind::File { size: stat.size };
        let Some(id) = stat.id.filter(|_| stat.links > 1) else { return (file, true) };
        let Some(first) = self.first.get(&id) else {
            let has_room = self.first.len() < MAX_SHARED;
            if has_room {
                self.first.insert(id, path.clone());
            }
            return (file, has_room);
        };
        let bytes = self.link_bytes + first.as_bytes().len() + path.as_bytes().len();
        if bytes > MAX_LINK_BYTES {
            return (file, false);
        }
        self.link_bytes = bytes;
        (EntryKind::HardLink { target: first.clone() }, true)
    }

    /// Whether `path` is the name under which the file is remembered.
    fn names(&self, stat: &Stat, path: &RelPath) -> bool {
        stat.id.is_some_and(|id| self.first.get(&id) == Some(path))
    }
}

impl Iterator for Walk {
    type Item = Result<Entry, Skipped>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.levels.is_empty() {
            if let Some(found) = self.step_in_folder() {
                return Some(found);
            }
            self.levels.pop();
        }
        self.step_to_root()
    }
}

impl From<io::Error> for SkipReason {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}
