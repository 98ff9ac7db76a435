//! What is shown: icon, tooltip and menu, all from the state alone.

use filefleet_ctl::format;
use filefleet_ctl::proto::{StateView, TransferState, TransferView};

use crate::menu::{self, Item};
use crate::state::{Daemon, State};

/// Steps in which the icon shows progress: each redraws it.
const PROGRESS_STEPS: u8 = 20;

/// Everything on the screen at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) icon: Icon,
    /// Holds no text from strangers but names of people, which cannot act: some desktops take
    /// tooltips for markup.
    pub(crate) tooltip: String,
    pub(crate) menu: Vec<Item>,
}

/// What the icon looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Icon {
    pub(crate) badge: Badge,
    /// How much of the bar at its foot is full, of [`PROGRESS_STEPS`]; no bar without.
    pub(crate) progress: Option<u8>,
}

impl Icon {
    /// How much of the bar is full, from 0 to 1.
    pub(crate) fn fraction(self) -> Option<f32> {
        self.progress.map(|steps| f32::from(steps) / f32::from(PROGRESS_STEPS))
    }
}

/// The artwork's kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Badge {
    Connected,
    Unregistered,
    /// A request waits, or picked files wait for a contact.
    Waiting,
    Gone,
}

impl View {
    /// What to show of this state.
    pub(crate) fn of(state: &State) -> Self {
        Self { icon: icon(state), tooltip: tooltip(state), menu: menu::of(state) }
    }
}

fn icon(state: &State) -> Icon {
    let Some(known) = state.known() else {
        return Icon { badge: Badge::Gone, progress: None };
    };
    let badge = if !known.requests.is_empty() || !state.picked.is_empty() {
        Badge::Waiting
    } else if known.status.registered {
        Badge::Connected
    } else {
        Badge::Unregistered
    };
    Icon { badge, progress: progress(known) }
}

/// How much of everything that moves at present is done.
fn progress(known: &StateView) -> Option<u8> {
    let (done, bytes) = moving(known).fold((0_u128, 0_u128), |(done, bytes), it| {
        (done + u128::from(it.bytes_done), bytes + u128::from(it.bytes))
    });
    moving(known).next()?;
    let steps = (done * u128::from(PROGRESS_STEPS)).checked_div(bytes).unwrap_or(0);
    u8::try_from(steps).ok().map(|steps| steps.min(PROGRESS_STEPS))
}

fn moving(known: &StateView) -> impl Iterator<Item = &TransferView> {
    known.transfers.iter().filter(|it| it.state == TransferState::Active)
}

fn tooltip(state: &State) -> String {
    let known = match &state.daemon {
        Daemon::Starting => return "starting".to_owned(),
        Daemon::Gone(_) => return "filefleetd does not run".to_owned(),
        Daemon::Up(known) => known,
    };
    if !state.picked.is_empty() {
        return "choose in the menu who gets the files".to_owned();
    }
    let mut parts = Vec::new();
    if !known.requests.is_empty() {
        let count = u64::try_from(known.requests.len()).unwrap_or(u64::MAX);
        parts.push(format!("{} waiting for your answer", format::count(count, "request")));
    }
    parts.extend(moving(known).take(MAX_TOLD).map(|it| {
        format!("{} {}: {}", sends_or_receives(it), format::route(it), format::progress(it))
    }));
    if parts.is_empty() {
        parts.push(menu::registration(&known.status));
    }
    parts.join("\n")
}

/// Transfers that the tooltip tells of.
const MAX_TOLD: usize = 3;

fn sends_or_receives(transfer: &TransferView) -> &'static str {
    use filefleet_ctl::proto::Direction;
    match transfer.direction {
        Direction::Outgoing => "sending",
        Direction::Incoming => "receiving",
    }
}

#[cfg(test)]
#[path = "view/tests.rs"]
mod tests;
