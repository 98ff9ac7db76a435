//! Telling those who watch what happens to links.

use std::time::Duration;

use filefleet_ctl::proto::Event as Shown;
use filefleet_server::protos::name::Name;

use super::{Daemon, Event};
use crate::control::link;
use crate::peer::{LinkChange, Session};

/// After changes of one session's links were told, its next ones are collected for this long: whatever
/// a peer does with its links, those who watch are told of no more than a session keeps of them.
const PAUSE: Duration = Duration::from_millis(500);

impl Daemon {
    /// Tells of everything that happens to a session's links, from the first to the last.
    pub(super) fn follow_links(&self, session: &Session) {
        let (mut log, name) = (session.link_log(), session.name().clone());
        let (events, stop) = (self.events.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let mut seen = 0;
            let follow = async {
                loop {
                    let changes = log.borrow_and_update().since(&mut seen);
                    if !changes.is_empty() {
                        let event = Event::Links { name: name.clone(), changes };
                        if events.send(event).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                    if log.changed().await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = follow => {}
            }
        });
    }

    pub(super) fn on_links(&mut self, name: &Name, changes: &[LinkChange]) {
        for change in changes {
            self.show(&Shown::Link(link::event(name.as_str(), *change)));
        }
    }
}
