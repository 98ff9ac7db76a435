//! Who made a pipe.
#![expect(unsafe_code, reason = "the standard library knows nothing of owners")]

use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, LocalFree};
use windows_sys::Win32::Security::Authorization::{GetSecurityInfo, SE_KERNEL_OBJECT};
use windows_sys::Win32::Security::{
    EqualSid, GetTokenInformation, OWNER_SECURITY_INFORMATION, PSID, TOKEN_OWNER, TOKEN_QUERY,
    TokenOwner,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// Whether the pipe was made by somebody to whom this process, too, would give what it makes.
pub(super) fn is_ours(pipe: BorrowedHandle<'_>) -> io::Result<bool> {
    let own = Owner::of_this_process()?;
    let (mut owner, mut descriptor) = (null_mut(), null_mut());
    // SAFETY: the handle is open; what is asked for has a variable of this function's, and the rest,
    // which is not asked for, may be null.
    let status = unsafe {
        GetSecurityInfo(
            pipe.as_raw_handle(),
            SE_KERNEL_OBJECT,
            OWNER_SECURITY_INFORMATION,
            &mut owner,
            null_mut(),
            null_mut(),
            null_mut(),
            &mut descriptor,
        )
    };
    if status != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(status.cast_signed()));
    }
    // SAFETY: both are what the system said, and the descriptor, into which one points, is freed
    // only afterwards, by the function that belongs to it.
    unsafe {
        let equal = !owner.is_null() && EqualSid(owner, own.sid()) != 0;
        LocalFree(descriptor);
        Ok(equal)
    }
}

/// A `TOKEN_OWNER` with what it points to behind it: at most `SECURITY_MAX_SID_SIZE`, 68 bytes. The
/// box keeps it where it is.
struct Owner(Box<[usize; 16]>);

impl Owner {
    fn of_this_process() -> io::Result<Self> {
        let mut token = null_mut();
        // SAFETY: the pseudo-handle of this process is always valid, and the token has a variable.
        if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &mut token) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the system has just given it to us.
        let token = unsafe { OwnedHandle::from_raw_handle(token) };
        let mut owner = Self(Box::new([0; 16]));
        let size = u32::try_from(size_of_val(&*owner.0)).expect("128 bytes or fewer");
        let (place, mut length) = (owner.0.as_mut_ptr().cast(), 0);
        // SAFETY: the token is open, and there are `size` bytes at `place`.
        let asked = unsafe {
            GetTokenInformation(token.as_raw_handle(), TokenOwner, place, size, &mut length)
        };
        if asked == 0 { Err(io::Error::last_os_error()) } else { Ok(owner) }
    }

    fn sid(&self) -> PSID {
        // SAFETY: the system has put a TOKEN_OWNER at the start, which is aligned as a pointer is.
        unsafe { (*self.0.as_ptr().cast::<TOKEN_OWNER>()).Owner }
    }
}
