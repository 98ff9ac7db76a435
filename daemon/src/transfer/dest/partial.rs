//! The hidden partial folder: content before it has a name.
//!
//! Small content is written at once under a number, committed soon, and of no use to another run.
//! Large content is written under a name made of its path, by which another run finds it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use super::Commit;
use super::error::DestError;
use super::kept::Staged;
use super::ledger::Ledger;
use super::replace::Old;
use super::tree::Tree;
use crate::crash;
use crate::transfer::entry::{Attributes, Entry, EntryKind, PathError, RelPath, Timestamp};
use crate::transfer::folder::{self, Folder, Kind, Stat, attributes};
use crate::transfer::loss::{LossKind, Lost};
use crate::transfer::zeros;

/// The permission bit without which we could not open our own file again.
const OWNER_READS: u32 = 0o400;
/// The permission bits of a file under way.
const UNDER_WAY: u32 = 0o600;
/// The ending of our files' names. A number has at most 20 digits, a digest 32.
const ENDING: &str = ".part";
/// What is written to see whether there is room.
const ROOM: &[u8] = b"room.part";
/// What Linux takes as the target of a link.
const MAX_TARGET: usize = 4095;

/// The open partial folder, locked for this transfer.
#[derive(Debug)]
pub(super) struct Partials {
    folder: Folder,
    known: Mutex<HashMap<Part, Known>>,
}

/// What content is called before it has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// By a number of this run; removed at the start of another.
    Number(u64),
    /// By its path in the transfer.
    Path([u8; 16]),
}

impl From<u64> for Part {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl Part {
    /// The part of what has this path.
    #[must_use]
    pub fn of(path: &RelPath) -> Self {
        let mut digest = [0; 16];
        let mut hasher = blake3::Hasher::new_derive_key("filefleet 1 partial file");
        hasher.update(path.as_bytes()).finalize_xof().fill(&mut digest);
        Self::Path(digest)
    }

    fn name(self) -> Vec<u8> {
        let stem = match self {
            Self::Number(number) => number.to_string(),
            Self::Path(digest) => digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        format!("{stem}{ENDING}").into_bytes()
    }

    /// Whether another run finds the content of this name.
    fn is_lasting(name: &[u8]) -> bool {
        name.strip_suffix(ENDING.as_bytes()).is_some_and(|stem| stem.len() == 32)
    }
}

/// What is remembered of content on its way, so that a commit need not look.
#[derive(Debug)]
enum Known {
    /// Somebody may still be writing.
    Open(Weak<Content>),
    /// Written at once, metadata and all.
    Ready(Ready),
}

/// What a file was given when it was written.
#[derive(Debug)]
struct Ready {
    size: u64,
    mode: u32,
    mtime: Timestamp,
    staged: Staged,
}

impl Ready {
    fn is_of(&self, size: u64, entry: &Entry) -> bool {
        (self.size, self.mode, self.mtime) == (size, entry.mode, entry.mtime)
    }
}

/// The content of one file under way. Clones are handles of the same content.
#[derive(Debug, Clone)]
pub struct PartialFile(Arc<Content>);

#[derive(Debug)]
struct Content {
    file: File,
    size: u64,
    /// Set when the file gets its final name: from then on it is the user's.
    sealed: RwLock<bool>,
}

impl PartialFile {
    /// Writes `bytes` at `offset`; [`DestError::WrongLength`] if they reach beyond the size.
    pub fn write_block(&self, offset: u64, bytes: &[u8]) -> Result<(), DestError> {
        let end = u64::try_from(bytes.len()).ok().and_then(|len| offset.checked_add(len));
        if end.is_none_or(|end| end > self.0.size) {
            return Err(DestError::WrongLength);
        }
        let sealed = self.0.sealed.read().unwrap_or_else(PoisonError::into_inner);
        if *sealed {
            return Err(DestError::Sealed);
        }
        Ok(write_sparsely(&self.0.file, bytes, offset)?)
    }

