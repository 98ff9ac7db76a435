//! What a service manager that started the daemon is told: that it serves, that it lives, that it
//! ends. This is systemd's protocol (`sd_notify(3)`): datagrams to `NOTIFY_SOCKET`. Without that
//! variable, and on other systems, everything here does nothing.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// What there is to tell.
#[derive(Debug, Clone, Copy)]
enum News {
    Serves,
    Lives,
    Ends,
}

/// Says that the control socket is served.
pub(crate) fn tell_ready() {
    tell(News::Serves);
}

/// Says that the daemon is ending, which may take a moment.
pub(crate) fn tell_stopping() {
    tell(News::Ends);
}

/// Signs of life, which the daemon's loop gives: a loop that is stuck gives none, and the manager
/// starts the daemon anew.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// `None` if nobody wants them.
    due: Option<Interval>,
}

impl Watchdog {
    /// What the manager wants. Must be called within a tokio runtime.
    pub(crate) fn from_env() -> Self {
        // Twice as often as is asked for, so that one late sign is no death (sd_watchdog_enabled(3)).
        let period = watchdog_period().map(|period| period / 2);
        let due = period.filter(|period| !period.is_zero()).map(|period| {
            let mut due = interval(period);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            due
        });
        Self { due }
    }

    /// Waits until a sign of life is due; for ever if nobody wants one. Cancel safe.
    pub(crate) async fn due(&mut self) {
        match &mut self.due {
            Some(due) => drop(due.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Gives a sign of life.
    pub(crate) fn feed(&self) {
        tell(News::Lives);
    }
}

#[cfg(target_os = "linux")]
fn tell(news: News) {
    let state = match news {
        News::Serves => sd_notify::NotifyState::Ready,
        News::Lives => sd_notify::NotifyState::Watchdog,
        News::Ends => sd_notify::NotifyState::Stopping,
    };
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, ?news, "cannot tell the service manager");
    }
}

#[cfg(target_os = "linux")]
fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(not(target_os = "linux"))]
fn tell(_news: News) {}

#[cfg(not(target_os = "linux"))]
fn watchdog_period() -> Option<Duration> {
    None
}
