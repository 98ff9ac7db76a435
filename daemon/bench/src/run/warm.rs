//! Memory that stays at hand. A virtual machine gives free memory back to its host after a moment (free
//! page reporting), and whoever writes to it next waits, page by page, until the host has cleared it.
//! That can take longer than all else, and falls on whoever comes after a pause.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use rustix::fs::{FallocateFlags, fallocate};

/// What goes back to the host is free blocks of 2 MiB: a page that is kept of every so many bytes
/// leaves none of them whole, and what lies between stays.
const STEP: u64 = 256 << 10;
/// For what a program needs besides the files that it writes.
const MORE: u64 = 256 << 20;

/// Free memory that the host does not get back while this lives. The kernel takes from it first,
/// because it is in small pieces.
#[derive(Debug)]
pub(crate) struct Warm {
    /// Keeps the pages between.
    _holder: File,
}

impl Warm {
    /// Enough for one copy of so many bytes on a tmpfs.
    pub(crate) fn up(memory_dir: &Path, bytes: u64) -> io::Result<Self> {
        let mut holder = tempfile::tempfile_in(memory_dir)?;
        let piece = vec![1; usize::try_from(STEP).unwrap_or(usize::MAX)];
        let steps = (bytes + MORE).div_ceil(STEP);
        for _ in 0..steps {
            holder.write_all(&piece)?;
        }
        let page = rustix::param::page_size() as u64;
        for step in 0..steps {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&holder, hole, step * STEP + page, STEP - page)?;
        }
        Ok(Self { _holder: holder })
    }
}
