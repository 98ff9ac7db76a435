//! A desktop of its own for one test: X server, D-Bus session, window manager and panel, with a
//! private home. Notifications and file dialogs come by D-Bus activation.

use std::fs;
use std::process::Command;

use super::bus::Bus;
use super::screen::Screen;
use super::{Program, Scratch};

/// The panel at the top of the screen, 40 pixels high, with nothing in it but the tray.
const PANEL: &str = include_str!("xfce4-panel.xml");

/// Everything that it starts ends with it.
pub(crate) struct Desktop {
    panel: Option<Program>,
    bus: Bus,
    environment: Vec<(&'static str, String)>,
    screen: Screen,
    // In the order in which they have to go.
    _window_manager: Program,
    _bus_daemon: Program,
    _display: Program,
    dir: Scratch,
}

/// Where panels are asked for icons.
const WATCHER: &str = "org.kde.StatusNotifierWatcher";

impl Desktop {
    /// A desktop whose panel shows icons.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let mut desktop = Self::without_panel();
        desktop.start_panel();
        desktop
    }

    /// A desktop on which nothing shows icons.
    #[track_caller]
    pub(crate) fn without_panel() -> Self {
        let dir = Scratch::new();
        let mut environment = homes(&dir);
        let mut x_server = Command::new("Xvfb");
        x_server.args(["-displayfd", "1", "-screen", "0", "1000x700x24", "-nolisten", "tcp"]);
        let mut display = Program::start(&x_server);
        let number = display.line().expect("Xvfb says its number");
        environment.push(("DISPLAY", format!(":{number}")));
        let mut daemon = Command::new("dbus-daemon");
        daemon.args(["--session", "--nofork", "--nopidfile", "--print-address=1"]);
        let mut bus_daemon = Program::start(daemon.envs(environment.clone()));
        let address = bus_daemon.line().expect("dbus-daemon says its address");
        environment.push(("DBUS_SESSION_BUS_ADDRESS", address.clone()));
        let window_manager = Program::start(Command::new("openbox").envs(environment.clone()));
        Self {
            panel: None,
            bus: Bus::connect(&address),
            screen: Screen::new(environment.clone()),
            environment,
            _window_manager: window_manager,
            _bus_daemon: bus_daemon,
            _display: display,
            dir,
        }
    }

    /// Starts the panel and waits until it takes icons.
    #[track_caller]
    pub(crate) fn start_panel(&mut self) {
        assert!(self.panel.is_none(), "it runs already");
        let mut command = Command::new("xfce4-panel");
        self.panel = Some(self.run(command.arg("--disable-wm-check")));
        self.bus.until("the panel", || self.bus.has(WATCHER).then_some(()));
    }

    /// Ends the panel as a crash does, and waits until the bus knows.
    #[track_caller]
    pub(crate) fn kill_panel(&mut self) {
        drop(self.panel.take());
        self.bus.until("the panel's end", || (!self.bus.has(WATCHER)).then_some(()));
    }

    /// Ends the session: the bus goes first.
    pub(crate) fn end_session(self) {}

    /// What its programs find in their environment.
    pub(crate) fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    /// A command as a program of this desktop.
    pub(crate) fn command<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)))
    }

    fn run(&self, command: &mut Command) -> Program {
        Program::start(self.command(command))
    }

    /// Its session bus.
    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Where its session bus is.
    pub(crate) fn address(&self) -> &str {
        let found = self.environment.iter().find(|(name, _)| *name == "DBUS_SESSION_BUS_ADDRESS");
        &found.unwrap().1
    }

    /// Its screen, keyboard and mouse.
    pub(crate) fn screen(&self) -> &Screen {
        &self.screen
    }

    /// A folder for the time of the test; `home` in it is the home folder of the desktop's programs.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }
}

/// Folders of a user's own, so that nothing of this machine's is read or written.
fn homes(dir: &Scratch) -> Vec<(&'static str, String)> {
    let make = |name: &str| {
        let folder = dir.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder.to_str().unwrap().to_owned()
    };
    let config = make("config");
    let panel = dir.path().join("config/xfce4/xfconf/xfce-perchannel-xml");
    fs::create_dir_all(&panel).unwrap();
    fs::write(panel.join("xfce4-panel.xml"), PANEL).unwrap();
    let runtime = make("runtime");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&runtime, private).unwrap();
    let fixed = [
        ("LANG", "C.UTF-8"),
        ("NO_AT_BRIDGE", "1"),
        ("GTK_THEME", "Adwaita"),
        ("XDG_CURRENT_DESKTOP", "XFCE"),
        ("XDG_SESSION_TYPE", "x11"),
        ("WAYLAND_DISPLAY", ""),
    ];
    [
        ("HOME", make("home")),
        ("XDG_CONFIG_HOME", config),
        ("XDG_DATA_HOME", make("data")),
        ("XDG_CACHE_HOME", make("cache")),
        ("XDG_RUNTIME_DIR", runtime),
    ]
    .into_iter()
    .chain(fixed.map(|(name, value)| (name, value.to_owned())))
    .collect()
}
