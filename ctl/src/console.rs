//! Windows: programs that open no window of a console, and yet can speak on the one they are started
//! from.
//!
//! The daemon and the tray are programs without a console (`windows_subsystem`), so that none pops up
//! at the login. The system gives them none to write to either, not even that of a shell.

use std::io;
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::System::Console::{ATTACH_PARENT_PROCESS, AttachConsole};

/// Lets standard output and error go to the console of whoever started this program, if it has one.
/// Does nothing if they go somewhere already; a daemon that was started in the background stays away
/// from the console that started it, and so outlives it.
#[expect(unsafe_code, reason = "the standard library has no other way to attach a console")]
pub fn attach() {
    if !io::stderr().as_raw_handle().is_null() {
        return;
    }
    // SAFETY: it takes no pointer. The standard library asks for the handles at each use, so nothing
    // holds one that this replaces. Without a console there is nobody to tell that it failed.
    unsafe {
        AttachConsole(ATTACH_PARENT_PROCESS);
    }
}
