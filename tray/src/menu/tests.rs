#![allow(clippy::unwrap_used)]

use filefleet_ctl::proto::{
    ContactView, Direction, Event, LinkKind, RequestView, TransferState, TransferView,
};
use filefleet_ctl::testing;

use super::diff::{self, Change};
use super::*;

fn up(events: impl IntoIterator<Item = Event>) -> State {
    let mut state = State::default();
    state.learn(testing::state(Vec::new()));
    events.into_iter().for_each(|event| state.learn(event));
    state
}

/// The menu as a person reads it: a line each, submenus indented.
fn read(items: &[Item]) -> Vec<String> {
    let line = |item: &Item| match item {
        Item::Text(label) => vec![label.clone()],
        Item::Button { label, .. } => vec![format!("[{label}]")],
        Item::Tick { label, ticked, .. } => {
            vec![format!("[{}] {label}", if *ticked { "x" } else { " " })]
        }
        Item::Menu { label, items } => {
            let within = read(items).into_iter().map(|line| format!("  {line}"));
            [format!("{label} >")].into_iter().chain(within).collect()
        }
        Item::Separator => vec!["---".to_owned()],
    };
    items.iter().flat_map(line).collect()
}

fn action(items: &[Item], path: &[&str]) -> Action {
    let found = items.iter().find_map(|item| match item {
        Item::Button { label, action } | Item::Tick { label, action, .. } if path == [label] => {
            Some(action.clone())
        }
        Item::Menu { label, items } if path.len() > 1 && path[0] == label => {
            Some(action(items, &path[1..]))
        }
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no {path:?} in {:#?}", read(items)))
}

fn contact(name: &str, online: Option<bool>) -> Event {
    Event::Contact(ContactView { online, ..testing::contact(name) })
}

#[test]
fn everything_has_its_place() {
    let mut received = testing::transfer(TransferState::Done);
    received.id = "1".repeat(32);
    received.direction = Direction::Incoming;
    received.dest = Some(std::path::Path::new("/in").into());
    received.paths = vec![std::path::Path::new("/in/holiday (2)").into()];
    let state = up([
        contact("bob", Some(true)),
        contact("carol", Some(false)),
        Event::Request(testing::request("7", "eve")),
        Event::Transfer(testing::transfer(TransferState::Active)),
        Event::Transfer(received),
        Event::Setting(testing::setting("accept-contacts", "ask")),
        Event::Setting(testing::setting("receiving", "paused")),
    ]);
    let menu = of(&state);
    let expected = "\
alice: connected
---
eve wants to send at least 2 files, 10 B >
  a
  b
  a stranger at desk
  ---
  [Accept]
  [Accept and always trust]
  [Decline]
---
[Send file…]
[Send folder…]
Send to >
  [● bob]
  [○ carol]
---
holiday to bob: 33% of 2.9 KiB >
  500 B/s, 4.0 s left, direct
  [Cancel]
---
Recent >
  holiday from bob >
    3 files, 2.9 KiB
    [Open]
    [Show in folder]
---
[ ] Auto-accept from contacts
[x] Pause receiving
---
[Open received files]
[Settings file]
---
[Quit tray]";
    assert_eq!(read(&menu).join("\n"), expected);
    let placed = std::path::PathBuf::from("/in/holiday (2)");
    assert_eq!(action(&menu, &["Recent", "holiday from bob", "Open"]), Action::Open(placed));
    let set = |key, value| Action::Set { key, value };
    assert_eq!(action(&menu, &["Pause receiving"]), set("receiving", "on"));
    assert_eq!(action(&menu, &["Auto-accept from contacts"]), set("accept-contacts", "always"));
    let to = Some("bob".to_owned());
    assert_eq!(action(&menu, &["Send to", "● bob"]), Action::SendFiles { to });
    let asked = "eve wants to send at least 2 files, 10 B";
    let seen = testing::request("7", "eve").offer();
    let accept = Action::Accept { id: "7".to_owned(), always: true, seen };
    assert_eq!(action(&menu, &[asked, "Accept and always trust"]), accept);
}

#[test]
fn picked_files_wait_for_a_contact_at_the_top() {
    let mut state = up([contact("bob", None)]);
    state.picked = vec!["/tmp/notes.txt".into()];
    let menu = of(&state);
    let top = read(&menu)[..5].join("\n");
    assert_eq!(top, "alice: connected\n---\nSend notes.txt to\n[bob]\n[nobody]");
    assert_eq!(action(&menu, &["bob"]), Action::Choose { to: "bob".to_owned() });
    state.picked.push("/tmp/more".into());
    assert_eq!(read(&of(&state))[2], "Send 2 items to");
}

#[test]
fn without_a_daemon_there_is_only_what_needs_none() {
    let state = State { daemon: Daemon::Gone("connection lost".to_owned()), ..State::default() };
    let expected = "\
FileFleet does not run
connection lost
[Start FileFleet]
---
[Settings file]
---
[Quit tray]";
    assert_eq!(read(&of(&state)).join("\n"), expected);
}

#[test]
fn what_strangers_wrote_is_text_and_has_bounds() {
    let hostile = "<b>x<i>\n&&\"\u{202e}gpj\x1b[31m";
    let shown = r#"<b>x<i>\n&&"\u{202e}gpj\u{1b}[31m"#;
    let long = "é".repeat(10_000);
    let request = RequestView {
        names: vec![hostile.to_owned(), long],
        device: hostile.to_owned(),
        ..testing::request("7", "eve")
    };
    let failed = TransferView {
        label: hostile.to_owned(),
        error: Some(filefleet_ctl::proto::ControlError::new(
            filefleet_ctl::proto::ErrorCode::Internal,
            hostile,
        )),
        ..testing::transfer(TransferState::Failed)
    };
    let mut state = up([Event::Request(request), Event::Transfer(failed)]);
    state.notice = Some(hostile.to_owned());
    state.picked = vec![std::path::Path::new("/tmp").join(hostile)];
    let menu = read(&of(&state)).join("\n");
    assert_eq!(menu.matches(shown).count(), 6, "{menu}");
    assert!(!menu.contains(['\u{202e}', '\x1b']), "{menu}");
    assert!(menu.lines().all(|line| line.chars().count() < 120), "{menu}");
}

#[test]
fn a_flood_of_requests_does_not_fill_the_screen() {
    let requests = (0..100).map(|n| Event::Request(testing::request(&n.to_string(), "eve")));
    let menu = read(&of(&up(requests)));
    assert!(menu.contains(&"and 88 more: ffctl requests".to_owned()), "{menu:#?}");
}

#[test]
fn a_transfer_shows_its_pace_while_it_moves() {
    let lines = |transfer: TransferView| read(&of(&up([Event::Transfer(transfer)]))).join("\n");
    let mut transfer = testing::transfer(TransferState::Active);
    transfer.link = Some(LinkKind::Relayed);
    transfer.detail = Some("no direct way".to_owned());
    let text = lines(transfer.clone());
    assert!(text.contains("500 B/s, 4.0 s left, relayed\n  no direct way\n  [Cancel]"), "{text}");
    transfer.total_known = false;
    assert!(lines(transfer.clone()).contains("1000 B so far >\n  500 B/s, relayed"));
    transfer.state = TransferState::Waiting;
    assert!(lines(transfer).contains("holiday to bob: waiting >\n  at least 3 files"));
}

/// Does to `old` what the changes say, as a platform does.
fn apply(old: &mut Vec<Item>, changes: Vec<Change<'_>>) -> usize {
    let mut count = 0;
    for change in changes {
        count += 1;
        match (change, &mut *old) {
            (Change::Remove { index }, old) => drop(old.remove(index)),
            (Change::Insert { index, item }, old) => old.insert(index, item.clone()),
            (Change::Relabel { index, item }, old) => match (&mut old[index], item) {
                (Item::Menu { label, .. }, Item::Menu { label: new, .. }) => {
                    label.clone_from(new);
                }
                (line, item) => line.clone_from(item),
            },
            (Change::Within { index, changes }, old) => match &mut old[index] {
                Item::Menu { items, .. } => count += apply(items, changes),
                other => panic!("no menu: {other:?}"),
            },
        }
    }
    count
}

#[test]
fn changes_lead_from_any_menu_to_any_other() {
    let active = testing::transfer(TransferState::Active);
    let states = [
        State::default(),
        State { daemon: Daemon::Gone("killed".to_owned()), ..State::default() },
        up([]),
        up([contact("bob", Some(true)), Event::Transfer(active.clone())]),
        up([
            contact("ann", None),
            contact("bob", None),
            Event::Request(testing::request("7", "eve")),
            Event::Setting(testing::setting("receiving", "on")),
        ]),
    ];
    for (old, new) in states.iter().flat_map(|old| states.iter().map(move |new| (old, new))) {
        let (mut menu, wanted) = (of(old), of(new));
        let changes = diff::changes(&menu, &wanted);
        apply(&mut menu, changes);
        assert_eq!(menu, wanted);
    }
}

#[test]
fn a_number_that_moves_changes_its_own_line_and_no_other() {
    let at = |bytes_done| {
        let transfer = TransferView { bytes_done, ..testing::transfer(TransferState::Active) };
        of(&up([contact("bob", Some(true)), Event::Transfer(transfer)]))
    };
    let (mut old, new) = (at(1000), at(2000));
    let changes = diff::changes(&old, &new);
    // Its name with the percentage, the submenu, and the time left in it.
    assert_eq!(apply(&mut old, changes), 3);
    assert_eq!(old, new);
    assert!(diff::changes(&new, &at(2000)).is_empty());
}
