//! Whom this process acts for, and whether a pipe is theirs.
#![expect(unsafe_code, reason = "the standard library knows nothing of users")]

use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;

use widestring::U16CStr;
use windows_sys::Win32::Foundation::{ERROR_SUCCESS, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, GetSecurityInfo, SE_KERNEL_OBJECT,
};
use windows_sys::Win32::Security::{
    EqualSid, GetTokenInformation, OWNER_SECURITY_INFORMATION, PSID, TOKEN_QUERY, TOKEN_USER,
    TokenUser,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// The user of a process, the same whether it is elevated or not: a `TOKEN_USER` with what it points
/// to behind it, at most `SECURITY_MAX_SID_SIZE`, 68 bytes. The box keeps it where it is.
pub(super) struct User(Box<[usize; 16]>);

impl User {
    pub(super) fn of_this_process() -> io::Result<Self> {
        let mut token = null_mut();
        // SAFETY: the pseudo-handle of this process is always valid, and the token has a variable.
        if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &mut token) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the system has just given it to us.
        let token = unsafe { OwnedHandle::from_raw_handle(token) };
        let mut user = Self(Box::new([0; 16]));
        let size = u32::try_from(size_of_val(&*user.0)).expect("128 bytes or fewer");
        let (place, mut length) = (user.0.as_mut_ptr().cast(), 0);
        // SAFETY: the token is open, and there are `size` bytes at `place`.
        let asked = unsafe {
            GetTokenInformation(token.as_raw_handle(), TokenUser, place, size, &mut length)
        };
        if asked == 0 { Err(io::Error::last_os_error()) } else { Ok(user) }
    }

    /// As security descriptors name them: "S-1-5-21-…".
    pub(super) fn name(&self) -> io::Result<String> {
        let mut name = null_mut();
        // SAFETY: the identifier is valid, and the name has a variable.
        if unsafe { ConvertSidToStringSidW(self.sid(), &mut name) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the system has put text there that ends with a zero, and wants it freed so.
        unsafe {
            let text = U16CStr::from_ptr_str(name).to_string_lossy();
            LocalFree(name.cast());
            Ok(text)
        }
    }

    /// Whether the pipe is theirs.
    pub(super) fn owns(&self, pipe: BorrowedHandle<'_>) -> io::Result<bool> {
        let (mut owner, mut descriptor) = (null_mut(), null_mut());
        // SAFETY: the handle is open; what is asked for has a variable of this function's, and the
        // rest, which is not asked for, may be null.
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
            let equal = !owner.is_null() && EqualSid(owner, self.sid()) != 0;
            LocalFree(descriptor);
            Ok(equal)
        }
    }

    fn sid(&self) -> PSID {
        // SAFETY: the system has put a TOKEN_USER at the start, which is aligned as a pointer is.
        unsafe { (*self.0.as_ptr().cast::<TOKEN_USER>()).User.Sid }
    }
}
