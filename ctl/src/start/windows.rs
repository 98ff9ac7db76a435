//! Detaching on Windows: no console.

use std::os::windows::process::CommandExt;
use std::process::Command;

/// No console, not even an invisible one.
const DETACHED_PROCESS: u32 = 0x0000_0008;
/// Ctrl-C in the starting console does not reach it.
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;

pub(super) fn detach(command: &mut Command) {
    command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
}
