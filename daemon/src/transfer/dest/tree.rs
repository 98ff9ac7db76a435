//! The final names: folders made as they are needed, nothing replaced, nothing followed.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::error::DestError;
use super::kept;
use super::ledger::{Ledger, Top};
use super::name::numbered;
use crate::transfer::entry::{Entry, MAX_SHARED, RelPath};
use crate::transfer::folder::{FileId, Folder, Stat, Trail, attributes};

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
    /// Where [`Self::look`] was last.
    looked: Trail,
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

/// What each folder at the transfer's top is called here, and what it was when we made it: whoever
/// replaces it gets nothing written into his folder.
#[derive(Debug, Default)]
struct Tops(HashMap<Box<[u8]>, Top>);

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
            looked: Trail::default(),
            tops: Tops::default(),
            touched: Touched::default(),
            last_numbers: HashMap::new(),
            shared: HashMap::new(),
        }
    }

    /// A path that is free for `path` and not among those `promised`: its own or one beside it. The
    /// folders that lead there are made.
    pub(super) fn choose(
        &mut self,
        path: &RelPath,
        promised: &HashSet<RelPath>,
        ledger: &mut dyn Ledger,
    ) -> Result<RelPath, DestError> {
        let depth = path.components().count() - 1;
        let parent = self.descend_again(path, depth, ledger)?;
        let first = self.last_numbers.get(path).copied().unwrap_or(1);
        let parents: Vec<_> = self.tops.final_names(path, depth).collect();
        let below = |name: &[u8]| RelPath::new(parents.iter().copied().chain([name]));
        let (number, name) = take_free_name(path, path.name(), first, false, |name| {
            let is_promised = below(name).is_ok_and(|path| promised.contains(&path));
            if is_promised { Err(ErrorKind::AlreadyExists.into()) } else { is_free(&parent, name) }
        })?;
        let chosen = below(&name)?;
        self.remember_number(path, number);
        Ok(chosen)
    }

    /// Moves the file or link `part` of a folder to `name` beside `path`; false if that is taken.
    pub(super) fn place_file(
        &mut self,
        (partials, part): (&Folder, &[u8]),
        entry: &Entry,
        name: &[u8],
        ledger: &mut dyn Ledger,
    ) -> Result<bool, DestError> {
        let path = &entry.path;
        let id = if entry.is_shared { partials.stat(part)?.id } else { None };
        let parent = self.descend_again(path, path.components().count() - 1, ledger)?;
        match partials.rename_new(part, &parent, name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                return Err(DestError::NameRefused);
            }
            renamed => renamed?,
        }
        self.touched.add(&parent)?;
        if entry.is_shared {
            self.adopt_shared(path, name, id);
        }
        Ok(true)
    }

    /// Notes what a shared file is called, here where `path` belongs.
    pub(super) fn adopt_shared(&mut self, path: &RelPath, name: &[u8], id: Option<FileId>) {
        if self.shared.len() < MAX_SHARED {
            self.shared.insert(path.clone(), Shared { name: name.to_vec(), id });
        }
    }

    /// What the shared file `target` is.
    pub(super) fn shared_id(
        &mut self,
        target: &RelPath,
        ledger: &mut dyn Ledger,
    ) -> Result<Option<FileId>, DestError> {
        Ok(self.find_shared(target, ledger)?.1.id)
    }

    /// Gives the shared file `target` the further `name` beside `path`; false if that is taken. What
    /// was not delivered by this sender, or is not what was delivered any more, gets none.
    pub(super) fn place_hard_link(
        &mut self,
        target: &RelPath,
        path: &RelPath,
        name: &[u8],
        ledger: &mut dyn Ledger,
    ) -> Result<bool, DestError> {
        let (from, shared) = self.find_shared(target, ledger)?;
        let parent = self.descend_again(path, path.components().count() - 1, ledger)?;
        match from.link_new(&shared.name, &parent, name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Err(DestError::HardLinksUnsupported);
            }
            linked => linked?,
        }
        if parent.stat(name)?.id != shared.id {
            // Somebody put another file in its place in the very moment.
            parent.remove_file(name)?;
            return Err(obstructed(target));
        }
        self.touched.add(&parent)?;
        Ok(true)
    }

    /// Opens the shared file `target`.
    pub(super) fn open_shared(
        &mut self,
        target: &RelPath,
        ledger: &mut dyn Ledger,
    ) -> Result<(File, Stat), DestError> {
        let (folder, shared) = self.find_shared(target, ledger)?;
        let (file, stat) = folder.open_file(&shared.name, false)?;
        if stat.id == shared.id { Ok((file, stat)) } else { Err(obstructed(target)) }
    }

    /// Where the shared file `target` lies, if it still does.
    fn find_shared(
        &mut self,
        target: &RelPath,
        ledger: &mut dyn Ledger,
    ) -> Result<(Arc<Folder>, Shared), DestError> {
        let shared = self.shared.get(target).ok_or(DestError::NotReceived)?.clone();
        let folder = self.descend(target, target.components().count() - 1, ledger)?;
        let is_same = folder.stat(&shared.name).is_ok_and(|stat| stat.id == shared.id);
        if is_same { Ok((folder, shared)) } else { Err(obstructed(target)) }
    }

    /// Makes the folder `entry` unless this transfer has it, and gives it its metadata.
    pub(super) fn place_folder(
        &mut self,
        entry: &Entry,
        ledger: &mut dyn Ledger,
    ) -> Result<RelPath, DestError> {
        let path = &entry.path;
        let depth = path.components().count();
        let folder = self.descend(path, depth, ledger)?;
        let lost = attributes::write(&*folder, &entry.attributes);
        folder.set_metadata(entry.mode, entry.mtime)?;
        let lost = lost.into_iter().chain(kept::lost(&folder.stat_self()?, entry));
        lost.for_each(|lost| ledger.lose(path, lost));
        self.touched.add(&folder)?;
        Ok(RelPath::new(self.tops.final_names(path, depth))?)
    }

    /// What lies at `final_path`, as it is called here.
    pub(super) fn look(&mut self, final_path: &RelPath) -> Result<Stat, DestError> {
        let folder = self.folder_of(final_path);
        let stat = folder.and_then(|folder| Ok(folder.stat(final_path.name())?));
        self.forget_on_error(stat)
    }

    /// Opens the file at `final_path`, as it is called here.
    pub(super) fn open_final(&mut self, final_path: &RelPath) -> Result<(File, Stat), DestError> {
        let folder = self.folder_of(final_path);
        let opened = folder.and_then(|folder| Ok(folder.open_file(final_path.name(), false)?));
        self.forget_on_error(opened)
    }

    /// The open folder in which `final_path` lies, if it is there.
    pub(super) fn folder_of(&mut self, final_path: &RelPath) -> Result<Arc<Folder>, DestError> {
        let names = final_path.components().take(final_path.components().count() - 1);
        let folder = self.looked.descend(&self.root, names, |_, parent, name| {
            Ok::<_, DestError>(parent.open_folder(name)?)
        });
        self.forget_on_error(folder)
    }

    /// What was open on the way may have been moved away.
    fn forget_on_error<T>(&mut self, result: Result<T, DestError>) -> Result<T, DestError> {
        if result.is_err() {
            self.looked.clear();
        }
        result
    }

    /// Names have changed in `folder`, which must become durable.
    pub(super) fn note_touched(&mut self, folder: &Arc<Folder>) -> io::Result<()> {
        self.touched.add(folder)
    }

    /// [`descend`](Self::descend), once more if somebody removed a folder that we still had open.
    fn descend_again(
        &mut self,
        path: &RelPath,
        depth: usize,
        ledger: &mut dyn Ledger,
    ) -> Result<Arc<Folder>, DestError> {
        let folder = match self.descend(path, depth, ledger) {
            Err(DestError::Vanished) => None,
            Ok(folder) if folder.stat_self()?.links == 0 => None,
            descended => Some(descended?),
        };
        match folder {
            Some(folder) => Ok(folder),
            None => {
                self.trail.clear();
                self.descend(path, depth, ledger)
            }
        }
    }

    /// The open folder that the first `depth` names of `path` lead to, made where it is missing.
    fn descend(
        &mut self,
        path: &RelPath,
        depth: usize,
        ledger: &mut dyn Ledger,
    ) -> Result<Arc<Folder>, DestError> {
        let Self { root, trail, tops, touched, .. } = self;
        trail.descend(root, path.components().take(depth), |depth, parent, name| {
            let entered = match depth {
                0 => tops.enter(parent, path, touched, ledger),
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
    /// The top folder of `path`: the one that this sender's had before, or made under a free name.
    fn enter(
        &mut self,
        root: &Arc<Folder>,
        path: &RelPath,
        touched: &mut Touched,
        ledger: &mut dyn Ledger,
    ) -> Result<Folder, DestError> {
        if let Some(top) = self.0.get(path.top()) {
            let folder = root.open_folder(&top.name)?;
            let is_same = folder.stat_self()?.id == top.id;
            return if is_same { Ok(folder) } else { Err(DestError::NotAFolder) };
        }
        if self.0.len() >= MAX_TOPS {
            return Err(DestError::TooManyFolders);
        }
        let known = match ledger.top(path.top())? {
            Some(top) => reopen_top(root, top)?,
            None => None,
        };
        let (top, folder) = match known {
            Some(known) => known,
            None => make_top(root, path, touched, ledger)?,
        };
        self.0.insert(path.top().into(), top);
        Ok(folder)
    }

    /// The first `depth` names of `path`, the top folder as it is called here.
    fn final_names<'a>(
        &'a self,
        path: &'a RelPath,
        depth: usize,
    ) -> impl Iterator<Item = &'a [u8]> {
        let top = self.0.get(path.top()).map_or(path.top(), |top| &top.name);
        std::iter::once(top).chain(path.components().skip(1)).take(depth)
    }
}

/// The folder that was made for a top, if it is still that one. One of which it is not known whether
/// it was made is ours if there is nothing in it.
fn reopen_top(root: &Folder, mut top: Top) -> Result<Option<(Top, Folder)>, DestError> {
    let folder = match root.open_folder(&top.name) {
        Ok(folder) => folder,
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let id = folder.stat_self()?.id;
    let is_ours = match top.id {
        Some(made) => Some(made) == id,
        None => folder.list()?.next_name().is_none(),
    };
    top.id = id;
    Ok(is_ours.then_some((top, folder)))
}

/// Makes the top folder of `path` under a free name, which is kept before and after.
fn make_top(
    root: &Arc<Folder>,
    path: &RelPath,
    touched: &mut Touched,
    ledger: &mut dyn Ledger,
) -> Result<(Top, Folder), DestError> {
    let mut kept = Ok(());
    let made = take_free_name(path, path.top(), 1, true, |name| {
        is_free(root, name)?;
        kept = ledger.keep_top(path.top(), Top { name: name.to_vec(), id: None });
        match &kept {
            Ok(()) => root.make_folder(name),
            Err(_) => Err(io::Error::other("not kept")),
        }
    });
    kept?;
    let (_, name) = made?;
    touched.add(root)?;
    let folder = root.open_folder(&name)?;
    let top = Top { name, id: folder.stat_self()?.id };
    ledger.keep_top(path.top(), top.clone())?;
    Ok((top, folder))
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

/// `AlreadyExists` if something stands under `name`.
fn is_free(folder: &Folder, name: &[u8]) -> io::Result<()> {
    match folder.stat(name) {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
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