    /// Reads what lies at `offset`, to fill `bytes` or to the end; the number of bytes read.
    pub fn read_block(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, DestError> {
        Ok(folder::read_full_at(&self.0.file, bytes, offset)?)
    }

    /// Gives the file these extended attributes, as far as its file system takes them.
    pub(in crate::transfer) fn set_attributes(&self, attributes: &Attributes) -> Option<Lost> {
        attributes::write(&self.0.file, attributes)
    }

    /// The file's length.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size
    }
}

impl Content {
    fn new(file: File, size: u64) -> Self {
        Self { file, size, sealed: RwLock::new(false) }
    }

    fn seal(&self) {
        *self.sealed.write().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

impl Drop for Partials {
    fn drop(&mut self) {
        self.folder.unlock();
    }
}

impl Partials {
    /// Makes or opens the folder `name` in `root` and locks it.
    pub(super) fn open(root: &Folder, name: &[u8]) -> Result<Self, DestError> {
        match root.make_folder(name) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        let folder = match root.open_own_folder(name) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                return Err(DestError::Tampered);
            }
            opened => opened?,
        };
        if !folder.is_ours(root)? {
            return Err(DestError::Tampered);
        }
        match folder.lock() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(DestError::InUse),
            Err(error) => Err(error.into()),
            Ok(()) => {
                let partials = Self { folder, known: Mutex::default() };
                partials.remove(|name| !Part::is_lasting(name))?;
                Ok(partials)
            }
        }
    }

    /// See [`Destination::has_partials`](super::Destination::has_partials).
    pub(super) fn has_any(&self) -> Result<bool, DestError> {
        Ok(self.folder.list()?.next_name().transpose()?.is_some())
    }

    /// See [`Destination::has_partial`](super::Destination::has_partial).
    pub(super) fn has(&self, part: Part) -> bool {
        self.folder.stat(&part.name()).is_ok_and(|stat| stat.kind == Kind::File)
    }

