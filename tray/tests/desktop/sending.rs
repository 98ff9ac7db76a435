//! Sending from the menu: files first or the contact first, by mouse and over the bus, and thinking
//! better of it.

use std::fs;
use std::path::Path;

use crate::support::{Scene, Watching};

/// What has arrived at Bob is what Alice chose.
#[track_caller]
fn arrives(scene: &Scene, watching: &mut Watching, source: &Path) {
    watching.until("transfer", |transfer| transfer["state"] == "done");
    let received = scene.bob.received().join(source.file_name().unwrap());
    assert_eq!(fs::read(received).unwrap(), fs::read(source).unwrap());
}

/// Chooses one file or folder in the dialog with this title.
#[track_caller]
fn pick(scene: &Scene, title: &str, file_path: &Path) {
    let screen = scene.desktop.screen();
    screen.window(title);
    // The field for a path.
    screen.press(&["ctrl+l"]);
    screen.write(file_path.to_str().unwrap());
    screen.picture("file-dialog");
    screen.click_until_gone(OPEN.0, OPEN.1, title);
}

/// Where things are in the dialog, which fills the screen below the panel.
const HOME: (u32, u32) = (61, 121);
const OPEN: (u32, u32) = (949, 671);

/// Where the icon is, and the lines of the menu below it: those of GTK with its own theme and the
/// font that the tests bring.
const ICON: (u32, u32) = (21, 20);
const LINES: u32 = 60;
const SEND_FILE: u32 = 83;
const SEND_TO: u32 = 133;
const FIRST_CHOICE: u32 = 108;
const SUBMENU: u32 = 320;

#[test]
fn everything_can_be_done_by_mouse() {
    let scene = Scene::new();
    let tray = scene.tray();
    let screen = scene.desktop.screen();
    let mut watching = scene.bob.watch();
    let (first, second) = (scene.alice.note("first"), scene.alice.note("second"));
    screen.open_menu(ICON.0, ICON.1);
    screen.picture("menu");
    screen.click(LINES, SEND_FILE, 1);
    pick(&scene, "Send files", &first);
    tray.line(&["Send first to"]);
    screen.open_menu(ICON.0, ICON.1);
    screen.picture("choose-contact");
    screen.click(LINES, FIRST_CHOICE, 1);
    arrives(&scene, &mut watching, &first);

    tray.line(&["Recent", "first to bob"]);
    screen.open_menu(ICON.0, ICON.1);
    screen.open_menu(LINES, SEND_TO);
    screen.picture("send-to");
    screen.click(SUBMENU, SEND_TO, 1);
    pick(&scene, "Send files to bob", &second);
    arrives(&scene, &mut watching, &second);
}

#[test]
fn files_are_picked_and_then_who_gets_them() {
    let scene = Scene::new();
    let tray = scene.tray();
    let note = scene.alice.note("notes.txt");
    let mut watching = scene.bob.watch();
    tray.choose(&["Send file…"]);
    pick(&scene, "Send files", &note);
    tray.line(&["Send notes.txt to"]);
    assert_eq!(tray.tooltip().as_deref(), Some("choose in the menu who gets the files"));
    assert_eq!(tray.status().as_deref(), Some("NeedsAttention"));
    tray.choose(&["● bob"]);
    arrives(&scene, &mut watching, &note);
    tray.line(&["Recent", "notes.txt to bob"]);
    tray.no_line(&["Send notes.txt to"]);
}

#[test]
fn who_gets_them_is_chosen_and_then_the_files() {
    let scene = Scene::new();
    let tray = scene.tray();
    let note = scene.alice.note("letter");
    let mut watching = scene.bob.watch();
    tray.choose(&["Send to", "● bob"]);
    pick(&scene, "Send files to bob", &note);
    arrives(&scene, &mut watching, &note);
}

#[test]
fn a_folder_is_picked_and_sent() {
    let scene = Scene::new();
    let tray = scene.tray();
    fs::write(scene.desktop.dir().join("home/beach.jpg"), "sand").unwrap();
    let mut watching = scene.bob.watch();
    tray.choose(&["Send folder…"]);
    let screen = scene.desktop.screen();
    screen.window("Send folders");
    // The dialog shows the home folder, and takes what it shows.
    screen.click(HOME.0, HOME.1, 1);
    screen.click_until_gone(OPEN.0, OPEN.1, "Send folders");
    tray.line(&["Send home to"]);
    tray.choose(&["● bob"]);
    watching.until("transfer", |transfer| transfer["state"] == "done");
    assert_eq!(fs::read(scene.bob.received().join("home/beach.jpg")).unwrap(), b"sand");
}

#[test]
fn a_dialog_that_is_cancelled_sends_nothing() {
    let scene = Scene::new();
    let tray = scene.tray();
    let screen = scene.desktop.screen();
    for (path, title) in [
        (vec!["Send file…"], "Send files"),
        (vec!["Send folder…"], "Send folders"),
        (vec!["Send to", "● bob"], "Send files to bob"),
    ] {
        tray.choose(&path);
        screen.window(title);
        screen.press_until_gone("Escape", title);
    }
    let note = scene.alice.note("notes.txt");
    tray.choose(&["Send file…"]);
    pick(&scene, "Send files", &note);
    tray.choose(&["nobody"]);
    tray.no_line(&["Send notes.txt to"]);

    // Had one of them sent something, it would be listed before this.
    let mut watching = scene.bob.watch();
    tray.choose(&["Send to", "● bob"]);
    pick(&scene, "Send files to bob", &note);
    arrives(&scene, &mut watching, &note);
    let transfers = scene.alice.json(&["transfers", "--all"]);
    assert_eq!(transfers["transfers"].as_array().unwrap().len(), 1, "{transfers}");
}
