#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use filefleet_ctl::proto::Offer;
use filefleet_ctl::testing;

use super::*;
use crate::menu::Item;

fn app() -> App {
    let mut app = App::new(Home::at("/home/alice/ff").unwrap());
    app.handle(Event::Daemon(Box::new(testing::state(Vec::new()))));
    app
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

fn send(to: &str, names: &[&str]) -> Option<Effect> {
    let paths = paths(names).into_iter().map(Into::into).collect();
    Some(Effect::Call(Call::Send {
        to: to.to_owned(),
        paths,
        no_queue: false,
        options: SendOptions::default(),
    }))
}

fn to_bob() -> Option<String> {
    Some("bob".to_owned())
}

#[test]
fn files_are_picked_first_and_then_the_contact() {
    let mut app = app();
    let clicked = app.handle(Event::Clicked(Action::SendFiles { to: None }));
    assert_eq!(clicked, Some(Effect::Pick { what: Pick::Files, to: None }));
    assert_eq!(app.handle(Event::Picked { to: None, paths: Some(paths(&["/a", "/b"])) }), None);
    let chosen = app.handle(Event::Clicked(Action::Choose { to: "bob".to_owned() }));
    assert_eq!(chosen, send("bob", &["/a", "/b"]));
    // They are sent once.
    assert_eq!(app.handle(Event::Clicked(Action::Choose { to: "bob".to_owned() })), None);
}

#[test]
fn a_contact_is_picked_first_and_then_the_files() {
    let mut app = app();
    let clicked = app.handle(Event::Clicked(Action::SendFiles { to: to_bob() }));
    assert_eq!(clicked, Some(Effect::Pick { what: Pick::Files, to: to_bob() }));
    let picked = app.handle(Event::Picked { to: to_bob(), paths: Some(paths(&["/a"])) });
    assert_eq!(picked, send("bob", &["/a"]));
}

#[test]
fn a_dialog_that_is_cancelled_sends_nothing_and_forgets_nothing() {
    let mut app = app();
    assert_eq!(app.handle(Event::Picked { to: to_bob(), paths: Some(Vec::new()) }), None);
    app.handle(Event::Picked { to: None, paths: Some(paths(&["/a"])) });
    assert_eq!(app.handle(Event::Picked { to: None, paths: Some(Vec::new()) }), None);
    let before = app.view();
    assert!(before.menu.contains(&Item::Text("Send a to".to_owned())), "{before:?}");
    assert_eq!(app.handle(Event::Clicked(Action::ChooseNobody)), None);
    assert_eq!(app.handle(Event::Clicked(Action::Choose { to: "bob".to_owned() })), None);
}

#[test]
fn a_desktop_without_dialogs_is_told_about() {
    let mut app = app();
    assert_eq!(app.handle(Event::Picked { to: to_bob(), paths: None }), None);
    let told = |app: &App| format!("{:?}", app.view().menu).contains("xdg-desktop-portal");
    assert!(told(&app));
    app.handle(Event::Clicked(Action::Dismiss));
    assert!(!told(&app));
}

#[test]
fn every_answer_is_asked_of_the_daemon() {
    let mut app = app();
    let id = || "00ff".to_owned();
    let seen = Offer { files: 2, bytes: 10, total_known: true };
    let accept = |always| Call::Accept { id: id(), to: None, always, seen: Some(seen) };
    let set = Call::ConfigSet { key: "receiving".to_owned(), value: "paused".to_owned() };
    for (action, call) in [
        (Action::Accept { id: id(), always: false, seen }, accept(false)),
        (Action::Accept { id: id(), always: true, seen }, accept(true)),
        (Action::Decline { id: id() }, Call::Decline { id: id() }),
        (Action::Cancel { id: id() }, Call::Cancel { id: id() }),
        (Action::Set { key: "receiving", value: "paused" }, set),
    ] {
        assert_eq!(app.handle(Event::Clicked(action)), Some(Effect::Call(call)));
    }
}

#[test]
fn what_lies_on_the_disk_is_opened_and_the_tray_ends_when_asked() {
    let mut app = app();
    let settings = Home::at("/home/alice/ff").unwrap().settings_file();
    for (action, effect) in [
        (Action::Open("/a".into()), Effect::Open("/a".into())),
        (Action::Show("/a".into()), Effect::Show("/a".into())),
        (Action::OpenSettings, Effect::OpenSettings(settings)),
        (Action::StartDaemon, Effect::StartDaemon),
        (Action::Quit, Effect::End(None)),
    ] {
        assert_eq!(app.handle(Event::Clicked(action)), Some(effect));
    }
}
