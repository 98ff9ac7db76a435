#![allow(clippy::unwrap_used)]

use filefleet_ctl::proto::{StateView, TransferState, TransferView};
use filefleet_ctl::testing;

use super::*;

fn up() -> State {
    let mut state = State::default();
    state.learn(testing::state(Vec::new()));
    state
}

fn transfer(id: usize, state: TransferState) -> TransferView {
    TransferView { id: format!("{id:032x}"), ..testing::transfer(state) }
}

fn known(state: &State) -> &StateView {
    state.known().unwrap()
}

#[test]
fn what_the_daemon_says_replaces_what_was_known() {
    let mut state = up();
    state.learn(Event::Transfer(transfer(1, TransferState::Active)));
    state.learn(Event::Transfer(transfer(2, TransferState::Queued)));
    state.learn(Event::Transfer(transfer(1, TransferState::Done)));
    let shown: Vec<_> = known(&state).transfers.iter().map(|it| (&it.id[31..], it.state)).collect();
    assert_eq!(shown, [("2", TransferState::Queued), ("1", TransferState::Done)]);

    for (name, online) in [("carol", None), ("bob", Some(true)), ("carol", Some(false))] {
        state.learn(Event::Contact(ContactView { online, ..testing::contact(name) }));
    }
    let contacts: Vec<_> =
        known(&state).contacts.iter().map(|it| (it.name.as_str(), it.online)).collect();
    assert_eq!(contacts, [("bob", Some(true)), ("carol", Some(false))]);
    state.learn(Event::ContactGone { name: "bob".to_owned() });
    assert_eq!(known(&state).contacts.len(), 1);

    state.learn(Event::Request(testing::request("1", "eve")));
    state.learn(Event::Request(testing::request("2", "eve")));
    state.learn(Event::RequestGone { id: "1".to_owned() });
    assert_eq!(known(&state).requests, [testing::request("2", "eve")]);
}

#[test]
fn the_registration_and_settings_follow() {
    let mut state = up();
    state.learn(Event::Registration {
        name: Some("alice".to_owned()),
        server: None,
        registered: false,
        error: Some("no route".to_owned()),
    });
    let status = &known(&state).status;
    assert_eq!(
        (status.registered, status.registration_error.as_deref()),
        (false, Some("no route"))
    );
    for value in ["on", "paused"] {
        state.learn(Event::Setting(testing::setting("receiving", value)));
    }
    assert_eq!(known(&state).settings, [testing::setting("receiving", "paused")]);
}

#[test]
fn changes_mean_nothing_before_everything_was_told() {
    let mut state = State::default();
    state.learn(Event::Transfer(transfer(1, TransferState::Active)));
    assert!(state.known().is_none());
    state.daemon = Daemon::Gone("killed".to_owned());
    state.learn(Event::Contact(testing::contact("bob")));
    assert!(state.known().is_none());
    state.learn(testing::state(Vec::new()));
    assert!(known(&state).contacts.is_empty());
}

#[test]
fn a_long_life_fills_no_memory_and_loses_nothing_that_runs() {
    let mut state = up();
    state.learn(Event::Transfer(transfer(0, TransferState::Active)));
    for id in 1..1_000 {
        state.learn(Event::Transfer(transfer(id, TransferState::Done)));
    }
    let transfers = &known(&state).transfers;
    assert_eq!(transfers.len(), MAX_TRANSFERS);
    assert!(transfers.iter().any(|it| it.state == TransferState::Active));
    assert_eq!(transfers[0].id, transfer(999, TransferState::Done).id);
}

#[test]
fn a_warning_is_a_notice() {
    let mut state = State::default();
    state.learn(Event::Warning { message: "mind".to_owned() });
    assert_eq!(state.notice.as_deref(), Some("mind"));
}
