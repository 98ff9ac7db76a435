//! Notifications on this user's desktop: who wants to send something, with buttons that answer, and
//! how transfers ended.
//!
//! The daemon's loop tells a [`Notifier`] what it tells everybody who watches, and takes the
//! [`Ask`]s that come back as it takes calls of `ffctl`. [`board`] decides what there is to show,
//! without a desktop and without a clock; [`note`] words it; one task per platform puts it on the
//! screen and brings back the clicks. Nothing here knows the daemon's state, and the daemon knows
//! nothing of desktops.
//!
//! On Linux this speaks `org.freedesktop.Notifications` itself, over the one bus connection that
//! opening files needs as well: the crate `notify-rust` waits for each notification with a thread and
//! a connection of its own, and does not tell one notification server from the next, whose ids begin
//! anew. On Windows it is `notify-rust`.

mod board;
mod budget;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
mod note;
#[cfg(any(target_os = "macos", windows))]
mod unconfined;
#[cfg(windows)]
mod windows;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use filefleet_ctl::proto::{Call, ControlError, Event, Reply};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::board::{Board, Handle, Topic};
#[cfg(target_os = "linux")]
use self::linux as desktop;
#[cfg(target_os = "macos")]
use self::macos as desktop;
use self::note::Click;
#[cfg(windows)]
use self::windows as desktop;

/// What a click asks of the daemon.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) call: Call,
    pub(crate) answer: oneshot::Sender<Result<Reply, ControlError>>,
}

/// Takes in what there is to tell, without waiting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notifier {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    board: Mutex<Board>,
    /// Something is to be shown, changed or taken away.
    changed: Notify,
}

impl Notifier {
    /// Takes in what happened.
    pub(crate) fn learn(&self, event: &Event) {
        self.change(|board| board.learn(event, Instant::now()));
    }

    /// Shows what there is to show until `stop` is cancelled, and then takes it away: its buttons
    /// would do nothing.
    pub(crate) fn start(
        &self,
        asks: mpsc::Sender<Ask>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) {
        let outside = Outside { notifier: self.clone(), asks, tasks: tasks.clone(), stop };
        tasks.spawn(desktop::run(outside));
    }

    /// Changes the board; `change` says whether there is something to do on the screen.
    fn change(&self, change: impl FnOnce(&mut Board) -> bool) {
        if self.with(change) {
            self.shared.changed.notify_one();
        }
    }

    /// The board, for a moment.
    fn with<T>(&self, work: impl FnOnce(&mut Board) -> T) -> T {
        work(&mut self.shared.board.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the platforms need: the board, and a way to do what was clicked.
#[derive(Debug, Clone)]
struct Outside {
    notifier: Notifier,
    asks: mpsc::Sender<Ask>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Outside {
    /// Waits until the board has something to do: something has changed, or its time has come.
    /// Cancel safe.
    async fn work(&self) {
        match self.notifier.with(|board| board.due()) {
            Some(due) => tokio::select! {
                () = self.notifier.shared.changed.notified() => {}
                () = tokio::time::sleep_until(due.into()) => {}
            },
            None => self.notifier.shared.changed.notified().await,
        }
    }

    /// A note is on the screen, and may have been clicked already.
    fn shown(&self, topic: &Topic, handle: Handle) {
        let clicks = self.notifier.with(|board| board.shown(topic, handle));
        clicks.into_iter().for_each(|click| self.perform(click));
    }

    /// A button was clicked.
    #[cfg_attr(target_os = "macos", allow(dead_code, reason = "there are no buttons there"))]
    fn clicked(&self, handle: &Handle, key: &str) {
        let mut click = None;
        self.notifier.change(|board| {
            click = board.clicked(handle, key);
            true
        });
        if let Some(click) = click {
            self.perform(click);
        }
    }

    /// A note could not be shown.
    fn not_shown(&self, topic: &Topic) {
        self.notifier.with(|board| board.not_shown(topic, Instant::now()));
    }

    /// Does what was clicked. What goes wrong is shown.
    fn perform(&self, click: Click) {
        let outside = self.clone();
        self.tasks.spawn(async move {
            let work = async {
                match click {
                    Click::Call(call) => outside.ask(call).await,
                    Click::Open(file_path) => desktop::open(file_path).await,
                    Click::Show(paths) => desktop::show(paths).await,
                }
            };
            tokio::select! {
                biased;
                () = outside.stop.cancelled() => {}
                done = work => if let Err(trouble) = done {
                    outside.notifier.change(|board| board.add_trouble(&trouble));
                },
            }
        });
    }

    async fn ask(&self, call: Call) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        // Of a daemon that is ending there is nothing to tell.
        let _ = self.asks.send(Ask { call, answer }).await;
        match answered.await {
            Ok(Err(error)) => Err(match &error.hint {
                Some(hint) => format!("{}\n{hint}", error.message),
                None => error.message,
            }),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }
}
