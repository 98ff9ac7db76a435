//! What others want to send, answered in the menu.

use crate::support::{Desktop, Server, Tray, User};

/// Alice, who has a desktop, and Bob, whom she does not know.
struct Strangers {
    desktop: Desktop,
    alice: User,
    bob: User,
    _server: Server,
}

impl Strangers {
    fn new() -> Self {
        let server = Server::start();
        let alice = User::registered("alice", &server);
        let bob = User::registered("bob", &server);
        Self { desktop: Desktop::start(), alice, bob, _server: server }
    }
}

const ASKED: &str = "bob wants to send*";

#[test]
fn a_request_is_accepted_in_the_menu() {
    let Strangers { desktop, alice, bob, _server } = &Strangers::new();
    let tray = Tray::start(desktop, alice);
    tray.line(&["alice: connected"]);
    assert_eq!(tray.status().as_deref(), Some("Active"));
    let sending = bob.send("alice", &[&bob.note("first")]);
    let request = tray.line(&[ASKED]);
    assert_eq!(request.lines[0].label, "first");
    assert!(request.lines[1].label.starts_with("a stranger at "), "{request:?}");
    assert_eq!(tray.status().as_deref(), Some("NeedsAttention"));
    assert_eq!(tray.tooltip().as_deref(), Some("1 request waiting for your answer"));
    tray.choose(&[ASKED, "Accept"]);
    sending.done();
    assert_eq!(alice.received_names(), ["first"]);
    tray.no_line(&[ASKED]);
    tray.line(&["Recent", "first from bob"]);
    // Once is not always.
    assert_eq!(alice.json(&["contacts", "show", "bob"])["accept"], "ask");
}

#[test]
fn a_request_is_accepted_for_always() {
    let Strangers { desktop, alice, bob, _server } = &Strangers::new();
    let tray = Tray::start(desktop, alice);
    let sending = bob.send("alice", &[&bob.note("first")]);
    tray.choose(&[ASKED, "Accept and always trust"]);
    sending.done();
    bob.send("alice", &[&bob.note("second")]).done();
    assert_eq!(alice.received_names(), ["first", "second"]);
}

#[test]
fn a_request_is_declined_in_the_menu() {
    let Strangers { desktop, alice, bob, _server } = &Strangers::new();
    let tray = Tray::start(desktop, alice);
    let sending = bob.send("alice", &[&bob.note("first")]);
    tray.choose(&[ASKED, "Decline"]);
    sending.failed(4, "declined");
    tray.no_line(&[ASKED]);
    assert_eq!(alice.received_names(), [""; 0]);
}

#[test]
fn a_request_that_is_withdrawn_disappears() {
    let Strangers { desktop, alice, bob, _server } = &Strangers::new();
    let tray = Tray::start(desktop, alice);
    let mut sending = bob.send("alice", &[&bob.note("first")]);
    sending.waiting();
    tray.line(&[ASKED]);
    sending.interrupt();
    tray.no_line(&[ASKED]);
    sending.end();
}

#[test]
fn ticks_change_what_comes_in_and_follow_ffctl() {
    let Strangers { desktop, alice, bob, _server } = &Strangers::new();
    alice.accept("bob", "ask");
    let tray = Tray::start(desktop, alice);
    let (auto, pause) = (["Auto-accept from contacts"], ["Pause receiving"]);
    assert_eq!(tray.line(&auto).ticked, Some(false));
    tray.choose(&auto);
    tray.until(&auto, |line| line.ticked == Some(true));
    bob.send("alice", &[&bob.note("first")]).done();

    tray.choose(&pause);
    tray.until(&pause, |line| line.ticked == Some(true));
    let mut sending = bob.send("alice", &[&bob.note("second")]);
    sending.waiting();
    tray.line(&[ASKED]);
    alice.ffctl(&["config", "set", "receiving", "on"]).done();
    tray.until(&pause, |line| line.ticked == Some(false));
    sending.done();
    assert_eq!(alice.received_names(), ["first", "second"]);
}
