//! Requests that wait for this person's answer.

use filefleet_ctl::format;
use filefleet_ctl::proto::RequestView;

use super::{Item, more, shown};
use crate::action::Action;

/// Requests that the menu shows.
const MAX_REQUESTS: usize = 12;
/// Names of files that a request shows.
const MAX_NAMES: usize = 5;

pub(super) fn items(requests: &[RequestView]) -> Vec<Item> {
    let shown = requests.iter().take(MAX_REQUESTS).map(request);
    shown.chain(more(requests.len(), MAX_REQUESTS, "ffctl requests")).collect()
}

fn request(request: &RequestView) -> Item {
    let amount = format::amount(request.files, request.bytes, request.total_known);
    let mut items: Vec<_> =
        request.names.iter().take(MAX_NAMES).map(|name| Item::text(shown(name))).collect();
    if request.names.len() > MAX_NAMES {
        items.push(Item::text("…"));
    }
    items.push(Item::text(format!("{} at {}", format::standing(request), shown(&request.device))));
    items.push(Item::Separator);
    let seen = request.offer();
    let accept = |always| Action::Accept { id: request.id.clone(), always, seen };
    items.push(Item::button("Accept", accept(false)));
    items.push(Item::button("Accept and always trust", accept(true)));
    items.push(Item::button("Decline", Action::Decline { id: request.id.clone() }));
    Item::menu(format!("{} wants to send {amount}", shown(&request.from)), items)
}
