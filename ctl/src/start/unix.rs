//! Detaching on Unix: a session of its own.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The daemon gets a session of its own, so that neither Ctrl-C nor the terminal's end reaches it.
#[expect(unsafe_code, reason = "the standard library has no other way to call setsid")]
pub(super) fn detach(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe functions may be called, and setsid(2)
    // is one (signal-safety(7)); nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}
