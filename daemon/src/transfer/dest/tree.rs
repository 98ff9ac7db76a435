//! The final names: folders made as they are needed, nothing replaced, nothing followed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use super::error::DestError;
use super::name::numbered;
use crate::transfer::entry::{Entry, MAX_SHARED, RelPath};
use crate::transfer::folder::{FileId, Folder, Stat, Trail, to_path};

/// How many names are tried for one file.
const MAX_NUMBER: u32 = 9_999;
/// How many top folders one transfer may have; each is remembered.
const MAX_TOPS: usize = 65_536;
/// From so many folders on, one sync of the file system is cheaper than one of each.
const SYNC_EACH: usize = 8;
/// How many last numbers are remembered, so that many files of one name are not tried from 2 each.
const MAX_LAST_NUMBERS: usize = 1_024;

/// The destination as one transfer sees it.
#[derive(Debug)]
pub(super) struct Tree {
    root: Arc<Folder>,
    trail: Trail,
    tops: Tops,
    touched: Touched,
    last_numbers: HashMap<RelPath, u32>,
    shared: HashMap<RelPath, Shared>,
}

/// A delivered file that later entries may be hard links to.
#[derive(Debug, Clone)]
struct Shared {
    /// What it is called here.
    name: Vec<u8>,
    /// What it was when we placed it: nothing else is ever given another name.
    id: Option<FileId>,
}

/// What each folder at the transfer's top is called here.
#[derive(Debug, Default)]
struct Tops(HashMap<Box<[u8]>, Top>);

#[derive(Debug)]
struct Top {
    name: Vec<u8>,
    /// What it was when we made it: whoever replaces it gets nothing written into his folder.
    id: Option<FileId>,
}

/// The folders whose names are not durable yet.
#[derive(Debug, Default)]
struct Touched {
    folders: Vec<Arc<Folder>>,
    too_many: bool,
}

impl Tree {
    pub(super) fn new(root: Arc<Folder>) -> Self {
        Self {
            root,
            trail: Trail::default(),
            tops: Tops::default(),
            touched: Touched::default(),
            last_numbers: HashMap::new(),
            shared: HashMap::new(),
        }
    }

    /// Moves the file or link `part` of `partials` to the path of `entry` or, if that is taken, to a free name
    /// beside it. The path it got, below the destination.
    pub(super) fn place_file(
        &mut self,
        partials: &Folder,
        part: &[u8],
        entry: &Entry,
    ) -> Result<PathBuf, DestError> {
        match self.try_place_file(partials, part, entry) {
            // Somebody removed a folder that we still had open.
            Err(DestError::Vanished) => {
                self.trail.clear();
                self.try_place_file(partials, part, entry)
            }
            placed => placed,
        }
    }

    fn try_place_file(
        &mut self,
        partials: &Folder,
        part: &[u8],
        entry: &Entry,
    ) -> Result<PathBuf, DestError> {
        let path = &entry.path;
        let id = if entry.is_shared { partials.stat(part)?.id } else { None };
        let depth = path.components().count() - 1;
        let parent = self.descend(path, depth)?;
        let first = self.last_numbers.get(path).copied().unwrap_or(1);
        let (number, name) = take_free_name(path, path.name(), first, false, |name| {
            partials.rename_new(part, &parent, name)
        })?;
        self.remember_number(path, number);
        self.touched.add(&parent)?;
        let final_path = self.tops.final_path(path, depth).join(to_path(&name));
        if entry.is_shared && self.shared.len() < MAX_SHARED {
            self.shared.insert(path.clone(), Shared { name, id });
        }
        Ok(final_path)
    }

    /// Gives the shared file `target` the further name `path` or a free one beside it. What was not
    /// delivered by this transfer, or is not what was delivered any more, gets none.
    pub(super) fn place_hard_link(
        &mut self,
        target: &RelPath,
        path: &RelPath,
    ) -> Result<PathBuf, DestError> {
        let (from, shared) = self.find_shared(target)?;
        let depth = path.components().count() - 1;
        let parent = self.descend(path, depth)?;
        let (_, name) = take_free_name(path, path.name(), 1, false, |free| {
            from.link_new(&shared.name, &parent, free)
        })
        .map_err(|error| match error {
            DestError::Io(error) if error.kind() == ErrorKind::Unsupported => {
                DestError::HardLinksUnsupported
            }
            other => other,
        })?;
        if parent.stat(&name)?.id != shared.id {
            // Somebody put another file in its place in the very moment.
            parent.remove_file(&name)?;
            return Err(obstructed(target));
        }
        self.touched.add(&parent)?;
        Ok(self.tops.final_path(path, depth).join(to_path(&name)))
    }

    /// Opens the shared file `target`.
    pub(super) fn open_shared(&mut self, target: &RelPath) -> Result<(File, Stat), DestError> {
        let (folder, shared) = self.find_shared(target)?;
        let (file, stat) = folder.open_file(&shared.name, false)?;
        if stat.id == shared.id { Ok((file, stat)) } else { Err(obstructed(target)) }
    }

