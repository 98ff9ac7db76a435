//! Transfers under way.

use filefleet_ctl::format;
use filefleet_ctl::proto::{TransferState, TransferView};

use super::{Item, more, shown};
use crate::action::Action;

/// Transfers that the menu shows.
const MAX_TRANSFERS: usize = 10;

pub(super) fn items(transfers: &[TransferView]) -> Vec<Item> {
    let running: Vec<_> = transfers.iter().filter(|it| !it.state.is_final()).collect();
    let shown = running.iter().take(MAX_TRANSFERS).map(|transfer| item(transfer));
    shown.chain(more(running.len(), MAX_TRANSFERS, "ffctl transfers")).collect()
}

fn item(transfer: &TransferView) -> Item {
    let how_far = match transfer.state {
        TransferState::Active => format::progress(transfer),
        state => format::state(state).to_owned(),
    };
    let label = format!("{} {}: {how_far}", shown(&transfer.label), format::route(transfer));
    let mut items = vec![Item::text(pace(transfer))];
    items.extend(transfer.detail.as_deref().map(|detail| Item::text(shown(detail))));
    items.push(Item::button("Cancel", Action::Cancel { id: transfer.id.clone() }));
    Item::menu(label, items)
}

/// Rate, time left and link, as far as there are such.
fn pace(transfer: &TransferView) -> String {
    let mut parts = Vec::new();
    if transfer.state == TransferState::Active {
        parts.push(format::rate(transfer.rate));
        parts
            .extend(format::time_left(transfer).map(|it| format!("{} left", format::duration(it))));
    } else {
        parts.push(format::amount(transfer.files, transfer.bytes, transfer.total_known));
    }
    parts.extend(format::link_of(transfer));
    parts.join(", ")
}
