//! Notifications as a person sees them: a real notification server, its buttons clicked with the
//! mouse.

use std::fs;

use crate::support::{Desktop, Server, Tray, User};

/// Where the buttons are in a notification of xfce4-notifyd.
const ACCEPT: (f32, i32) = (0.53, 31);
const DECLINE: (f32, i32) = (0.82, 31);
/// Its text: a click there closes it.
const TEXT: (f32, i32) = (0.5, 80);
const ASKED: &str = "bob wants to send*";

/// Alice with a desktop, her daemon on it, and Bob, whom she does not know.
struct Strangers {
    alice: User,
    bob: User,
    desktop: Desktop,
    _server: Server,
}

impl Strangers {
    fn new() -> Self {
        let (server, desktop) = (Server::start(), Desktop::start());
        let bob = User::registered("bob", &server);
        let mut alice = User::new();
        alice.start_within(desktop.environment());
        alice.register("alice", &server).done();
        Self { alice, bob, desktop, _server: server }
    }
}

#[test]
fn buttons_answer_requests() {
    let Strangers { alice, bob, desktop, _server } = &Strangers::new();
    let screen = desktop.screen();
    let sending = bob.send("alice", &[&bob.note("first")]);
    screen.notification();
    screen.picture("notification-request");
    screen.click_notification(ACCEPT.0, ACCEPT.1);
    sending.done();
    assert_eq!(alice.received_names(), ["first"]);
    screen.notification();
    screen.picture("notification-received");
    screen.click_notification(TEXT.0, TEXT.1);

    let sending = bob.send("alice", &[&bob.note("second")]);
    screen.notification();
    screen.click_notification(DECLINE.0, DECLINE.1);
    sending.failed(4, "declined");
    assert_eq!(alice.received_names(), ["first"]);
}

#[test]
fn a_closed_notification_leaves_the_request_waiting_in_the_menu() {
    let Strangers { alice, bob, desktop, _server } = &Strangers::new();
    let tray = Tray::start(desktop, alice);
    let screen = desktop.screen();
    let mut sending = bob.send("alice", &[&bob.note("first")]);
    screen.notification();
    screen.click_notification(TEXT.0, TEXT.1);
    sending.waiting();
    assert_eq!(alice.requests().len(), 1);
    tray.line(&[ASKED]);
    screen.picture("notification-closed");
    tray.choose(&[ASKED, "Accept"]);
    sending.done();
}

#[test]
fn what_is_withdrawn_disappears_from_the_screen() {
    let Strangers { alice, bob, desktop, _server } = &Strangers::new();
    let tray = Tray::start(desktop, alice);
    let screen = desktop.screen();
    let sending = bob.send("alice", &[&bob.note("first")]);
    screen.notification();
    sending.interrupt();
    screen.no_notification();
    tray.no_line(&[ASKED]);
    sending.end();
    assert!(alice.requests().is_empty());
}

#[test]
fn hostile_names_are_text_on_the_screen() {
    let Strangers { alice, bob, desktop, _server } = &Strangers::new();
    let source = bob.file("<b>x<i>\n&&\"\u{202e}gpj\x1b[31m");
    fs::write(&source, "x").unwrap();
    let sending = bob.send("alice", &[&source]);
    let screen = desktop.screen();
    screen.notification();
    screen.picture("notification-hostile");
    screen.click_notification(DECLINE.0, DECLINE.1);
    sending.failed(4, "declined");
    assert!(alice.requests().is_empty());
}
