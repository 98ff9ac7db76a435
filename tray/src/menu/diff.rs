//! What changed between two menus, line by line, so that a line that did not change is left alone:
//! a menu that is open stays open, and a tick is not redrawn for a number elsewhere.

use super::Item;

/// One change of a menu, applied in order; indices are those at that moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    /// The line's text, tick and action; of a submenu only its name.
    Relabel {
        index: usize,
        item: &'a Item,
    },
    /// Changes within a submenu.
    Within {
        index: usize,
        changes: Vec<Self>,
    },
    Remove {
        index: usize,
    },
    Insert {
        index: usize,
        item: &'a Item,
    },
}

/// The changes that make `new` of `old`: what both begin and end with stays, what lies between is
/// changed in place where the kind of line is the same, and exchanged where it is not.
pub(crate) fn changes<'a>(old: &[Item], new: &'a [Item]) -> Vec<Change<'a>> {
    let head = old.iter().zip(new).take_while(|(old, new)| same_kind(old, new)).count();
    let tails = old[head..].iter().rev().zip(new[head..].iter().rev());
    let tail = tails.take_while(|(old, new)| same_kind(old, new)).count();
    let mut changes = Vec::new();
    for (index, (old, new)) in old.iter().zip(new).enumerate().take(head) {
        changes.extend(change(index, old, new));
    }
    changes.extend((head..old.len() - tail).map(|_| Change::Remove { index: head }));
    let inserted = new.iter().enumerate().take(new.len() - tail).skip(head);
    changes.extend(inserted.map(|(index, item)| Change::Insert { index, item }));
    let start = new.len() - tail;
    for (offset, (old, new)) in old[old.len() - tail..].iter().zip(&new[start..]).enumerate() {
        changes.extend(change(start + offset, old, new));
    }
    changes
}

fn same_kind(old: &Item, new: &Item) -> bool {
    std::mem::discriminant(old) == std::mem::discriminant(new)
}

/// The changes of one line; a submenu's name and its lines change apart.
fn change<'a>(index: usize, old: &Item, new: &'a Item) -> Vec<Change<'a>> {
    let within = match (old, new) {
        (Item::Menu { items: old, .. }, Item::Menu { items, .. }) => changes(old, items),
        _ => Vec::new(),
    };
    let renamed = match (old, new) {
        (Item::Menu { label: before, .. }, Item::Menu { label, .. }) => before != label,
        (old, new) => old != new,
    };
    let relabel = renamed.then_some(Change::Relabel { index, item: new });
    let within = (!within.is_empty()).then_some(Change::Within { index, changes: within });
    relabel.into_iter().chain(within).collect()
}
