//! What the user leaves out of the folders that are sent: globs, compared with what is found below.
//!
//! `*` and `?` stand for anything but `/`, `**` for folders of any depth, `[a-z]` for one of these,
//! `{a,b}` for either; `\` takes the meaning from what follows. A glob without `/` is compared with
//! names; one with `/` with paths below the folder that the user named. At its end `/` says that only
//! folders are meant. What the user named himself is always sent.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::transfer::entry::RelPath;
use crate::transfer::folder::to_path;

/// The most globs of one transfer.
const MAX_GLOBS: usize = 1_000;

/// The globs of one transfer. Without any, nothing is left out.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    anything: Globs,
    folders: Globs,
}

/// Globs that mean one kind of entry.
#[derive(Debug, Clone, Default)]
struct Globs {
    names: GlobSet,
    paths: GlobSet,
}

/// Why something is no list of globs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GlobError {
    /// It cannot be understood.
    #[error("{glob:?} is no glob")]
    Syntax {
        /// What the user wrote.
        glob: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// It would match nothing.
    #[error("{0:?} names nothing")]
    Empty(String),
    /// There are too many, or all together are too large.
    #[error("too many globs: at most {MAX_GLOBS} are taken")]
    TooMany,
}

impl Excludes {
    /// Reads the globs that the user gave.
    pub fn new(globs: &[String]) -> Result<Self, GlobError> {
        if globs.len() > MAX_GLOBS {
            return Err(GlobError::TooMany);
        }
        let [mut names, mut paths, mut folder_names, mut folder_paths] =
            std::array::from_fn(|_| GlobSetBuilder::new());
        for glob in globs {
            let (meant, only_folders) = match glob.strip_suffix('/') {
                Some(meant) => (meant, true),
                None => (glob.as_str(), false),
            };
            let set = match (meant.contains('/'), only_folders) {
                (false, false) => &mut names,
                (true, false) => &mut paths,
                (false, true) => &mut folder_names,
                (true, true) => &mut folder_paths,
            };
            let pattern = meant.strip_prefix('/').unwrap_or(meant);
            if pattern.is_empty() {
                return Err(GlobError::Empty(glob.clone()));
            }
            let built = GlobBuilder::new(pattern)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|source| GlobError::Syntax { glob: glob.clone(), source })?;
            set.add(built);
        }
        let build = |set: GlobSetBuilder| set.build().map_err(|_| GlobError::TooMany);
        Ok(Self {
            anything: Globs { names: build(names)?, paths: build(paths)? },
            folders: Globs { names: build(folder_names)?, paths: build(folder_paths)? },
        })
    }

    /// Whether the entry `path` is left out, with all that is in it.
    pub(super) fn leave_out(&self, path: &RelPath, is_folder: bool) -> bool {
        let Some(below) = path.as_bytes().get(path.top().len() + 1..) else { return false };
        self.anything.match_any(path.name(), below)
            || is_folder && self.folders.match_any(path.name(), below)
    }
}

impl Globs {
    fn match_any(&self, name: &[u8], below: &[u8]) -> bool {
        self.names.is_match(to_path(name)) || self.paths.is_match(to_path(below))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn excludes(globs: &[&str]) -> Result<Excludes, GlobError> {
        Excludes::new(&globs.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>())
    }

    #[track_caller]
    fn assert_out(glob: &str, out: &[&str], not_out: &[&str]) {
        let excludes = excludes(&[glob]).unwrap();
        let is_out = |path: &&str| {
            let (path, is_folder) = match path.strip_suffix('/') {
                Some(folder) => (folder, true),
                None => (*path, false),
            };
            excludes.leave_out(&RelPath::decode(path.as_bytes()).unwrap(), is_folder)
        };
        assert!(out.iter().all(is_out), "{glob} leaves out {out:?}");
        assert!(!not_out.iter().any(is_out), "{glob} leaves in {not_out:?}");
    }

    #[test]
    fn a_glob_without_a_slash_means_names_at_any_depth() {
        assert_out("*.tmp", &["t/a.tmp", "t/d/e/.tmp"], &["t/a.tmp2", "t/A.TMP", "t/a.tmp/b"]);
        assert_out("node_modules", &["t/node_modules/", "t/x/node_modules"], &["t/node_modules2"]);
        assert_out("{a,b}[0-9]?", &["t/a1x", "t/d/b2y"], &["t/c1x", "t/a1", "t/ax1"]);
        assert_out("a\\[b", &["t/a[b"], &["t/ab"]);
    }

    #[test]
    fn a_glob_with_a_slash_means_paths_below_what_was_named() {
        assert_out("/build", &["t/build"], &["t/x/build"]);
        assert_out("src/*.o", &["t/src/a.o"], &["t/src/x/a.o", "t/x/src/a.o", "src/x"]);
        assert_out("**/out/*.o", &["t/out/a.o", "t/x/y/out/a.o"], &["t/out/x/a.o"]);
        assert_out("src/**", &["t/src/a", "t/src/x/y"], &["t/src"]);
    }

    #[test]
    fn a_slash_at_the_end_means_folders_only() {
        assert_out("cache/", &["t/cache/", "t/x/cache/"], &["t/cache", "t/x/cache"]);
        assert_out("x/cache/", &["t/x/cache/"], &["t/x/cache", "t/cache/"]);
    }

    #[test]
    fn what_was_named_is_always_sent() {
        assert_out("*", &["t/x", "t/x/"], &["t", "t/"]);
        let path = RelPath::decode(b"t/x").unwrap();
        assert!(!Excludes::default().leave_out(&path, true));
    }

    #[cfg(unix)]
    #[test]
    fn names_need_not_be_text() {
        let path = RelPath::decode(b"t/\xff.o").unwrap();
        assert!(excludes(&["*.o"]).unwrap().leave_out(&path, false));
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        for wrong in ["[", "{a", "", "/", "a\\"] {
            assert!(excludes(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(matches!(excludes(&vec!["a"; MAX_GLOBS + 1]), Err(GlobError::TooMany)));
    }
}
