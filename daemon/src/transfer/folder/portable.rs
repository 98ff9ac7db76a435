//! Folders where there are no `*at` system calls: Windows, by way of `cap-std`.
//!
//! `cap-std` keeps every access below the open folder. That no link is followed is asked first;
//! one that is put there right afterwards may be followed, yet leads nowhere outside. What this
//! system cannot carry: permission bits, symbolic links, folders' times. Names are durable when the
//! system thinks so, and a folder cannot be locked.

mod volume;

use std::ffi::OsStr;
use std::fs::{File, FileTimes};
use std::io::{self, ErrorKind};
use std::os::windows::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cap_fs_ext::MetadataExt;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions, OpenOptionsExt, ReadDir};

use super::{FileId, Kind, Stat};
use crate::transfer::entry::Timestamp;

/// `FILE_FLAG_BACKUP_SEMANTICS`, without which no folder is opened (`CreateFileW`).
const BACKUP_SEMANTICS: u32 = 0x0200_0000;

/// An open folder.
#[derive(Debug)]
pub(in crate::transfer) struct Folder {
    dir: Dir,
    /// Whether numbers tell files apart on its volume.
    has_numbers: bool,
}

/// Opening and looking.
impl Folder {
    /// Whether [`Self::sync_file_system`] works here.
    pub(in crate::transfer) const SYNCS_FILE_SYSTEM: bool = false;

    /// Opens a folder that the user named; symbolic links in `path` are followed.
    pub(in crate::transfer) fn open(path: &Path) -> io::Result<Self> {
        if !path.metadata()?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        Ok(Self { has_numbers: volume::keeps_numbers(&dir), dir })
    }

    /// Opens the folder `name`; `NotADirectory` if anything else stands there, links included.
    pub(in crate::transfer) fn open_folder(&self, name: &[u8]) -> io::Result<Self> {
        match self.stat(name)?.kind {
            Kind::Folder => Ok(self.below(self.dir.open_dir(to_path(name))?)),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// The same for a folder of our own, which can be removed while it is open, as others cannot.
    pub(in crate::transfer) fn open_own_folder(&self, name: &[u8]) -> io::Result<Self> {
        if self.stat(name)?.kind != Kind::Folder {
            return Err(ErrorKind::NotADirectory.into());
        }
        let options = OpenOptions::new().read(true).custom_flags(BACKUP_SEMANTICS).clone();
        Ok(self.below(Dir::from_std_file(self.dir.open_with(to_path(name), &options)?.into_std())))
    }

    /// A folder on the same volume: no link leads to another.
    fn below(&self, dir: Dir) -> Self {
        Self { dir, has_numbers: self.has_numbers }
    }

    /// Opens the regular file `name`; `InvalidInput` if anything else stands there.
    pub(in crate::transfer) fn open_file(
        &self,
        name: &[u8],
        write: bool,
    ) -> io::Result<(File, Stat)> {
        if self.stat(name)?.kind != Kind::File {
            return Err(ErrorKind::InvalidInput.into());
        }
        let options = OpenOptions::new().read(true).write(write).clone();
        let file = self.dir.open_with(to_path(name), &options)?.into_std();
        let stat = convert(&Metadata::from_file(&file)?, self.has_numbers);
        Ok((file, stat))
    }

    /// What stands under `name`.
    pub(in crate::transfer) fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        Ok(convert(&self.dir.symlink_metadata(to_path(name))?, self.has_numbers))
    }

    /// Fails unless the file `name` may be read. Here only opening it tells.
    pub(in crate::transfer) fn check_readable(&self, name: &[u8]) -> io::Result<()> {
        self.open_file(name, false).map(drop)
    }

    /// What the folder itself is.
    pub(in crate::transfer) fn stat_self(&self) -> io::Result<Stat> {
        Ok(convert(&self.dir.dir_metadata()?, self.has_numbers))
    }

    /// Where the symbolic link `name` points.
    pub(in crate::transfer) fn read_symlink(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let target = self.dir.read_link_contents(to_path(name))?;
        Ok(name_bytes(target.as_os_str()).to_vec())
    }

    /// Whether nobody but this user, and whoever owns `parent` anyhow, can have made the folder:
    /// access here is inherited from `parent`.
    pub(in crate::transfer) fn is_ours(&self, _parent: &Self) -> io::Result<bool> {
        Ok(true)
    }

    /// The names in the folder, read as they are asked for.
    pub(in crate::transfer) fn list(&self) -> io::Result<Listing> {
        Ok(Listing(self.dir.entries()?))
    }

    /// How many bytes an ordinary user can still write here, where that is known.
    pub(in crate::transfer) fn free_space(&self) -> Option<u64> {
        None
    }
}

/// Changing.
impl Folder {
    /// Makes the folder `name`.
    pub(in crate::transfer) fn make_folder(&self, name: &[u8]) -> io::Result<()> {
        self.dir.create_dir(to_path(name))
    }

