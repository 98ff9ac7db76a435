//! A desktop's screen, keyboard and mouse.

use std::path::PathBuf;
use std::process::Command;

use super::{PATIENCE, program};

/// The class of the windows of the notification server.
const NOTIFICATIONS: &str = "xfce4-notifyd";

pub(crate) struct Screen {
    environment: Vec<(&'static str, String)>,
}

impl Screen {
    pub(super) fn new(environment: Vec<(&'static str, String)>) -> Self {
        Self { environment }
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let patience = PATIENCE.as_secs().to_string();
        let mut command = Command::new("timeout");
        command.arg(patience).arg(program).args(arguments).envs(self.environment.clone());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {} {said}", output.status);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Waits for a window with this in its title; its id.
    #[track_caller]
    pub(crate) fn window(&self, title: &str) -> String {
        let found = self.run("xdotool", &["search", "--sync", "--onlyvisible", "--name", title]);
        found.lines().next().unwrap_or_default().to_owned()
    }

    /// Presses a key until the window with this in its title has gone.
    #[track_caller]
    pub(crate) fn press_until_gone(&self, key: &str, title: &str) {
        self.until_gone(title, &["key", "--delay", "40", key]);
    }

    /// Clicks there until the window with this in its title has gone: a button may take its time
    /// until it can be clicked.
    #[track_caller]
    pub(crate) fn click_until_gone(&self, x: u32, y: u32, title: &str) {
        let (x, y) = (x.to_string(), y.to_string());
        self.until_gone(title, &["mousemove", "--sync", &x, &y, "click", "1"]);
    }

    /// Waits for a notification.
    #[track_caller]
    pub(crate) fn notification(&self) {
        let wait = ["search", "--sync", "--onlyvisible", "--class", NOTIFICATIONS];
        self.run("xdotool", &wait);
    }

    /// Waits until there is none.
    #[track_caller]
    pub(crate) fn no_notification(&self) {
        let wait = r#"while xdotool search --onlyvisible --class "$1" >&2; do sleep 0.1; done"#;
        self.run("sh", &["-c", wait, "sh", NOTIFICATIONS]);
    }

    /// Clicks in the newest notification until it has gone: `x` is a part of its width, `y` pixels
    /// above its foot. One that fades in takes no click.
    #[track_caller]
    pub(crate) fn click_notification(&self, x: f32, y: i32) {
        let click = r#"windows() { xdotool search --onlyvisible --class "$1"; }
            window=$(windows "$1" | tail -n 1)
            while windows "$1" | grep -qx "$window"; do
                eval "$(xdotool getwindowgeometry --shell "$window")"
                x=$(awk "BEGIN { print int($X + $2 * $WIDTH) }")
                xdotool mousemove --sync "$x" "$((Y + HEIGHT - $3))" click 1
                for _ in $(seq 20); do
                    windows "$1" | grep -qx "$window" || break
                    sleep 0.05
                done
            done"#;
        let (x, y) = (x.to_string(), y.to_string());
        self.run("sh", &["-c", click, "sh", NOTIFICATIONS, &x, &y]);
    }

    #[track_caller]
    fn until_gone(&self, title: &str, action: &[&str]) {
        let again = r#"title=$1; shift
            while xdotool search --onlyvisible --name "$title" >&2; do
                xdotool "$@"; sleep 0.2
            done"#;
        self.run("sh", &[&["-c", again, "sh", title], action].concat());
    }

    /// Clicks there until a menu of the panel is open that was not before: a panel needs a moment to
    /// fetch the menu of an icon that is new.
    #[track_caller]
    pub(crate) fn open_menu(&self, x: u32, y: u32) {
        let click = r#"count() { xdotool search --onlyvisible --class wrapper-2.0 | wc -l; }
            before=$(count)
            until [ "$(count)" -gt "$before" ]; do
                xdotool mousemove --sync "$1" "$2" click 1
                for _ in $(seq 20); do
                    [ "$(count)" -gt "$before" ] && break
                    sleep 0.05
                done
            done"#;
        self.run("sh", &["-c", click, "sh", &x.to_string(), &y.to_string()]);
    }

    /// Moves the mouse there and clicks: 1 is the left button, 3 the right one.
    #[track_caller]
    pub(crate) fn click(&self, x: u32, y: u32, button: u32) {
        let (x, y, button) = (x.to_string(), y.to_string(), button.to_string());
        self.run("xdotool", &["mousemove", "--sync", &x, &y, "click", &button]);
    }

    /// Presses keys in the window that has the focus: `Return`, `ctrl+l`.
    #[track_caller]
    pub(crate) fn press(&self, keys: &[&str]) {
        let arguments: Vec<_> = ["key", "--delay", "40"].iter().chain(keys).copied().collect();
        self.run("xdotool", &arguments);
    }

    /// Types text in the window that has the focus.
    #[track_caller]
    pub(crate) fn write(&self, text: &str) {
        self.run("xdotool", &["type", "--delay", "5", text]);
    }

    /// Keeps what is on the screen, for people, beside the programs that were built.
    #[track_caller]
    pub(crate) fn picture(&self, name: &str) {
        let dir: PathBuf = program("filefleetd").with_file_name("screenshots");
        std::fs::create_dir_all(&dir).unwrap();
        let file_path = dir.join(format!("{name}.png"));
        self.run("scrot", &["--overwrite", file_path.to_str().unwrap()]);
    }
}
