//! Sending: files first and then the contact, or the other way round.

use std::path::PathBuf;

use filefleet_ctl::format;
use filefleet_ctl::proto::ContactView;

use super::{Item, more, shown};
use crate::action::Action;

/// Contacts that the menu shows.
const MAX_CONTACTS: usize = 30;

pub(super) fn items(contacts: &[ContactView]) -> Vec<Item> {
    let to = |contact: &ContactView| Action::SendFiles { to: Some(contact.name.clone()) };
    vec![
        Item::button("Send file…", Action::SendFiles { to: None }),
        Item::button("Send folder…", Action::SendFolders),
        Item::menu("Send to", contacts_or_hint(contacts, to)),
    ]
}

/// While picked files wait for a contact: who gets them.
pub(super) fn choice(picked: &[PathBuf], contacts: &[ContactView]) -> Vec<Item> {
    let what = match picked {
        [] => return Vec::new(),
        [only] => only
            .file_name()
            .map_or_else(|| only.display().to_string(), |name| shown(&name.to_string_lossy())),
        many => format::count(u64::try_from(many.len()).unwrap_or(u64::MAX), "item"),
    };
    let to = |contact: &ContactView| Action::Choose { to: contact.name.clone() };
    let mut items = vec![Item::text(format!("Send {what} to"))];
    items.extend(contacts_or_hint(contacts, to));
    items.push(Item::button("nobody", Action::ChooseNobody));
    items
}

fn contacts_or_hint(
    contacts: &[ContactView],
    action: impl Fn(&ContactView) -> Action,
) -> Vec<Item> {
    if contacts.is_empty() {
        return vec![Item::text("no contacts yet"), Item::text("first time: ffctl send NAME FILE")];
    }
    let shown = contacts.iter().take(MAX_CONTACTS);
    let items = shown.map(|contact| Item::button(marked(contact), action(contact)));
    items.chain(more(contacts.len(), MAX_CONTACTS, "ffctl contacts")).collect()
}

/// A name with a mark that says whether the contact is online or near, if that is known.
fn marked(contact: &ContactView) -> String {
    let mark = match (contact.is_reachable(), contact.online) {
        (true, _) => "● ",
        (false, Some(_)) => "○ ",
        (false, None) => "",
    };
    format!("{mark}{}", shown(&contact.name))
}