    /// Makes the file `name`; `AlreadyExists` if anything stands there.
    pub(in crate::transfer) fn create_file(&self, name: &[u8]) -> io::Result<File> {
        let options = OpenOptions::new().read(true).write(true).create_new(true).clone();
        Ok(self.dir.open_with(to_path(name), &options)?.into_std())
    }

    /// Links are not made here: it takes a privilege, and to know what the target is.
    pub(in crate::transfer) fn make_symlink(
        &self,
        _name: &[u8],
        _target: &[u8],
        _mtime: Timestamp,
    ) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    /// Moves the file `name` to `new_name` in `to`; `AlreadyExists` if anything stands there.
    pub(in crate::transfer) fn rename_new(
        &self,
        name: &[u8],
        to: &Self,
        new_name: &[u8],
    ) -> io::Result<()> {
        let (name, new_name) = (to_path(name), to_path(new_name));
        match self.dir.hard_link(name, &to.dir, new_name) {
            Ok(()) => self.dir.remove_file(name),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
            // FAT has no links.
            Err(_) => self.rename_over_claim(name, to, new_name),
        }
    }

    /// Moves the file `name` over `old_name` in `to` in one step, if what stands there `is_old`; false,
    /// and nothing has changed, if it is not.
    pub(in crate::transfer) fn replace(
        &self,
        name: &[u8],
        to: &Self,
        old_name: &[u8],
        is_old: impl Fn(&Stat) -> bool,
        _still_old: impl Fn(&Stat) -> bool,
    ) -> io::Result<bool> {
        if !is_old(&to.stat(old_name)?) {
            return Ok(false);
        }
        self.dir.rename(to_path(name), &to.dir, to_path(old_name)).map(|()| true)
    }

    /// An empty file claims the name, and goes again if the rename fails.
    fn rename_over_claim(&self, name: &Path, to: &Self, new_name: &Path) -> io::Result<()> {
        let options = OpenOptions::new().write(true).create_new(true).clone();
        drop(to.dir.open_with(new_name, &options)?);
        self.dir.rename(name, &to.dir, new_name).inspect_err(|_| {
            // Nothing of anybody's is lost if it stays.
            let _ = to.dir.remove_file(new_name);
        })
    }

    /// Gives the file `name` the further name `new_name` in `to`; `AlreadyExists` if anything stands
    /// there, `Unsupported` where the file system has no more names for it, or nobody could tell
    /// afterwards that they are of one file.
    pub(in crate::transfer) fn link_new(
        &self,
        name: &[u8],
        to: &Self,
        new_name: &[u8],
    ) -> io::Result<()> {
        if self.stat(name)?.id.is_none() {
            return Err(ErrorKind::Unsupported.into());
        }
        self.dir.hard_link(to_path(name), &to.dir, to_path(new_name)).map_err(|error| {
            match error.kind() {
                ErrorKind::AlreadyExists | ErrorKind::NotFound => error,
                _ => ErrorKind::Unsupported.into(),
            }
        })
    }

    /// Removes what stands under `name`, unless it is a folder.
    pub(in crate::transfer) fn remove_file(&self, name: &[u8]) -> io::Result<()> {
        self.dir.remove_file(to_path(name))
    }

    /// Removes the folder `name` if it is empty.
    pub(in crate::transfer) fn remove_folder(&self, name: &[u8]) -> io::Result<()> {
        self.dir.remove_dir(to_path(name))
    }

    /// A folder keeps the time and permissions that it was made with.
    pub(in crate::transfer) fn set_metadata(
        &self,
        _mode: u32,
        _mtime: Timestamp,
    ) -> io::Result<()> {
        Ok(())
    }

    /// A folder's names are the system's to keep.
    pub(in crate::transfer) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// `Unsupported`: there is no such call.
    pub(in crate::transfer) fn sync_file_system(&self) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    /// Folders have no locks.
    pub(in crate::transfer) fn lock(&self) -> io::Result<()> {
        Ok(())
    }

