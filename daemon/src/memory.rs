//! Memory that is not needed any more goes back to the system, so that an idle daemon is a small one:
//! what the allocator keeps, and the pages of the program itself. Most of these are of its start and of
//! what it did last; as long as nobody else wants their memory, the system would leave them in place.

use std::time::Duration;

/// When nothing has happened for so long, the daemon rests.
pub(crate) const CALM: Duration = Duration::from_secs(5);

/// Gives everything back that can be. Takes milliseconds.
pub(crate) fn give_back() {
    trim_heap();
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    program::give_back();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the allocator has no safe interface")]
fn trim_heap() {
    // SAFETY: malloc_trim takes no pointer and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators give back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim_heap() {}

/// The pages of the program and its libraries that nobody can have written to. The next use of one
/// finds it in the system's cache, or reads it from the file again.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[expect(
    unsafe_code,
    reason = "what is mapped where, and taking it away, is the loader's business"
)]
mod program {
    use std::ffi::{c_int, c_void};
    use std::ptr::{null_mut, without_provenance_mut};
    use std::slice;

    pub(super) fn give_back() {
        // SAFETY: the function is called during this call only, and needs no data.
        unsafe {
            libc::dl_iterate_phdr(Some(of_object), null_mut());
        }
    }

    /// Of the program, or of one of its libraries.
    unsafe extern "C" fn of_object(
        object: *mut libc::dl_phdr_info,
        _: libc::size_t,
        _: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader has given us an object and its headers, which live as long as it does.
        let (base, headers) = unsafe {
            let object = &*object;
            (object.dlpi_addr, slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()))
        };
        for header in headers {
            let is_constant = header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
            let range = is_constant.then(|| whole_pages(base, header)).flatten();
            let Some((start, length)) = range else { continue };
            // SAFETY: these pages are mapped from a file, read-only: what is read there next is what
            // was there before. That it fails harms nobody.
            unsafe {
                libc::madvise(without_provenance_mut(start), length, libc::MADV_DONTNEED);
            }
        }
        0
    }

    /// The pages that lie in a segment from end to end. One that a segment ends in may be part of the
    /// next one, which can be written to.
    fn whole_pages(base: libc::Elf64_Addr, header: &libc::Elf64_Phdr) -> Option<(usize, usize)> {
        // SAFETY: this only asks.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
        let start = usize::try_from(base.checked_add(header.p_vaddr)?).ok()?;
        let end = start.checked_add(usize::try_from(header.p_filesz).ok()?)?;
        let (start, end) = (start.checked_next_multiple_of(page)?, end - end % page);
        (start < end).then(|| (start, end - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written is there afterwards, and what was not is read again.
    #[test]
    fn nothing_is_lost_by_giving_back() {
        static WRITTEN: std::sync::Mutex<[u8; 8192]> = std::sync::Mutex::new([1; 8192]);
        static CONSTANT: [u8; 8192] = [2; 8192];
        WRITTEN.lock().expect("nobody panics").fill(3);
        let heap = vec![4_u8; 1 << 20];
        give_back();
        assert_eq!(*WRITTEN.lock().expect("nobody panics"), [3; 8192]);
        assert_eq!(CONSTANT, [2; 8192]);
        assert!(heap.iter().all(|byte| *byte == 4));
    }
}
