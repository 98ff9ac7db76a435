//! What is to be sent and lay in no file: standard input and texts, each kept as the one file of a
//! private folder of its own, until its transfer has ended.
//!
//! Because it is a file, such a transfer waits in the outbox, goes on after a crash and is resumed like
//! any other; what it may hold is bounded by the disk. All calls block.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::identity::create_private_dir;

/// The folder of all that is kept. Cloning names the same one.
#[derive(Debug, Clone)]
pub(crate) struct Spool(PathBuf);

/// Content that nobody sends yet. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Empty once it is kept.
    folder: Option<PathBuf>,
    file_path: PathBuf,
}

impl Spool {
    /// The spool of a daemon whose state lies in `state_dir`.
    pub(crate) fn in_dir(state_dir: &Path) -> Self {
        Self(state_dir.join("spool"))
    }

    /// An empty draft, to be written to. `name` must be a plain name.
    pub(crate) fn draft(&self, name: &str) -> io::Result<(Draft, File)> {
        let folder = self.0.join(format!("{:016x}{:016x}", random(), random()));
        create_private_dir(&folder)?;
        let file_path = folder.join(name);
        let draft = Draft { folder: Some(folder), file_path };
        let file = File::create_new(&draft.file_path)?;
        Ok((draft, file))
    }

    /// A draft of these bytes, durable.
    pub(crate) fn store(&self, name: &str, bytes: &[u8]) -> io::Result<Draft> {
        let (draft, mut file) = self.draft(name)?;
        file.write_all(bytes)?;
        draft.seal(&file)?;
        Ok(draft)
    }

    /// Removes what was kept as `file_path`; anything else stays where it is.
    pub(crate) fn release(&self, file_path: &Path) {
        let folder = file_path.parent().filter(|folder| folder.parent() == Some(&self.0));
        if let Some(Err(error)) = folder.map(fs::remove_dir_all) {
            tracing::debug!(%error, "what was kept to be sent stays");
        }
    }

    /// Removes all but these files: nobody will ever send the rest.
    pub(crate) fn retain(&self, wanted: &HashSet<PathBuf>) {
        let Ok(folders) = fs::read_dir(&self.0) else { return };
        let wanted: HashSet<_> = wanted.iter().filter_map(|file_path| file_path.parent()).collect();
        for folder in folders.filter_map(Result::ok).map(|entry| entry.path()) {
            if !wanted.contains(folder.as_path())
                && let Err(error) = fs::remove_dir_all(&folder)
            {
                tracing::debug!(%error, "what was kept to be sent stays");
            }
        }
    }
}

impl Draft {
    /// Makes sure that what was written to `file`, its own, survives a crash.
    pub(crate) fn seal(&self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        // Elsewhere a folder cannot be opened to be synced.
        if cfg!(unix) {
            for folder in self.file_path.ancestors().skip(1).take(2) {
                File::open(folder)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// From now on it belongs to a transfer: the file that is sent.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.folder = None;
        std::mem::take(&mut self.file_path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take()
            && let Err(error) = fs::remove_dir_all(folder)
        {
            tracing::debug!(%error, "a draft stays until the next start");
        }
    }
}

fn random() -> u64 {
    getrandom::u64().expect("the system gives random bytes")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn folders(spool: &Spool) -> usize {
        fs::read_dir(&spool.0).map_or(0, Iterator::count)
    }

    #[test]
    fn a_draft_goes_unless_it_is_kept_and_then_until_it_is_released() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::in_dir(dir.path());
        drop(spool.store("a", b"abc").unwrap());
        assert_eq!(folders(&spool), 0);
        let kept = spool.store("a", b"abc").unwrap().keep();
        assert_eq!(
            (kept.file_name().unwrap(), fs::read(&kept).unwrap()),
            ("a".as_ref(), b"abc".into())
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(kept.parent().unwrap()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        spool.release(&dir.path().join("spool"));
        spool.release(&dir.path().join("x/y"));
        assert_eq!(folders(&spool), 1);
        spool.release(&kept);
        assert_eq!(folders(&spool), 0);
    }

    #[test]
    fn at_the_start_only_what_is_still_to_be_sent_stays() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::in_dir(dir.path());
        spool.retain(&HashSet::new());
        let [wanted, forgotten] = ["a", "b"].map(|name| spool.store(name, b"x").unwrap().keep());
        spool.retain(&HashSet::from([wanted.clone()]));
        assert_eq!((wanted.exists(), forgotten.exists()), (true, false));
    }
}
