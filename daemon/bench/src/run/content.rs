//! What is sent, and whether it has arrived as it was.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

/// Random bytes are made and compared in pieces of this size.
const PIECE: usize = 1 << 20;

/// A file or a folder of files, all of them of the same size, with random content.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) source: PathBuf,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Payload {
    /// A single file.
    pub(crate) fn file(dir: &Path, bytes: u64) -> anyhow::Result<Self> {
        Self::named(dir, "large.bin", bytes)
    }

    /// A single file of this name.
    pub(crate) fn named(dir: &Path, name: &str, bytes: u64) -> anyhow::Result<Self> {
        let source = dir.join(name);
        write(&source, bytes, &mut fastrand::Rng::with_seed(1))?;
        Ok(Self { source, files: 1, bytes })
    }

    /// A folder.
    pub(crate) fn folder(dir: &Path, files: u64, each: u64) -> anyhow::Result<Self> {
        let source = dir.join(format!("small-{files}"));
        fs::create_dir(&source)?;
        let mut random = fastrand::Rng::with_seed(2);
        for number in 0..files {
            write(&source.join(format!("{number:07}.bin")), each, &mut random)?;
        }
        Ok(Self { source, files, bytes: files * each })
    }

    /// What it is called at its destination.
    pub(crate) fn name(&self) -> anyhow::Result<&Path> {
        self.source.file_name().map(Path::new).context("the payload has no name")
    }

    /// Fails unless it is all there; then removes it, so that there is room for the next.
    pub(crate) fn take_from(&self, dir: &Path) -> anyhow::Result<()> {
        let copy = dir.join(self.name()?);
        if self.source.is_dir() {
            let mut count = 0;
            for entry in fs::read_dir(&self.source)? {
                let entry = entry?;
                same(&entry.path(), &copy.join(entry.file_name()))?;
                count += 1;
            }
            ensure!(fs::read_dir(&copy)?.count() == count, "{} has more in it", copy.display());
            fs::remove_dir_all(copy)?;
        } else {
            same(&self.source, &copy)?;
            fs::remove_file(copy)?;
        }
        Ok(())
    }
}

fn write(file_path: &Path, bytes: u64, random: &mut fastrand::Rng) -> anyhow::Result<()> {
    let mut file = File::create_new(file_path)?;
    let mut piece = vec![0; PIECE];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        random.fill(&mut piece[..length]);
        file.write_all(&piece[..length])?;
        left -= u64::try_from(length)?;
    }
    Ok(())
}

fn same(one: &Path, other: &Path) -> anyhow::Result<()> {
    let open = |path: &Path| File::open(path).with_context(|| format!("no {}", path.display()));
    let (mut one_file, mut other_file) = (open(one)?, open(other)?);
    let (mut ones, mut others) = (Vec::with_capacity(PIECE), Vec::with_capacity(PIECE));
    loop {
        ones.clear();
        others.clear();
        let piece = u64::try_from(PIECE)?;
        let length = (&mut one_file).take(piece).read_to_end(&mut ones)?;
        (&mut other_file).take(piece).read_to_end(&mut others)?;
        ensure!(ones == others, "{} is not what was sent", other.display());
        if length == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_taken_and_anything_else_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        let payload = Payload::file(&from, 3_000_000).unwrap();
        payload.take_from(&to).unwrap_err();
        fs::copy(&payload.source, to.join("large.bin")).unwrap();
        payload.take_from(&to).unwrap();
        assert!(!to.join("large.bin").exists());
        let mut altered = fs::read(&payload.source).unwrap();
        altered[2_999_999] ^= 1;
        fs::write(to.join("large.bin"), altered).unwrap();
        payload.take_from(&to).unwrap_err();
    }

    #[test]
    fn a_folder_must_have_neither_less_nor_more_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let payload = Payload::folder(dir.path(), 3, 10).unwrap();
        let to = dir.path().join("to");
        let copy = to.join("small-3");
        fs::create_dir_all(&copy).unwrap();
        let mut names = fs::read_dir(&payload.source).unwrap().map(|entry| entry.unwrap().path());
        let mut add = || {
            let from = names.next().unwrap();
            fs::copy(&from, copy.join(from.file_name().unwrap())).unwrap();
        };
        add();
        add();
        payload.take_from(&to).unwrap_err();
        add();
        fs::write(copy.join("more"), "").unwrap();
        payload.take_from(&to).unwrap_err();
        fs::remove_file(copy.join("more")).unwrap();
        payload.take_from(&to).unwrap();
    }
}