    /// Where the shared file `target` lies, if it still does.
    fn find_shared(&mut self, target: &RelPath) -> Result<(Arc<Folder>, Shared), DestError> {
        let shared = self.shared.get(target).ok_or(DestError::NotReceived)?.clone();
        let folder = self.descend(target, target.components().count() - 1)?;
        let is_same = folder.stat(&shared.name).is_ok_and(|stat| stat.id == shared.id);
        if is_same { Ok((folder, shared)) } else { Err(obstructed(target)) }
    }

    /// Makes the folder `entry` unless this transfer has it, and gives it its metadata.
    pub(super) fn place_folder(&mut self, entry: &Entry) -> Result<PathBuf, DestError> {
        let path = &entry.path;
        let depth = path.components().count();
        let folder = self.descend(path, depth)?;
        folder.set_metadata(entry.mode, entry.mtime)?;
        self.touched.add(&folder)?;
        Ok(self.tops.final_path(path, depth))
    }

    /// The open folder that the first `depth` names of `path` lead to, made where it is missing.
    fn descend(&mut self, path: &RelPath, depth: usize) -> Result<Arc<Folder>, DestError> {
        let Self { root, trail, tops, touched, .. } = self;
        trail.descend(root, path.components().take(depth), |depth, parent, name| {
            let entered = match depth {
                0 => tops.enter(parent, path, touched),
                _ => open_or_make(parent, name, touched),
            };
            entered.map_err(|error| match error {
                DestError::NotAFolder => DestError::Obstructed(path.clone()),
                other => other,
            })
        })
    }

    fn remember_number(&mut self, path: &RelPath, number: u32) {
        if number > 1 {
            if self.last_numbers.len() >= MAX_LAST_NUMBERS {
                self.last_numbers.clear();
            }
            self.last_numbers.insert(path.clone(), number);
        }
    }

    /// Waits until all names given so far would survive a crash.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.touched.sync(&self.root)
    }

    /// Removes the top folders in which there is nothing.
    pub(super) fn remove_empty_tops(&mut self) {
        self.trail.clear();
        for top in self.tops.0.values() {
            if self.root.stat(&top.name).is_ok_and(|stat| stat.id == top.id) {
                // It stays if it is not empty or may not be removed: nothing is lost either way.
                let _ = self.root.remove_folder(&top.name);
            }
        }
    }
}

fn obstructed(path: &RelPath) -> DestError {
    DestError::Obstructed(path.clone())
}

impl Tops {
    /// The top folder of `path`: made under a free name the first time.
    fn enter(
        &mut self,
        root: &Arc<Folder>,
        path: &RelPath,
        touched: &mut Touched,
    ) -> Result<Folder, DestError> {
        if let Some(top) = self.0.get(path.top()) {
            let folder = root.open_folder(&top.name)?;
            let is_same = folder.stat_self()?.id == top.id;
            return if is_same { Ok(folder) } else { Err(DestError::NotAFolder) };
        }
        if self.0.len() >= MAX_TOPS {
            return Err(DestError::TooManyFolders);
        }
        let made = take_free_name(path, path.top(), 1, true, |name| root.make_folder(name));
        let (_, name) = made?;
        touched.add(root)?;
        let folder = root.open_folder(&name)?;
        let id = folder.stat_self()?.id;
        self.0.insert(path.top().into(), Top { name, id });
        Ok(folder)
    }

    /// The first `depth` names of `path`, the top folder as it is called here.
    fn final_path(&self, path: &RelPath, depth: usize) -> PathBuf {
        let top = self.0.get(path.top()).map_or(path.top(), |top| &top.name);
        std::iter::once(top).chain(path.components().skip(1)).take(depth).map(to_path).collect()
    }
}

impl Touched {
    fn add(&mut self, folder: &Arc<Folder>) -> io::Result<()> {
        if self.too_many || self.folders.iter().any(|known| Arc::ptr_eq(known, folder)) {
            return Ok(());
        }
        self.folders.push(Arc::clone(folder));
        if self.folders.len() > SYNC_EACH {
            if Folder::SYNCS_FILE_SYSTEM {
                self.folders.clear();
                self.too_many = true;
            } else {
                self.folders.remove(0).sync()?;
            }
        }
        Ok(())
    }

    fn sync(&mut self, root: &Folder) -> io::Result<()> {
        let folders = std::mem::take(&mut self.folders);
        if std::mem::take(&mut self.too_many) {
            return root.sync_file_system();
        }
        folders.iter().try_for_each(|folder| folder.sync())
    }
}

/// The first of `name`, `name (2)` … that `take` can have, with its number.
fn take_free_name(
    path: &RelPath,
    name: &[u8],
    first: u32,
    is_folder: bool,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(u32, Vec<u8>), DestError> {
    for number in first..=MAX_NUMBER {
        let free = numbered(name, number, is_folder);
        match take(&free) {
            Ok(()) => return Ok((number, free.into_owned())),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                return Err(DestError::NameRefused);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(DestError::NamesExhausted(path.clone()))
}

/// The folder `name` in `parent`, made for its owner only if nothing stands there.
fn open_or_make(
    parent: &Arc<Folder>,
    name: &[u8],
    touched: &mut Touched,
) -> Result<Folder, DestError> {
    match parent.open_folder(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return Ok(opened?),
    }
    match parent.make_folder(name) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => touched.add(parent)?,
    }
    Ok(parent.open_folder(name)?)
}
