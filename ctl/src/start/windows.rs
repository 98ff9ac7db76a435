//! Detaching on Windows: no console, and nothing of whoever started this program.
#![expect(unsafe_code, reason = "what the standard library has for it is not stable yet")]

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle};
use std::os::windows::process::CommandExt;
use std::process::Command;

use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};

/// No console, not even an invisible one.
const DETACHED_PROCESS: u32 = 0x0000_0008;
/// Ctrl-C in the starting console does not reach it.
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;

pub(super) fn detach(command: &mut Command) {
    let (input, output, errors) = (io::stdin(), io::stdout(), io::stderr());
    for handle in [input.as_handle(), output.as_handle(), errors.as_handle()] {
        keep(handle);
    }
    command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
}

/// From now on no program that is started gets `handle` unless it is given it. Otherwise the daemon
/// would hold the pipe of a script that reads what `ffctl` says, which then waits for its end.
fn keep(handle: BorrowedHandle<'_>) {
    // SAFETY: the handle is open as long as it is borrowed, and its flags belong to this process.
    // Where it fails there is none, as without a console.
    let _ = unsafe { SetHandleInformation(handle.as_raw_handle(), HANDLE_FLAG_INHERIT, 0) };
}