    /// See [`Destination::open_partial`](super::Destination::open_partial).
    pub(super) fn open_file(&self, part: Part, size: u64) -> Result<PartialFile, DestError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Known::Open(content)) = known.get(&part)
            && let Some(content) = content.upgrade()
        {
            let same = content.size == size;
            return if same { Ok(PartialFile(content)) } else { Err(DestError::WrongLength) };
        }
        let file = self.create_or_reopen(&part.name())?;
        if i64::try_from(size).is_err() {
            return Err(DestError::TooLarge);
        }
        crash::point();
        file.set_len(size)?;
        let content = Arc::new(Content::new(file, size));
        known.insert(part, Known::Open(Arc::downgrade(&content)));
        Ok(PartialFile(content))
    }

    fn create_or_reopen(&self, part: &[u8]) -> Result<File, DestError> {
        match self.folder.create_file(part) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => return Ok(created?),
        }
        match self.open_ours(part, true) {
            // A commit that a crash cut short had given it its final permission bits.
            Err(DestError::PermissionDenied) => {
                let (file, mtime) = self.open_ours(part, false)?;
                folder::set_metadata(&file, UNDER_WAY, mtime)?;
                Ok(self.open_ours(part, true)?.0)
            }
            // Some file systems give a file its final name in one step and take ours away in another:
            // after a crash between them it is the user's.
            Err(DestError::Tampered) if self.is_shared(part) => self.create_anew(part),
            opened => Ok(opened?.0),
        }
    }

    /// Whether there is a file of this name that has others, too.
    fn is_shared(&self, part: &[u8]) -> bool {
        self.folder.stat(part).is_ok_and(|stat| stat.kind == Kind::File && stat.links > 1)
    }

    /// Opens a file that must be as we made it: regular, and with no second name, under which it
    /// would be somebody's already. Gives its time too.
    fn open_ours(&self, part: &[u8], write: bool) -> Result<(File, Timestamp), DestError> {
        match self.folder.open_file(part, write) {
            Ok((file, stat)) if stat.links == 1 => Ok((file, stat.mtime)),
            Ok(_) => Err(DestError::Tampered),
            Err(error) if error.kind() == ErrorKind::InvalidInput => Err(DestError::Tampered),
            Err(error) => Err(error.into()),
        }
    }

    /// See [`Destination::write_small`](super::Destination::write_small).
    pub(super) fn write_small(
        &self,
        part: Part,
        content: &[u8],
        entry: Option<&Entry>,
    ) -> Result<Option<Lost>, DestError> {
        let size = u64::try_from(content.len()).map_err(|_| DestError::TooLarge)?;
        if entry.is_some_and(|entry| entry.kind != EntryKind::File { size }) {
            return Err(DestError::WrongLength);
        }
        let file = self.create_anew(&part.name())?;
        write_anew(&file, content)?;
        // While it may be written, for so the system wants it.
        let lost = entry.and_then(|entry| attributes::write(&file, &entry.attributes));
        let Some(entry) = entry.filter(|entry| entry.mode & OWNER_READS != 0) else {
            return Ok(lost);
        };
        folder::set_metadata(&file, entry.mode, entry.mtime)?;
        let staged = look_at(&file, size, entry)?;
        let ready = Known::Ready(Ready { size, mode: entry.mode, mtime: entry.mtime, staged });
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(part, ready);
        Ok(lost)
    }

    /// A new file, even where one was: that one may have a final name by now, so it is not reused.
    fn create_anew(&self, part: &[u8]) -> Result<File, DestError> {
        match self.folder.create_file(part) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.folder.remove_file(part)?;
                Ok(self.folder.create_file(part)?)
            }
            created => Ok(created?),
        }
    }

    /// Gives the content of `part` its metadata and ends all writing to it. With `sync`, waits
    /// until it is durable. Tells what the file is, and what it lost.
    pub(super) fn stage_file(
        &self,
        part: Part,
        size: u64,
        entry: &Entry,
        sync: bool,
    ) -> Result<Staged, DestError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&part);
        let open = match known {
            Some(Known::Ready(ready)) if !sync && ready.is_of(size, entry) => {
                return Ok(ready.staged);
            }
            Some(Known::Open(content)) => content.upgrade(),
            _ => None,
        };
        let content = match open {
            Some(content) => content,
            None => Arc::new(self.reopen_whole(&part.name(), size)?),
        };
        content.seal();
        folder::set_metadata(&content.file, entry.mode, entry.mtime)?;
        let staged = look_at(&content.file, size, entry)?;
        if sync {
            crash::point();
            content.file.sync_all()?;
        }
        Ok(staged)
    }

    /// Content that nobody has open; an empty file's need not have been written.
    fn reopen_whole(&self, part: &[u8], size: u64) -> Result<Content, DestError> {
        let file = match self.open_ours(part, cfg!(windows)) {
            Err(DestError::Vanished) if size == 0 => self.folder.create_file(part)?,
            Err(DestError::Vanished) if self.folder.stat_self()?.links > 0 => {
                return Err(DestError::NotReceived);
            }
            opened => opened?.0,
        };
        Ok(Content::new(file, size))
    }

    /// Makes the link `part`, which `entry` points to `target`. Tells what it is, and what it lost.
    pub(super) fn stage_symlink(
        &self,
        part: Part,
        target: &[u8],
        entry: &Entry,
    ) -> Result<Staged, DestError> {
        match target {
            [] => return Err(PathError::Empty.into()),
            _ if target.len() > MAX_TARGET => return Err(PathError::TooLong.into()),
            _ if target.contains(&0) => return Err(PathError::Separator.into()),
            _ => {}
        }
        let (part, mtime) = (part.name(), entry.mtime);
        let made = match self.folder.make_symlink(&part, target, mtime) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.folder.remove_file(&part)?;
                self.folder.make_symlink(&part, target, mtime)
            }
            made => made,
        };
        made.map_err(|error| match error.kind() {
            ErrorKind::Unsupported | ErrorKind::PermissionDenied => DestError::SymlinksUnsupported,
            _ => error.into(),
        })?;
        Ok(Staged::new(&self.folder.stat(&part)?, entry))
    }

    /// Moves what was staged as `part` to the name that was chosen for it; false if that is taken.
    pub(super) fn place(
        &self,
        commit: &Commit<'_>,
        final_path: &RelPath,
        tree: &mut Tree,
        ledger: &mut dyn Ledger,
    ) -> Result<bool, DestError> {
        let part = commit.part.name();
        tree.place_file((&self.folder, &part), commit.entry, final_path.name(), ledger)
    }

    /// Puts what was staged as `part` in the place of `old`; false if that is not to be.
    pub(super) fn replace(
        &self,
        part: Part,
        old: &Old,
        tree: &mut Tree,
    ) -> Result<bool, DestError> {
        tree.replace_file((&self.folder, &part.name()), old)
    }

    /// Removes what lies under `part`: it was replaced. If it stays, it goes with the folder.
    pub(super) fn discard(&self, part: Part) {
        match self.folder.remove_file(&part.name()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::debug!(%error, "what was replaced stays for now");
            }
            _ => {}
        }
    }

    /// See [`Destination::check_room`](super::Destination::check_room).
    pub(super) fn check_room(&self, bytes: u64) -> Result<(), DestError> {
        let file = self.create_anew(ROOM)?;
        let allocated = folder::allocate(&file, bytes);
        drop(file);
        self.folder.remove_file(ROOM)?;
        match allocated {
            Err(error) if error.kind() != ErrorKind::Unsupported => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Makes a durable copy of `file`, metadata and all, as the content of `part`. Tells what it is, and
    /// what it lost.
    pub(super) fn copy_in(
        &self,
        part: Part,
        mut file: File,
        stat: &Stat,
        entry: &Entry,
    ) -> Result<Staged, DestError> {
        let mut copy = self.create_anew(&part.name())?;
        crash::point();
        io::copy(&mut file, &mut copy)?;
        let lost = attributes::write(&copy, &attributes::read(&file, true).attributes);
        folder::set_metadata(&copy, stat.mode, stat.mtime)?;
        crash::point();
        copy.sync_all()?;
        let mut staged = look_at(&copy, stat.size, entry)?;
        staged.lost.extend(lost);
        Ok(staged)
    }

    /// Removes all that is in the folder.
    pub(super) fn remove_all(&self) -> Result<(), DestError> {
        self.remove(|_| true)
    }

    fn remove(&self, unwanted: impl Fn(&[u8]) -> bool) -> Result<(), DestError> {
        let mut names = self.folder.list()?;
        while let Some(name) = names.next_name() {
            let name = name?;
            if !unwanted(&name) {
                continue;
            }
            match self.folder.remove_file(&name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Makes sure that a file has its length, and tells what it lost of what `entry` says.
fn look_at(file: &File, size: u64, entry: &Entry) -> Result<Staged, DestError> {
    let stat = folder::stat_file(file)?;
    if stat.size != size {
        return Err(DestError::WrongLength);
    }
    let mut staged = Staged::new(&stat, entry);
    if entry.has_holes && !folder::has_hole(file, size) {
        staged.lost.push(Lost::new(LossKind::Holes, ""));
    }
    Ok(staged)
}

/// Writes a part of a file; zeros become holes where the file system has such. What lay there before
/// is gone either way.
fn write_sparsely(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    for (range, is_hole) in zeros::runs(bytes) {
        let at = offset + range.start as u64;
        match is_hole.then(|| folder::punch_hole(file, at, range.len() as u64)) {
            Some(Err(error)) if error.kind() != ErrorKind::Unsupported => return Err(error),
            Some(Ok(())) => {}
            _ => folder::write_all_at(file, &bytes[range], at)?,
        }
    }
    Ok(())
}

/// Writes the whole of a new file; zeros are left out, for they are what a longer file has.
fn write_anew(file: &File, content: &[u8]) -> io::Result<()> {
    let mut written = 0;
    for (range, is_hole) in zeros::runs(content) {
        if !is_hole {
            written = range.end;
            folder::write_all_at(file, &content[range.clone()], range.start as u64)?;
        }
    }
    crash::point();
    if written < content.len() { file.set_len(content.len() as u64) } else { Ok(()) }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_lock_is_gone_though_a_program_just_started_still_has_the_handle() {
        let dir = tempfile::tempdir().unwrap();
        let root = Folder::open(dir.path()).unwrap();
        let partials = Partials::open(&root, b"partials").unwrap();
        let _of_a_child = rustix::io::dup(&partials.folder).unwrap();
        assert!(matches!(Partials::open(&root, b"partials"), Err(DestError::InUse)));
        drop(partials);
        Partials::open(&root, b"partials").unwrap();
    }
}
