//! Ctrl-C, as often as it comes.

use crate::failure::CommandError;

#[cfg(unix)]
type Signal = tokio::signal::unix::Signal;
#[cfg(windows)]
type Signal = tokio::signal::windows::CtrlC;

/// Catches Ctrl-C from now on; none is lost.
#[derive(Debug)]
pub(in crate::cmd) struct Interrupts(Signal);

impl Interrupts {
    pub(in crate::cmd) fn new() -> Result<Self, CommandError> {
        #[cfg(unix)]
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
        #[cfg(windows)]
        let signal = tokio::signal::windows::ctrl_c();
        let failed = |error| CommandError::failed(format!("cannot catch Ctrl-C: {error}"));
        signal.map(Self).map_err(failed)
    }

    /// The next Ctrl-C. Cancel safe.
    pub(in crate::cmd) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // The runtime is ending, and nothing is caught any more.
            std::future::pending().await
        }
    }
}
