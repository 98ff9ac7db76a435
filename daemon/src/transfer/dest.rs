//! Where a transfer arrives: one hidden partial folder and the final names around it.
//!
//! Content is written to files in `.filefleet-partial-ID`, a folder for the owner only, on the
//! destination's own file system. [`Destination::commit`] gives each file of a batch its metadata,
//! makes the batch durable, has its [`Ledger`] keep what each is going to be called, and moves it
//! there, replacing nothing; so no half file is ever seen under a real name, and after a crash it
//! is known which file has its name already. Everything is reached by folder handles, name by name, and no
//! symbolic link is ever followed (see `folder`): nothing outside the destination is touched,
//! whatever a peer sends and whatever others do in the destination meanwhile.
//!
//! All calls block and may come from several threads at once. This module knows nothing of
//! peers, hashes or the network: that content is right is its caller's to prove before it commits.

mod error;
mod kept;
mod ledger;
mod name;
mod partial;
mod replace;
mod tree;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use error::DestError;
use kept::Staged;
#[cfg(all(test, target_os = "linux"))]
pub(crate) use ledger::Forgetful;
pub use ledger::{Intent, Ledger, Top};
use partial::Partials;
pub use partial::{Part, PartialFile};
pub(super) use replace::Old;
use tree::Tree;

use super::confine;
use super::entry::{Entry, EntryKind, PARTIAL_PREFIX, RelPath};
use super::folder::{FileId, Folder, Stat, to_path};
use super::loss::{LossKind, Lost};

/// How often other names are chosen because somebody took those that were free: as often as there
/// are numbers to choose.
const MAX_ROUNDS: usize = 10_000;

/// One incoming transfer in one destination folder.
///
/// Dropped without [`finish`](Self::finish) or [`abandon`](Self::abandon) it leaves its partial
/// folder for a later [`create`](Self::create) with the same id, which finds the files that were
/// written under their paths.
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
    /// What its content was written to.
    pub part: Part,
    /// What the manifest says about it.
    pub entry: &'a Entry,
}

/// An entry that lies under its final name, to stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Where it lies: below the destination as it was named to [`Destination::create`].
    pub file_path: PathBuf,
    /// The file or folder right in the destination that it is or lies in.
    pub top_path: PathBuf,
    /// Whether it lies in the place of a file that was there before.
    pub replaced: bool,
}

/// Each of a batch that waits for its name, or why it gets none.
type AllStaged = Vec<Result<Staged, DestError>>;