    /// Folders have no locks.
    pub(in crate::transfer) fn unlock(&self) {}
}

/// The names in a folder, one by one.
#[derive(Debug)]
pub(in crate::transfer) struct Listing(ReadDir);

impl Listing {
    /// The next name.
    pub(in crate::transfer) fn next_name(&mut self) -> Option<io::Result<Vec<u8>>> {
        Some(self.0.next()?.map(|entry| name_bytes(&entry.file_name()).to_vec()))
    }
}

/// What an open file is.
pub(in crate::transfer) fn stat_file(file: &File) -> io::Result<Stat> {
    Ok(convert(&Metadata::from_file(file)?, volume::keeps_numbers(file)))
}

/// Nothing is to be told.
pub(in crate::transfer) fn expect_sequential_reads(_file: &File) {}

/// Gives an open file its modification time, if the system can express it.
pub(in crate::transfer) fn set_metadata(
    file: &File,
    _mode: u32,
    mtime: Timestamp,
) -> io::Result<()> {
    let seconds = Duration::from_secs(mtime.secs().unsigned_abs());
    let time = if mtime.secs() < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    match time.and_then(|time| time.checked_add(Duration::from_nanos(mtime.nanos().into()))) {
        Some(time) => file.set_times(FileTimes::new().set_modified(time)),
        None => Ok(()),
    }
}

/// Reads at `offset`, wherever other threads read; the number of bytes, 0 at the end.
pub(in crate::transfer) fn read_at(
    file: &File,
    bytes: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    file.seek_read(bytes, offset)
}

/// Writes all of `bytes` at `offset`, wherever other threads write.
pub(in crate::transfer) fn write_all_at(
    file: &File,
    mut bytes: &[u8],
    mut offset: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = match file.seek_write(bytes, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            written => written?,
        };
        bytes = &bytes[count..];
        offset += u64::try_from(count).map_err(io::Error::other)?;
    }
    Ok(())
}

/// All is data: holes are not told.
pub(in crate::transfer) fn next_data(_file: &File, offset: u64) -> io::Result<Option<u64>> {
    Ok(Some(offset))
}

/// Holes are not told.
pub(in crate::transfer) fn has_hole(_file: &File, _size: u64) -> bool {
    false
}

/// Who may read and write a file is inherited here; that it can be run, or not be written, is lost.
pub(in crate::transfer) fn keeps_mode(stat: &Stat, mode: u32) -> bool {
    match stat.kind {
        Kind::Folder => mode & 0o700 == 0o700,
        _ => mode & 0o300 == 0o200,
    }
}

/// `Unsupported`: files here are whole.
pub(in crate::transfer) fn punch_hole(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Makes sure that there is room for `len` bytes of a file that has none.
pub(in crate::transfer) fn allocate(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)
}

/// A name as the system writes it in a path of its own. Names are Unicode: `RelPath` saw to it.
pub(in crate::transfer) fn to_path(name: &[u8]) -> &Path {
    Path::new(str::from_utf8(name).unwrap_or_default())
}

/// The bytes of a name that the system gave us; no UTF-8 if the name is not Unicode.
pub(in crate::transfer) fn name_bytes(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

/// Of what was looked at by a handle: a folder's listing does not tell which file a name is of.
fn convert(metadata: &Metadata, has_numbers: bool) -> Stat {
    let file_type = metadata.file_type();
    let mtime = metadata
        .modified()
        .map_or_else(|_| Timestamp::default(), |time| timestamp(time.into_std()));
    Stat {
        kind: match () {
            () if file_type.is_file() => Kind::File,
            () if file_type.is_dir() => Kind::Folder,
            () if file_type.is_symlink() => Kind::Symlink,
            () => Kind::Special,
        },
        // 0 and the greatest number stand for none (MS-FSCC 2.1.9). Folders are not moved.
        id: Some(FileId { device: metadata.dev(), inode: metadata.ino() })
            .filter(|id| (has_numbers || file_type.is_dir()) && !matches!(id.inode, 0 | u64::MAX)),
        size: metadata.len(),
        mode: if file_type.is_dir() { 0o755 } else { 0o644 },
        has_special_bits: false,
        mtime,
        ctime: mtime,
        links: metadata.nlink(),
        allocated: None,
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let (secs, nanos) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).ok(), after.subsec_nanos()),
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).ok().map(|secs| -secs);
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanos => (seconds.map(|secs| secs - 1), 1_000_000_000 - nanos),
            }
        }
    };
    secs.and_then(|secs| Timestamp::new(secs, nanos)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
