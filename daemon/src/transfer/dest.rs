//! Where a transfer arrives: one hidden partial folder and the final names around it.
//!
//! Content is written to numbered files in `.filefleet-partial-ID`, a folder for the owner only,
//! on the destination's own file system. [`Destination::commit`] makes a batch durable, gives
//! each file its metadata and moves it to its final name, replacing nothing; so no half file is
//! ever seen under a real name. Everything is reached by folder handles, name by name, and no
//! symbolic link is ever followed (see `folder`): nothing outside the destination is touched,
//! whatever a peer sends and whatever others do in the destination meanwhile.
//!
//! All calls block and may come from several threads at once. This module knows nothing of
//! peers, hashes or the network: that content is right is its caller's to prove before it commits.

mod error;
mod name;
mod partial;
mod tree;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use error::DestError;
pub use partial::PartialFile;
use partial::Partials;
use tree::Tree;

use super::confine;
use super::entry::{Entry, EntryKind, PARTIAL_PREFIX, RelPath};
use super::folder::Folder;

/// One incoming transfer in one destination folder.
///
/// Dropped without [`finish`](Self::finish) or [`abandon`](Self::abandon) it leaves its partial
/// folder for a later [`create`](Self::create) with the same id.
#[derive(Debug)]
pub struct Destination {
    dest_dir: PathBuf,
    root: Arc<Folder>,
    partial_name: String,
    partials: Partials,
    tree: Mutex<Tree>,
}

/// One entry to be given its final name.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Its number in the manifest, under which its content was written.
    pub index: u64,
    /// What the manifest says about it.
    pub entry: &'a Entry,
}

/// An entry that lies under its final name, to stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Where it lies: below the destination as it was named to [`Destination::create`].
    pub file_path: PathBuf,
}

impl Destination {
    /// Opens `dest_dir`, which must exist, and makes the partial folder in it, or opens the one
    /// that an earlier run left.
    ///
    /// `id` must be this transfer's alone on this machine, so it must not be a peer's to choose:
    /// derive it from the peer's identity and the peer's id. [`DestError::InUse`] while another
    /// `Destination` has the same id and folder.
    pub fn create(dest_dir: &Path, id: [u8; 16]) -> Result<Self, DestError> {
        Self::create_in(Folder::open(dest_dir)?, dest_dir, id)
    }

    /// [`create`](Self::create), by a thread that from then on can touch nothing outside `dest_dir`,
    /// as far as the system confines threads (see `confine`).
    pub(super) fn create_confined(dest_dir: &Path, id: [u8; 16]) -> Result<Self, DestError> {
        let root = Folder::open(dest_dir)?;
        confine::confine_thread(&root);
        Self::create_in(root, dest_dir, id)
    }

    fn create_in(root: Folder, dest_dir: &Path, id: [u8; 16]) -> Result<Self, DestError> {
        let root = Arc::new(root);
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let partial_name = format!("{PARTIAL_PREFIX}{hex}");
        let partials = Partials::open(&root, partial_name.as_bytes())?;
        let tree = Mutex::new(Tree::new(Arc::clone(&root)));
        Ok(Self { dest_dir: dest_dir.into(), root, partial_name, partials, tree })
    }

    /// How many bytes there is room for, where the system says so.
    #[must_use]
    pub fn free_space(&self) -> Option<u64> {
        self.root.free_space()
    }

    /// The content of file `index`, `size` bytes long, to be written and read in any order; holes
    /// read as zeros. Content from an earlier run is still there.
    pub fn open_partial(&self, index: u64, size: u64) -> Result<PartialFile, DestError> {
        self.partials.open_file(index, size)
    }

    /// Writes the whole content of file `index` at once, in place of any that was there.
    ///
    /// With its `entry`, if that is known already, the file costs the fewest system calls.
    pub fn write_small(
        &self,
        index: u64,
        content: &[u8],
        entry: Option<&Entry>,
    ) -> Result<(), DestError> {
        self.partials.write_small(index, content, entry)
    }

    /// Gives entries their final names, durably: when this returns, what is `Ok` survives a crash.
    ///
    /// All content of the batch's files must have been written and found right. Files come first,
    /// in any batches; then symbolic links; last of all folders, children before their parents,
    /// since each is given its permission bits and time. Missing parents are made. What exists is
    /// never replaced: `name (2).ext` is taken instead, for the top folder once per transfer.
    /// A folder that this transfer made already is no conflict.
    pub fn commit(&self, batch: &[Commit<'_>]) -> Vec<Result<Committed, DestError>> {
        let files = batch.iter().filter(|commit| commit.is_file()).count();
        let sync_each = files == 1 || !Folder::SYNCS_FILE_SYSTEM;
        let staged: Vec<_> = batch.iter().map(|commit| self.stage(commit, sync_each)).collect();
        let durable = if files == 0 || sync_each { Ok(()) } else { self.root.sync_file_system() };
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let placed: Vec<_> = batch
            .iter()
            .zip(staged)
            .map(|(commit, staged)| {
                durable.as_ref().map_err(DestError::of)?;
                staged.and_then(|()| self.place(&mut tree, commit))
            })
            .collect();
        let kept = tree.sync();
        placed.into_iter().map(|placed| kept.as_ref().map_err(DestError::of).and(placed)).collect()
    }

    /// How large the shared file is that the hard link `entry` names.
    pub(super) fn shared_len(&self, target: &RelPath) -> Result<u64, DestError> {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tree.open_shared(target)?.1.size)
    }

    /// [`commit`](Self::commit) of a hard link where there are none: the file is copied.
    pub(super) fn commit_copy(
        &self,
        index: u64,
        entry: &Entry,
        target: &RelPath,
    ) -> Result<Committed, DestError> {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, stat) = tree.open_shared(target)?;
        self.partials.copy_in(index, file, &stat)?;
        let rel_path = self.partials.place(index, entry, &mut tree)?;
        tree.sync()?;
        Ok(Committed { file_path: self.dest_dir.join(rel_path) })
    }

    /// Removes the partial folder; what was committed stays.
    pub fn finish(&self) -> Result<(), DestError> {
        self.partials.remove_all()?;
        match self.root.remove_folder(self.partial_name.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// [`finish`](Self::finish) for a transfer that ended early: also removes top folders that
    /// stayed empty.
    pub fn abandon(&self) -> Result<(), DestError> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner).remove_empty_tops();
        self.finish()
    }

    fn stage(&self, commit: &Commit<'_>, sync: bool) -> Result<(), DestError> {
        let entry = commit.entry;
        match &entry.kind {
            EntryKind::File { size } => self.partials.stage_file(commit.index, *size, entry, sync),
            EntryKind::Symlink { target } => {
                self.partials.stage_symlink(commit.index, target, entry.mtime)
            }
            EntryKind::Directory | EntryKind::HardLink { .. } => Ok(()),
        }
    }

    fn place(&self, tree: &mut Tree, commit: &Commit<'_>) -> Result<Committed, DestError> {
        let entry = commit.entry;
        let rel_path = match &entry.kind {
            EntryKind::Directory => tree.place_folder(entry)?,
            EntryKind::HardLink { target } => tree.place_hard_link(target, &entry.path)?,
            _ => self.partials.place(commit.index, entry, tree)?,
        };
        Ok(Committed { file_path: self.dest_dir.join(rel_path) })
    }
}

impl Commit<'_> {
    fn is_file(&self) -> bool {
        matches!(self.entry.kind, EntryKind::File { .. })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