/// One of a batch that has no final name yet.
struct Waiting<'a> {
    position: usize,
    id: Option<FileId>,
    /// What it is to replace.
    old: Option<&'a Old>,
    /// Whether it was told that its name is taken.
    renamed: bool,
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

    /// Whether so many bytes more could be written now, as far as the file system can say.
    pub fn check_room(&self, bytes: u64) -> Result<(), DestError> {
        self.partials.check_room(bytes)
    }

    /// How many bytes there is room for, where the system says so.
    #[must_use]
    pub fn free_space(&self) -> Option<u64> {
        self.root.free_space()
    }

    /// Whether an earlier run left content that was written under a path.
    pub fn has_partials(&self) -> Result<bool, DestError> {
        self.partials.has_any()
    }

    /// Whether there is content under this path.
    pub fn has_partial(&self, path: &RelPath) -> bool {
        self.partials.has(Part::of(path))
    }

    /// The content of `part`, `size` bytes long, to be written and read in any order; holes read as
    /// zeros. Content from an earlier run is still there if it was written under its path.
    pub fn open_partial(&self, part: impl Into<Part>, size: u64) -> Result<PartialFile, DestError> {
        self.partials.open_file(part.into(), size)
    }

    /// What lies at `final_path` below the destination, as an [`Intent`] said it; links are not
    /// followed.
    pub(super) fn look(&self, final_path: &RelPath) -> Result<Stat, DestError> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner).look(final_path)
    }

    /// Opens the file at `final_path` below the destination; links are not followed.
    pub(super) fn open_final(&self, final_path: &RelPath) -> Result<(File, Stat), DestError> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner).open_final(final_path)
    }

    /// Writes the whole content of `part` at once, in place of any that was there.
    ///
    /// With its `entry`, if that is known already, the file costs the fewest system calls, and gets its
    /// extended attributes; tells which its file system does not take.
    pub fn write_small(
        &self,
        part: impl Into<Part>,
        content: &[u8],
        entry: Option<&Entry>,
    ) -> Result<Option<Lost>, DestError> {
        self.partials.write_small(part.into(), content, entry)
    }

    /// Gives entries their final names, durably: when this returns, what is `Ok` survives a crash.
    /// After one in the middle, what `ledger` kept tells by its id whether it has its name.
    ///
    /// All content of the batch's files must have been written and found right. Files come first,
    /// in any batches; then symbolic links; last of all folders, children before their parents,
    /// since each is given its permission bits and time. Missing parents are made. What exists is
    /// never replaced: `name (2).ext` is taken instead, for the top folder once per transfer.
    /// A folder that this transfer made already is no conflict.
    pub fn commit(
        &self,
        batch: &[Commit<'_>],
        ledger: &mut dyn Ledger,
    ) -> Vec<Result<Committed, DestError>> {
        self.commit_over(batch, &[], ledger)
    }

    /// [`commit`](Self::commit), where each file that has something in the same place of `olds` replaces
    /// that if it still is what it was. What was replaced is gone when this returns, and not before the
    /// new is durable.
    pub(super) fn commit_over(
        &self,
        batch: &[Commit<'_>],
        olds: &[Option<Old>],
        ledger: &mut dyn Ledger,
    ) -> Vec<Result<Committed, DestError>> {
        let files = batch.iter().filter(|commit| commit.is_file()).count();
        let sync_each = files == 1 || !Folder::SYNCS_FILE_SYSTEM;
        let staged: AllStaged = batch.iter().map(|commit| self.stage(commit, sync_each)).collect();
        let durable = if files == 0 || sync_each { Ok(()) } else { self.root.sync_file_system() };
        if let Err(error) = durable {
            return batch.iter().map(|_| Err(DestError::of(&error))).collect();
        }
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let placed = self.place_all(&mut tree, batch, (staged, olds), ledger);
        let kept = tree.sync();
        if kept.is_ok() {
            self.discard_replaced(batch, &placed);
        }
        placed.into_iter().map(|placed| kept.as_ref().map_err(DestError::of).and(placed)).collect()
    }

    /// How large the shared file is that the hard link `entry` names.
    pub(super) fn shared_len(
        &self,
        target: &RelPath,
        ledger: &mut dyn Ledger,
    ) -> Result<u64, DestError> {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tree.open_shared(target, ledger)?.1.size)
    }

    /// [`commit`](Self::commit) of a hard link where there are none: the file is copied.
    pub(super) fn commit_copy(
        &self,
        commit: &Commit<'_>,
        target: &RelPath,
        ledger: &mut dyn Ledger,
    ) -> Result<(), DestError> {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, stat) = tree.open_shared(target, ledger)?;
        let staged = self.partials.copy_in(commit.part, file, &stat, commit.entry)?;
        ledger.lose(&commit.entry.path, Lost::new(LossKind::HardLink, target.to_string()));
        let kind = EntryKind::File { size: stat.size };
        let entry = Entry { kind, is_shared: false, ..commit.entry.clone() };
        let copy = Commit { part: commit.part, entry: &entry };
        let placed = self.place_all(&mut tree, &[copy], (vec![Ok(staged)], &[]), ledger);
        tree.sync()?;
        placed.into_iter().try_for_each(|placed| placed.map(drop))
    }

    /// Lets hard links name a file that an earlier run, or an earlier transfer, delivered.
    pub(super) fn adopt_shared(&self, path: &RelPath, final_path: &RelPath, id: Option<FileId>) {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        tree.adopt_shared(path, final_path.name(), id);
    }

    /// Names everything, in rounds: whose name was taken by somebody else meanwhile gets another.
    fn place_all(
        &self,
        tree: &mut Tree,
        batch: &[Commit<'_>],
        (staged, olds): (AllStaged, &[Option<Old>]),
        ledger: &mut dyn Ledger,
    ) -> Vec<Result<Committed, DestError>> {
        let mut placed: Vec<_> = batch.iter().map(|_| Err(DestError::NotReceived)).collect();
        let (mut waiting, mut folders) = (Vec::new(), Vec::new());
        for (position, (commit, staged)) in batch.iter().zip(staged).enumerate() {
            match (&commit.entry.kind, staged) {
                (_, Err(error)) => placed[position] = Err(error),
                (EntryKind::Directory, Ok(_)) => folders.push(position),
                (_, Ok(Staged { id, lost })) => {
                    lost.into_iter().for_each(|lost| ledger.lose(&commit.entry.path, lost));
                    let old = olds.get(position).and_then(Option::as_ref);
                    waiting.push(Waiting { position, id, old, renamed: false });
                }
            }
        }
        for _ in 0..MAX_ROUNDS {
            if waiting.is_empty() {
                break;
            }
            waiting = self.place_round(tree, batch, waiting, ledger, &mut placed);
        }
        for Waiting { position, .. } in waiting {
            placed[position] = Err(DestError::NamesExhausted(batch[position].entry.path.clone()));
        }
        for position in folders {
            let commit = &batch[position];
            let made = tree.place_folder(commit.entry, ledger);
            placed[position] = made.map(|rel_path| {
                lose_name(commit, &rel_path, ledger);
                self.committed(&rel_path, false)
            });
        }
        placed
    }

    /// Chooses names, has them kept, and gives them; what must be tried again is given back.
    fn place_round<'a>(
        &self,
        tree: &mut Tree,
        batch: &[Commit<'_>],
        waiting: Vec<Waiting<'a>>,
        ledger: &mut dyn Ledger,
        placed: &mut [Result<Committed, DestError>],
    ) -> Vec<Waiting<'a>> {
        let mut intents = Vec::with_capacity(waiting.len());
        let mut promised = HashSet::with_capacity(waiting.len());
        let mut befores = Vec::with_capacity(waiting.len());
        for Waiting { position, id: staged, old, renamed } in waiting {
            // A hard link is what the file is that it names.
            let id = match &batch[position].entry.kind {
                EntryKind::HardLink { target } => match tree.shared_id(target, ledger) {
                    Ok(id) => id,
                    Err(error) => {
                        placed[position] = Err(error);
                        continue;
                    }
                },
                _ => staged,
            };
            let old = old.filter(|old| !promised.contains(&old.final_path));
            let chosen = match old {
                Some(old) => Ok(old.final_path.clone()),
                None => tree.choose(&batch[position].entry.path, &promised, ledger),
            };
            match chosen {
                Ok(final_path) => {
                    let renamed = renamed || lose_name(&batch[position], &final_path, ledger);
                    promised.insert(final_path.clone());
                    intents.push(Intent { position, final_path, id });
                    befores.push((old, renamed));
                }
                Err(error) => placed[position] = Err(error),
            }
        }
        if intents.is_empty() {
            return Vec::new();
        }
        if let Err(error) = ledger.intend(&intents) {
            intents.iter().for_each(|intent| placed[intent.position] = Err(error.alike()));
            return Vec::new();
        }
        let mut taken = Vec::new();
        for (Intent { position, final_path, id }, (old, renamed)) in
            intents.into_iter().zip(befores)
        {
            let commit = &batch[position];
            let given = match (&commit.entry.kind, old) {
                (EntryKind::HardLink { target }, _) => {
                    tree.place_hard_link(target, &commit.entry.path, final_path.name(), ledger)
                }
                (_, Some(old)) => self.partials.replace(commit.part, old, tree),
                (_, None) => self.partials.place(commit, &final_path, tree, ledger),
            };
            match given {
                Ok(true) => placed[position] = Ok(self.committed(&final_path, old.is_some())),
                // What is not to be replaced after all is let be.
                Ok(false) => taken.push(Waiting { position, id, old: None, renamed }),
                Err(error) => placed[position] = Err(error),
            }
        }
        taken
    }

    fn committed(&self, final_path: &RelPath, replaced: bool) -> Committed {
        let file_path = final_path.components().map(to_path);
        Committed {
            file_path: self.dest_dir.join(file_path.collect::<PathBuf>()),
            top_path: self.dest_dir.join(to_path(final_path.top())),
            replaced,
        }
    }

    fn discard_replaced(&self, batch: &[Commit<'_>], placed: &[Result<Committed, DestError>]) {
        for (commit, placed) in batch.iter().zip(placed) {
            if placed.as_ref().is_ok_and(|committed| committed.replaced) {
                self.partials.discard(commit.part);
            }
        }
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

    fn stage(&self, commit: &Commit<'_>, sync: bool) -> Result<Staged, DestError> {
        let entry = commit.entry;
        match &entry.kind {
            EntryKind::File { size } => self.partials.stage_file(commit.part, *size, entry, sync),
            EntryKind::Symlink { target } => {
                self.partials.stage_symlink(commit.part, target, entry)
            }
            EntryKind::Directory | EntryKind::HardLink { .. } => Ok(Staged::default()),
        }
    }
}

impl Commit<'_> {
    fn is_file(&self) -> bool {
        matches!(self.entry.kind, EntryKind::File { .. })
    }
}

/// Whether an entry gets another name than its own, which is noted.
fn lose_name(commit: &Commit<'_>, final_path: &RelPath, ledger: &mut dyn Ledger) -> bool {
    let path = &commit.entry.path;
    let renamed = final_path.name() != path.name();
    if renamed {
        let name = String::from_utf8_lossy(final_path.name()).into_owned();
        ledger.lose(path, Lost::new(LossKind::Name, name));
    }
    renamed
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
