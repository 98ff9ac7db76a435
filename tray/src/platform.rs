//! The desktop: icon and menu on the screen, clicks, dialogs.
//!
//! Each platform has one loop on the main thread, which alone changes icon and menu. Everything else
//! reaches it as an [`Event`] over one channel: clicks, the daemon's link, one thread for each dialog
//! that is open.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
mod pace;

use std::path::PathBuf;
use std::sync::Arc;

use filefleet_ctl::{Home, open};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

use crate::app::Effect;
use crate::event::Event;
use crate::{dialog, link};

#[cfg(target_os = "linux")]
pub(crate) use linux::run;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::run;

/// Dialogs and openings at one time, each with a thread: more is a hand that slipped.
const MAX_THREADS: usize = 8;

/// Does what an event leads to, outside the loop.
#[derive(Debug, Clone)]
struct Outside {
    home: Home,
    runtime: Handle,
    events: mpsc::Sender<Event>,
    threads: Arc<Semaphore>,
}

impl Outside {
    fn new(home: Home, runtime: Handle, events: mpsc::Sender<Event>) -> Self {
        Self { home, runtime, events, threads: Arc::new(Semaphore::new(MAX_THREADS)) }
    }

    /// Follows the daemon from now on.
    fn follow_daemon(&self) {
        self.runtime.spawn(link::follow(self.home.clone(), self.events.clone()));
    }

    /// Begins what is to be done; `Effect::End` is the loop's own.
    fn begin(&self, effect: Effect) {
        let (home, events) = (self.home.clone(), self.events.clone());
        match effect {
            Effect::Call(call) => drop(self.runtime.spawn(link::call(home, call, events))),
            Effect::StartDaemon => drop(self.runtime.spawn(link::start(home, events))),
            Effect::Pick { what, to } => self.on_thread(move || {
                let paths = dialog::pick(what, to.as_deref());
                Some(Event::Picked { to, paths })
            }),
            Effect::Open(file_path) => self.on_thread(move || failed(open::open(&file_path))),
            Effect::Show(file_path) => self.show(file_path),
            Effect::OpenSettings(file_path) => {
                self.on_thread(move || failed(open::open_settings(&file_path)));
            }
            #[cfg(target_os = "linux")]
            Effect::Say(text) => crate::say(text),
            Effect::End(_) => {}
        }
    }

    fn show(&self, file_path: PathBuf) {
        let outside = self.clone();
        self.runtime.spawn(async move {
            #[cfg(target_os = "linux")]
            if linux::mark_in_file_manager(&file_path).await.is_ok() {
                return;
            }
            outside.on_thread(move || failed(open::show(&file_path)));
        });
    }

    /// Runs what waits for a person or for other programs.
    fn on_thread(&self, work: impl FnOnce() -> Option<Event> + Send + 'static) {
        let Ok(permit) = Arc::clone(&self.threads).try_acquire_owned() else { return };
        let events = self.events.clone();
        std::thread::spawn(move || {
            // A tray that is ending needs no events.
            if let Some(event) = work() {
                let _ = events.blocking_send(event);
            }
            drop(permit);
        });
    }
}

fn failed(result: Result<(), String>) -> Option<Event> {
    result.err().map(Event::Failed)
}

/// A click from a callback that must not wait. When the loop is far behind it is lost, as on any
/// desktop that does not answer.
fn click(events: &mpsc::Sender<Event>, action: &crate::action::Action) {
    if events.try_send(Event::Clicked(action.clone())).is_err() {
        crate::say("too busy for this click");
    }
}
