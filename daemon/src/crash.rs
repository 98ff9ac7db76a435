//! Places between system calls in which a test can let the process die.
//!
//! Whatever changes what is durable says so here first: the calls on files and folders, the
//! journal's transactions, and what is told of them. In any build but that of the unit tests nothing
//! of this is left.

/// One of these places.
#[inline(always)]
pub(crate) fn point() {
    #[cfg(all(test, target_os = "linux"))]
    testing::pass();
}

#[cfg(all(test, target_os = "linux"))]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// How many places are left to be passed; none is the last if it is 0.
    static LEFT: AtomicU64 = AtomicU64::new(0);

    /// From now on the process passes so many places and dies in the next one.
    pub(crate) fn die_after(places: u64) {
        LEFT.store(places + 1, Ordering::SeqCst);
    }

    pub(super) fn pass() {
        let left =
            LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left == Ok(1) {
            kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
        }
    }
}
