//! What strangers write is text, whatever it holds.

use std::fs;

use crate::support::{Desktop, Server, Tray, User};

/// Markup, a line break, mnemonics, a change of direction, and a colour.
const NAME: &str = "<b>x<i>\n&&__\"\u{202e}gpj\x1b[31m";
const SHOWN: &str = r#"<b>x<i>\n&&__"\u{202e}gpj\u{1b}[31m"#;

#[test]
fn names_from_strangers_are_shown_as_text() {
    let server = Server::start();
    let alice = User::registered("alice", &server);
    let mut bob = User::registered("bob", &server);
    bob.ffctl(&["config", "set", "device-name", "<i>d</i>&&\u{202e}x"]).done();
    bob.stop().done();
    bob.start();
    bob.registered_again();
    let desktop = Desktop::start();
    let tray = Tray::start(&desktop, &alice);
    let source = bob.file(NAME);
    fs::write(&source, "x").unwrap();
    let sending = bob.send("alice", &[&source]);
    let request = tray.line(&["bob wants to send*"]);
    let labels: Vec<_> = request.lines.iter().map(|line| line.label.as_str()).collect();
    assert_eq!(labels[..2], [SHOWN, r"a stranger at <i>d</i>&&\u{202e}x"]);
    // To be looked at: the request's submenu, open.
    let screen = desktop.screen();
    screen.open_menu(21, 20);
    screen.press(&["Down", "Right"]);
    screen.picture("hostile-names");
    screen.press(&["Escape", "Escape"]);

    tray.choose(&["bob wants to send*", "Accept"]);
    sending.done();
    tray.line(&["Recent", &format!("{SHOWN} from bob")]);
    let menu = tray.menu();
    assert!(!menu.labels().iter().any(|label| label.contains(['\u{202e}', '\x1b', '\n'])));
    assert_eq!(alice.received_names(), [NAME]);
}
