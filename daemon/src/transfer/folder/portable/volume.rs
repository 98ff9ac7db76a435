//! What kind of file system a file lies on.
#![expect(unsafe_code, reason = "the standard library knows nothing of volumes")]

use std::os::windows::io::{AsHandle, AsRawHandle};
use std::ptr::null_mut;

use windows_sys::Win32::Storage::FileSystem::GetVolumeInformationByHandleW;

/// The most characters of a file system's name that are looked at, with the null at their end.
const NAME: u32 = 33;

/// Whether a file of the volume on which this lies keeps its number whatever it is called. FAT and
/// exFAT make the number of the place where the name stands. No, where the system does not say.
pub(super) fn keeps_numbers(opened: &impl AsHandle) -> bool {
    let mut name = [0; NAME as usize];
    let (handle, place) = (opened.as_handle(), name.as_mut_ptr());
    // SAFETY: the handle is open as long as it is borrowed, there are `NAME` characters at `place`, and
    // what is null is not asked for.
    let told = unsafe {
        GetVolumeInformationByHandleW(
            handle.as_raw_handle(),
            null_mut(),
            0,
            null_mut(),
            null_mut(),
            null_mut(),
            place,
            NAME,
        )
    };
    told != 0 && !String::from_utf16_lossy(&name).contains("FAT")
}
