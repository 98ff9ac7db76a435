//! What the program is made of.

use std::process::Command;

use crate::support::program;

#[test]
fn no_graphical_library_is_linked() {
    let output = Command::new("ldd").arg(program("filefleet-tray")).output().unwrap();
    let libraries = String::from_utf8(output.stdout).unwrap();
    assert!(libraries.contains("libc.so"), "{libraries}");
    for unwanted in ["gtk", "gdk", "glib", "X11", "xcb", "wayland", "appindicator", "dbus"] {
        assert!(!libraries.contains(unwanted), "{libraries}");
    }
}
