//! Transfers that have ended.

use filefleet_ctl::format;
use filefleet_ctl::proto::{Direction, TransferState, TransferView};

use super::{Item, shown};
use crate::action::Action;

/// Transfers that the menu shows.
const MAX_RECENT: usize = 10;

pub(super) fn menu(transfers: &[TransferView]) -> Item {
    let ended = transfers.iter().filter(|it| it.state.is_final());
    let mut items: Vec<_> = ended.take(MAX_RECENT).map(item).collect();
    if items.is_empty() {
        items.push(Item::text("nothing yet"));
    }
    Item::menu("Recent", items)
}

fn item(transfer: &TransferView) -> Item {
    let mut label = format!("{} {}", shown(&transfer.label), format::route(transfer));
    if transfer.state != TransferState::Done {
        label += &format!(": {}", format::state(transfer.state));
    }
    let mut items = vec![Item::text(format::amount(transfer.files, transfer.bytes, true))];
    items.extend(transfer.error.as_ref().map(|error| Item::text(shown(&error.message))));
    items.extend(places(transfer));
    Item::menu(label, items)
}

/// What can be opened: what was sent, or what has arrived.
fn places(transfer: &TransferView) -> Vec<Item> {
    let arrived = transfer.state == TransferState::Done;
    let folder = transfer.dest.as_ref().filter(|_| arrived).map(|dest| dest.as_path().to_owned());
    match (transfer.paths.as_slice(), transfer.direction, folder) {
        ([first, rest @ ..], direction, folder) if direction == Direction::Outgoing || arrived => {
            let first = first.as_path().to_owned();
            let whole = if rest.is_empty() { None } else { folder };
            vec![
                Item::button("Open", Action::Open(whole.unwrap_or_else(|| first.clone()))),
                Item::button("Show in folder", Action::Show(first)),
            ]
        }
        (_, _, Some(folder)) => vec![Item::button("Open folder", Action::Open(folder))],
        _ => Vec::new(),
    }
}
