//! Folders by file descriptor: the `*at` system calls, `openat2` where the kernel has it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{
    self as fs, Access, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Timespec,
    Timestamps,
};
use rustix::io::Errno;

use super::{FileId, Kind, Stat, plain};
use crate::crash;
use crate::transfer::entry::{MODE_BITS, Timestamp};

const FOLDER_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// `NONBLOCK`: a pipe that somebody put in a file's place must not hold us up.
const FILE_FLAGS: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Set-user-id, set-group-id and sticky.
const SPECIAL_BITS: u32 = 0o7000;

/// An open folder.
#[derive(Debug)]
pub(in crate::transfer) struct Folder(OwnedFd);

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Opening and looking.
impl Folder {
    /// Whether [`Self::sync_file_system`] works here.
    pub(in crate::transfer) const SYNCS_FILE_SYSTEM: bool = cfg!(target_os = "linux");

    /// Opens a folder that the user named; symbolic links in `path` are followed.
    pub(in crate::transfer) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(fs::openat(fs::CWD, path, FOLDER_FLAGS, Mode::empty())?))
    }

    /// Opens the folder `name`; `NotADirectory` if anything else stands there, links included.
    pub(in crate::transfer) fn open_folder(&self, name: &[u8]) -> io::Result<Self> {
        match open_beneath(self, plain(name)?, FOLDER_FLAGS, Mode::empty()) {
            Ok(fd) => Ok(Self(fd)),
            Err(Errno::LOOP) => Err(ErrorKind::NotADirectory.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The same for a folder of our own, which is removed while it is open.
    pub(in crate::transfer) fn open_own_folder(&self, name: &[u8]) -> io::Result<Self> {
        self.open_folder(name)
    }

    /// Opens the regular file `name`; `InvalidInput` if anything else stands there.
    pub(in crate::transfer) fn open_file(
        &self,
        name: &[u8],
        write: bool,
    ) -> io::Result<(File, Stat)> {
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let opened = open_beneath(self, plain(name)?, FILE_FLAGS.union(access), Mode::empty());
        let file = match opened {
            Ok(fd) => File::from(fd),
            // What links, sockets, folders (for writing) and device nodes without a device say.
            Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR | Errno::NODEV) => {
                return Err(ErrorKind::InvalidInput.into());
            }
            Err(error) => return Err(error.into()),
        };
        let stat = stat_file(&file)?;
        if stat.kind == Kind::File { Ok((file, stat)) } else { Err(ErrorKind::InvalidInput.into()) }
    }

    /// What stands under `name`.
    pub(in crate::transfer) fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        Ok(convert(&fs::statat(&self.0, plain(name)?, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Fails unless the file `name` may be read.
    pub(in crate::transfer) fn check_readable(&self, name: &[u8]) -> io::Result<()> {
        Ok(fs::accessat(&self.0, plain(name)?, Access::READ_OK, AtFlags::EACCESS)?)
    }

    /// What the folder itself is.
    pub(in crate::transfer) fn stat_self(&self) -> io::Result<Stat> {
        Ok(convert(&fs::fstat(&self.0)?))
    }

    /// Where the symbolic link `name` points.
    pub(in crate::transfer) fn read_symlink(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(fs::readlinkat(&self.0, plain(name)?, Vec::new())?.into_bytes())
    }

    /// Whether nobody but this user, and whoever owns `parent` anyhow, can have made the folder.
    pub(in crate::transfer) fn is_ours(&self, parent: &Self) -> io::Result<bool> {
        let owner = fs::fstat(&self.0)?.st_uid;
        Ok(owner == rustix::process::geteuid().as_raw() || owner == fs::fstat(&parent.0)?.st_uid)
    }

    /// The names in the folder, read as they are asked for.
    pub(in crate::transfer) fn list(&self) -> io::Result<Listing> {
        Ok(Listing(fs::Dir::read_from(&self.0)?))
    }

    /// How many bytes an ordinary user can still write here, where that is known.
    pub(in crate::transfer) fn free_space(&self) -> Option<u64> {
        let stat = fs::fstatvfs(&self.0).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Changing.
impl Folder {
    /// Makes the folder `name`, for its owner only.
    pub(in crate::transfer) fn make_folder(&self, name: &[u8]) -> io::Result<()> {
        crash::point();
        Ok(fs::mkdirat(&self.0, plain(name)?, Mode::RWXU)?)
    }

    /// Makes the file `name`, for its owner only; `AlreadyExists` if anything stands there.
    pub(in crate::transfer) fn create_file(&self, name: &[u8]) -> io::Result<File> {
        crash::point();
        let flags = FILE_FLAGS | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(File::from(open_beneath(self, plain(name)?, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// Makes the symbolic link `name` with its modification time.
    pub(in crate::transfer) fn make_symlink(
        &self,
        name: &[u8],
        target: &[u8],
        mtime: Timestamp,
    ) -> io::Result<()> {
        crash::point();
        fs::symlinkat(target, &self.0, plain(name)?)?;
        crash::point();
        as_far_as_kept(fs::utimensat(&self.0, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW))
    }

    /// Moves the file or link `name` to `new_name` in `to`; `AlreadyExists` if anything stands there.
    pub(in crate::transfer) fn rename_new(
        &self,
        name: &[u8],
        to: &Self,
        new_name: &[u8],
    ) -> io::Result<()> {
        let (name, new_name) = (plain(name)?, plain(new_name)?);
        crash::point();
        match fs::renameat_with(&self.0, name, &to.0, new_name, RenameFlags::NOREPLACE) {
            // NFS and exFAT are such file systems.
            Err(error) if is_unsupported(error) => self.rename_by_link(name, to, new_name),
            other => Ok(other?),
        }
    }

    /// Gives the file `name` the further name `new_name` in `to`; `AlreadyExists` if anything stands
    /// there, `Unsupported` where the file system has no more names for it.
    pub(in crate::transfer) fn link_new(
        &self,
        name: &[u8],
        to: &Self,
        new_name: &[u8],
    ) -> io::Result<()> {
        crash::point();
        let linked = fs::linkat(&self.0, plain(name)?, &to.0, plain(new_name)?, AtFlags::empty());
        match linked {
            Err(Errno::PERM | Errno::MLINK | Errno::XDEV) => Err(ErrorKind::Unsupported.into()),
            Err(error) if is_unsupported(error) => Err(ErrorKind::Unsupported.into()),
            linked => Ok(linked?),
        }
    }

    /// Exchanges the file `name` with `old_name` in `to` in one step, if what stands there `is_old`;
    /// false, and nothing has changed, if it is not, or is not `still_old` once it was moved.
    /// `Unsupported` where the file system cannot do so.
    pub(in crate::transfer) fn replace(
        &self,
        name: &[u8],
        to: &Self,
        old_name: &[u8],
        is_old: impl Fn(&Stat) -> bool,
        still_old: impl Fn(&Stat) -> bool,
    ) -> io::Result<bool> {
        let (name, old_name) = (plain(name)?, plain(old_name)?);
        if !is_old(&to.stat(old_name)?) {
            return Ok(false);
        }
        crash::point();
        let exchange = || fs::renameat_with(&self.0, name, &to.0, old_name, RenameFlags::EXCHANGE);
        match exchange() {
            Err(error) if is_unsupported(error) => return Err(ErrorKind::Unsupported.into()),
            exchanged => exchanged?,
        }
        if still_old(&self.stat(name)?) {
            return Ok(true);
        }
        // Somebody changed it in the very moment: it is theirs.
        exchange()?;
        Ok(false)
    }

    /// [`Self::rename_new`] where only hard links refuse to replace.
    fn rename_by_link(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()> {
        crash::point();
        match fs::linkat(&self.0, name, &to.0, new_name, AtFlags::empty()) {
            Err(error) if is_unsupported(error) || [Errno::PERM, Errno::MLINK].contains(&error) => {
                self.rename_over_claim(name, to, new_name)
            }
            Err(error) => Err(error.into()),
            Ok(()) => self.remove_file(name),
        }
    }

    /// [`Self::rename_new`] where there are no hard links either: an empty file claims the name.
    fn rename_over_claim(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()> {
        drop(to.create_file(new_name)?);
        crash::point();
        if let Err(error) = fs::renameat(&self.0, name, &to.0, new_name) {
            to.remove_file(new_name)?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Removes what stands under `name`, unless it is a folder.
    pub(in crate::transfer) fn remove_file(&self, name: &[u8]) -> io::Result<()> {
        crash::point();
        Ok(fs::unlinkat(&self.0, plain(name)?, AtFlags::empty())?)
    }

    /// Removes the folder `name` if it is empty.
    pub(in crate::transfer) fn remove_folder(&self, name: &[u8]) -> io::Result<()> {
        crash::point();
        Ok(fs::unlinkat(&self.0, plain(name)?, AtFlags::REMOVEDIR)?)
    }

    /// Gives the folder itself its time and permission bits, as far as its file system keeps them.
    pub(in crate::transfer) fn set_metadata(&self, mode: u32, mtime: Timestamp) -> io::Result<()> {
        crash::point();
        as_far_as_kept(fs::futimens(&self.0, &times(mtime)))?;
        crash::point();
        as_far_as_kept(fs::fchmod(&self.0, mode_of(mode)))
    }

    /// Waits until the names in this folder would survive a crash.
    pub(in crate::transfer) fn sync(&self) -> io::Result<()> {
        crash::point();
        Ok(fs::fsync(&self.0)?)
    }

    /// Waits until everything on the file system would survive a crash; `Unsupported` where the
    /// system has no such call.
    pub(in crate::transfer) fn sync_file_system(&self) -> io::Result<()> {
        crash::point();
        #[cfg(target_os = "linux")]
        return Ok(fs::syncfs(&self.0)?);
        #[cfg(not(target_os = "linux"))]
        return Err(ErrorKind::Unsupported.into());
    }

    /// Takes the folder for this process and handle until it is dropped; `WouldBlock` if another
    /// has it. File systems without locks give it to everybody.
    pub(in crate::transfer) fn lock(&self) -> io::Result<()> {
        match fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }

    /// Gives the folder back at once: as long as a program that was just started has our handles too,
    /// dropping this one would not.
    pub(in crate::transfer) fn unlock(&self) {
        // Without it the lock goes with the last handle.
        let _ = fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// The names in a folder, one by one.
#[derive(Debug)]
pub(in crate::transfer) struct Listing(fs::Dir);

impl Listing {
    /// The next name; `.` and `..` are left out.
    pub(in crate::transfer) fn next_name(&mut self) -> Option<io::Result<Vec<u8>>> {
        loop {
            match self.0.read()? {
                Err(error) => return Some(Err(error.into())),
                Ok(entry) => {
                    let name = entry.file_name().to_bytes();
                    if name != b"." && name != b".." {
                        return Some(Ok(name.to_vec()));
                    }
                }
            }
        }
    }
}

/// What an open file is.
pub(in crate::transfer) fn stat_file(file: &File) -> io::Result<Stat> {
    Ok(convert(&fs::fstat(file)?))
}

/// Tells the system that a large file is read from its beginning to its end.
pub(in crate::transfer) fn expect_sequential_reads(file: &File) {
    #[cfg(target_os = "linux")]
    // A hint: the reads work without it.
    let _ = fs::fadvise(file, 0, None, fs::Advice::Sequential);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Gives an open file its permission bits and modification time, as far as its file system keeps them.
pub(in crate::transfer) fn set_metadata(
    file: &File,
    mode: u32,
    mtime: Timestamp,
) -> io::Result<()> {
    crash::point();
    as_far_as_kept(fs::fchmod(file, mode_of(mode)))?;
    crash::point();
    as_far_as_kept(fs::futimens(file, &times(mtime)))
}

/// Reads at `offset`, wherever other threads read; the number of bytes, 0 at the end.
pub(in crate::transfer) fn read_at(
    file: &File,
    bytes: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    file.read_at(bytes, offset)
}

/// Writes all of `bytes` at `offset`, wherever other threads write.
pub(in crate::transfer) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    crash::point();
    file.write_all_at(bytes, offset)
}

/// Where the next data lies at or behind `offset`; `None` if there are only holes from there on. Where
/// the system does not tell, all is data.
pub(in crate::transfer) fn next_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
    #[cfg(target_os = "linux")]
    return match fs::seek(file, fs::SeekFrom::Data(offset)) {
        Err(Errno::NXIO) => Ok(None),
        Err(error) if is_unsupported(error) => Ok(Some(offset)),
        found => Ok(Some(found?)),
    };
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        Ok(Some(offset))
    }
}

/// Whether a file of this size has a hole. Where the system does not tell, it has none.
pub(in crate::transfer) fn has_hole(file: &File, size: u64) -> bool {
    #[cfg(target_os = "linux")]
    return fs::seek(file, fs::SeekFrom::Hole(0)).is_ok_and(|hole| hole < size);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, size);
        false
    }
}

/// Whether a file has these permission bits.
pub(in crate::transfer) fn keeps_mode(stat: &Stat, mode: u32) -> bool {
    stat.mode == mode & MODE_BITS
}

/// Makes a part of a file zeros that occupy no disk; `Unsupported` where there are no holes.
pub(in crate::transfer) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<()> {
    crash::point();
    #[cfg(target_os = "linux")]
    return match fs::fallocate(
        file,
        fs::FallocateFlags::PUNCH_HOLE | fs::FallocateFlags::KEEP_SIZE,
        offset,
        len,
    ) {
        Err(error) if is_unsupported(error) => Err(ErrorKind::Unsupported.into()),
        punched => Ok(punched?),
    };
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, offset, len);
        Err(ErrorKind::Unsupported.into())
    }
}

/// Makes sure that there is room for `len` bytes of a file that has none; `Unsupported` where the file
/// system cannot say.
pub(in crate::transfer) fn allocate(file: &File, len: u64) -> io::Result<()> {
    crash::point();
    match fs::fallocate(file, fs::FallocateFlags::empty(), 0, len) {
        Err(error) if is_unsupported(error) => Err(ErrorKind::Unsupported.into()),
        allocated => Ok(allocated?),
    }
}

/// A name as the system writes it in a path of its own.
pub(in crate::transfer) fn to_path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

/// The bytes of a name that the system gave us.
pub(in crate::transfer) fn name_bytes(name: &OsStr) -> &[u8] {
    name.as_bytes()
}

/// Opens `name` in `folder`. With `openat2` the kernel itself refuses to leave the folder and to follow
/// any link, be it one of `/proc`.
fn open_beneath(
    folder: &Folder,
    name: &[u8],
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags.union(OFlags::NOFOLLOW);
    #[cfg(target_os = "linux")]
    if has_openat2() {
        let resolve = fs::ResolveFlags::BENEATH
            .union(fs::ResolveFlags::NO_SYMLINKS)
            .union(fs::ResolveFlags::NO_MAGICLINKS);
        return match fs::openat2(folder, name, flags, mode, resolve) {
            // Moved out of the folder in the very moment, so it is not there any more.
            Err(Errno::XDEV) => Err(Errno::NOENT),
            opened => opened,
        };
    }
    fs::openat(folder, name, flags, mode)
}

/// Whether there is `openat2`: Linux has it since 5.6, and some containers' filters forbid it.
#[cfg(target_os = "linux")]
fn has_openat2() -> bool {
    static ANSWER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ANSWER.get_or_init(|| {
        let flags = OFlags::PATH.union(OFlags::CLOEXEC);
        let tried = fs::openat2(fs::CWD, "/", flags, Mode::empty(), fs::ResolveFlags::NO_SYMLINKS);
        !matches!(tried, Err(Errno::NOSYS | Errno::PERM))
    })
}

/// Some file systems refuse what they cannot keep, and others ignore it: either way it shows when the
/// file is looked at.
fn as_far_as_kept(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error == Errno::PERM || is_unsupported(error) => Ok(()),
        result => Ok(result?),
    }
}

/// Whether a call failed because this system or file system does not have it.
fn is_unsupported(error: Errno) -> bool {
    [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP].contains(&error)
}

#[allow(clippy::useless_conversion, reason = "not all systems have 32 bits here")]
fn mode_of(mode: u32) -> Mode {
    Mode::from_raw_mode((mode & MODE_BITS).try_into().unwrap_or(0))
}

fn times(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.secs(), tv_nsec: mtime.nanos().into() },
    }
}

#[allow(clippy::useless_conversion, reason = "the widths differ between systems")]
fn convert(stat: &fs::Stat) -> Stat {
    let time = |secs: i64, nanos| {
        u32::try_from(nanos).ok().and_then(|nanos| Timestamp::new(secs, nanos)).unwrap_or_default()
    };
    Stat {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Special,
        },
        id: Some(FileId { device: u64::try_from(stat.st_dev).unwrap_or(0), inode: stat.st_ino }),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: u32::from(stat.st_mode) & MODE_BITS,
        has_special_bits: u32::from(stat.st_mode) & SPECIAL_BITS != 0,
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        links: stat.st_nlink.into(),
        // POSIX leaves the unit open; every system that we know counts in 512 bytes.
        allocated: u64::try_from(stat.st_blocks).ok().map(|blocks| blocks.saturating_mul(512)),
    }
}

#[cfg(test)]
mod tests;
