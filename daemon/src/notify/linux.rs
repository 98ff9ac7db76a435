//! Linux: notifications as the Desktop Notifications Specification 1.2 has them, over the session bus.
//!
//! The bus is looked for when there is something to show. While nobody answers, little is asked again:
//! the board waits for the next note, for a notification server to appear, or longer and longer.

mod bus;
mod opening;

use std::time::{Duration, Instant};

use self::bus::Bus;
pub(super) use self::opening::{open, show};
use super::Outside;
use super::board::Change;

/// How long the end of the daemon waits for the desktop to show what it was asked to, and then to take
/// notes away.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Keeps the screen as the board has it until the daemon ends.
pub(super) async fn run(outside: Outside) {
    let mut screen = Screen { outside: outside.clone(), bus: None };
    let late = async {
        outside.stop.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = screen.follow() => {}
        () = late => {}
    }
    let _ = tokio::time::timeout(LAST_WORDS, screen.clear()).await;
}

struct Screen {
    outside: Outside,
    bus: Option<Bus>,
}

impl Screen {
    /// Makes what changes the board wants. At the end of the daemon it ends between two changes, so that
    /// what it has shown is known.
    async fn follow(&mut self) {
        let outside = self.outside.clone();
        while !outside.stop.is_cancelled() {
            match outside.notifier.with(|board| board.next(Instant::now())) {
                Some(change) => self.make(change).await,
                None => tokio::select! {
                    () = outside.stop.cancelled() => {}
                    () = outside.work() => {}
                },
            }
        }
    }

    async fn make(&mut self, change: Change) {
        match change {
            Change::Close(handle) => {
                if let Some(bus) = &self.bus {
                    // One that is gone already is no trouble.
                    let _ = bus.close(&handle).await;
                }
            }
            Change::Show { topic, note, replaces } => {
                let shown = match self.bus().await {
                    Ok(bus) => bus.show(&note, replaces.as_ref()).await,
                    Err(error) => Err(error),
                };
                match shown {
                    Ok(handle) => self.outside.shown(&topic, handle),
                    Err(error) => {
                        tracing::debug!(%error, "nothing shows notifications here");
                        self.outside.not_shown(&topic);
                    }
                }
            }
        }
    }

    /// The session bus; connected to now if it was not yet, or was lost.
    async fn bus(&mut self) -> zbus::Result<&Bus> {
        let bus = match self.bus.take().filter(Bus::is_alive) {
            Some(bus) => bus,
            None => Bus::connect(&self.outside).await?,
        };
        Ok(self.bus.insert(bus))
    }

    /// Takes everything away.
    async fn clear(&mut self) {
        let Some(bus) = &self.bus else { return };
        for handle in self.outside.notifier.with(super::board::Board::take_all) {
            let _ = bus.close(&handle).await;
        }
    }
}
