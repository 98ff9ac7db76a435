#![allow(clippy::unwrap_used)]

use filefleet_ctl::proto::{Event, StateView, StatusView};
use filefleet_ctl::testing;

use super::*;

fn up(transfers: Vec<TransferView>) -> State {
    let mut state = State::default();
    state.learn(testing::state(transfers));
    state
}

fn active(bytes_done: u64, bytes: u64) -> TransferView {
    TransferView { bytes_done, bytes, ..testing::transfer(TransferState::Active) }
}

fn unregistered() -> State {
    let Event::State(view) = testing::state(Vec::new()) else { panic!("it is a state") };
    let status = StatusView { registered: false, ..view.status.clone() };
    let mut state = State::default();
    state.learn(Event::State(Box::new(StateView { status, ..*view })));
    state
}

#[test]
fn the_badge_says_how_things_stand() {
    let badge = |state: &State| View::of(state).icon.badge;
    assert_eq!(badge(&State::default()), Badge::Gone);
    assert_eq!(
        badge(&State { daemon: Daemon::Gone("x".to_owned()), ..up(Vec::new()) }),
        Badge::Gone
    );
    assert_eq!(badge(&up(Vec::new())), Badge::Connected);
    assert_eq!(badge(&unregistered()), Badge::Unregistered);
    let mut asked = unregistered();
    asked.learn(Event::Request(testing::request("1", "eve")));
    assert_eq!(badge(&asked), Badge::Waiting);
    assert_eq!(badge(&State { picked: vec!["/a".into()], ..up(Vec::new()) }), Badge::Waiting);
}

#[test]
fn the_bar_shows_what_moves_together_in_few_steps() {
    let progress = |transfers| View::of(&up(transfers)).icon.progress;
    assert_eq!(progress(Vec::new()), None);
    assert_eq!(progress(vec![testing::transfer(TransferState::Waiting)]), None);
    assert_eq!(progress(vec![active(0, 0)]), Some(0));
    assert_eq!(progress(vec![active(50, 100)]), Some(10));
    assert_eq!(progress(vec![active(50, 100), active(0, 100)]), Some(5));
    assert_eq!(progress(vec![active(u64::MAX, u64::MAX), active(1, 1)]), Some(PROGRESS_STEPS));
    let steps: std::collections::HashSet<_> =
        (0..=1000).map(|n| progress(vec![active(n, 1000)])).collect();
    assert_eq!(steps.len(), usize::from(PROGRESS_STEPS) + 1);
}

#[test]
fn the_tooltip_tells_what_matters_most() {
    let tooltip = |state: &State| View::of(state).tooltip;
    assert_eq!(tooltip(&up(Vec::new())), "alice: connected");
    assert_eq!(tooltip(&up(vec![active(1024, 4096)])), "sending to bob: 25% of 4.0 KiB");
    let mut state = up(vec![active(1024, 4096)]);
    state.learn(Event::Request(testing::request("1", "eve")));
    let told = "1 request waiting for your answer\nsending to bob: 25% of 4.0 KiB";
    assert_eq!(tooltip(&state), told);
    state.daemon = Daemon::Gone("killed".to_owned());
    assert_eq!(tooltip(&state), "filefleetd does not run");
}
