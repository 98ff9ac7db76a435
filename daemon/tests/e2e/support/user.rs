//! One user: a home, the daemon in it, and `ffctl` as this user.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
#[cfg(target_os = "linux")]
use std::time::Duration;

#[cfg(unix)]
use rustix::process::Signal;
use serde_json::Value;

#[cfg(target_os = "linux")]
use super::program::wrapped;
use super::{Outcome, Program, Scratch, Sending, Server, Watching, program};

/// What the daemon logs once it serves.
const READY: &str = "ready";

pub(crate) struct User {
    daemon: Option<Program>,
    dir: Scratch,
}

impl User {
    /// A user with a home and no daemon.
    pub(crate) fn new() -> Self {
        let dir = Scratch::new();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::create_dir(dir.path().join("files")).unwrap();
        Self { daemon: None, dir }
    }

    /// A user whose daemon runs.
    pub(crate) fn started() -> Self {
        let mut user = Self::new();
        user.start();
        user
    }

    /// A user who has claimed a name.
    pub(crate) fn registered(name: &str, server: &Server) -> Self {
        let user = Self::started();
        user.register(name, server).done();
        user
    }

    /// Starts the daemon and waits until it serves.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        self.run_daemon(&self.command("filefleetd"));
    }

    /// Starts the daemon with these variables.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn start_within(&mut self, environment: &[(&'static str, String)]) {
        let mut command = self.command("filefleetd");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        self.run_daemon(&command);
    }

    /// Starts the daemon so that it lets others go first where the machine is busy.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn start_behind_others(&mut self) {
        self.run_daemon(&wrapped(&["nice", "-n", "10"], &self.command("filefleetd")));
    }

    /// Starts the daemon by the command that `by` makes of its own.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn start_by(&mut self, by: impl FnOnce(&Command) -> Command) {
        self.run_daemon(&by(&self.command("filefleetd")));
    }

    /// Starts the daemon so that permissions bind it, even if the user is root.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn start_obedient(&mut self) {
        let lost = "-dac_override,-dac_read_search";
        let by = ["setpriv", "--inh-caps", lost, "--bounding-set", lost];
        let command = self.command("filefleetd");
        let obedient =
            if rustix::process::geteuid().is_root() { wrapped(&by, &command) } else { command };
        self.run_daemon(&obedient);
    }

    /// Starts the daemon as a service manager does that is told about it through `socket`, and wants
    /// a sign of life at least this often.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn start_supervised(&mut self, socket: &Path, watchdog: Duration) {
        let socket = socket.to_str().unwrap().to_owned();
        let watchdog = watchdog.as_micros().to_string();
        self.start_within(&[("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", watchdog)]);
    }

    #[track_caller]
    fn run_daemon(&mut self, command: &Command) {
        assert!(self.daemon.is_none(), "it runs already");
        let mut daemon = Program::start(command);
        daemon.says(READY);
        self.daemon = Some(daemon);
    }

    /// Waits until the server knows the daemon, after a start of either.
    #[track_caller]
    pub(crate) fn registered_again(&self) {
        let mut watching = self.watch();
        if self.status()["registered"] != true {
            watching.until("registration", |event| event["registered"] == true);
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().pid()
    }

    /// Ends the daemon as the system does at shutdown.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Outcome {
        self.daemon.take().unwrap().end_by(Signal::TERM)
    }

    /// Ends the daemon in order, in the only way that Windows has for another program.
    #[cfg(windows)]
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Outcome {
        self.ffctl(&["daemon", "stop"]).done();
        self.daemon.take().unwrap().end()
    }

    /// Ends the daemon without warning.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    /// The folder below which everything of this user must stay.
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Where other programs keep things of this user; nothing of ours belongs there.
    pub(crate) fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// Where received files go.
    pub(crate) fn received(&self) -> PathBuf {
        self.home().join("received")
    }

    /// What lies in the folder of received files, hidden or not, sorted.
    #[track_caller]
    pub(crate) fn received_names(&self) -> Vec<String> {
        names_in(&self.received())
    }

    /// Where a file of this user's own lies, or may be made.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("files").join(name)
    }

    /// Makes a small file to send.
    pub(crate) fn note(&self, name: &str) -> PathBuf {
        let file_path = self.file(name);
        fs::write(&file_path, format!("a note: {name}\n")).unwrap();
        file_path
    }

    /// A program as this user, in a folder and with folders of the platform that stay empty.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command.current_dir(self.outside());
        for variable in ["HOME", "TMPDIR"] {
            command.env(variable, self.outside());
        }
        for variable in ["CONFIG_HOME", "DATA_HOME", "STATE_HOME", "CACHE_HOME", "RUNTIME_DIR"] {
            command.env(format!("XDG_{variable}"), self.outside());
        }
        // Nothing is shown on the desktop of whoever runs the tests.
        let no_bus = format!("unix:path={}", self.outside().join("no-bus").display());
        command.env("DBUS_SESSION_BUS_ADDRESS", no_bus);
        command.env("FILEFLEET_HOME", self.home());
        command
    }

    fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Program {
        Program::start(self.command("ffctl").args(arguments))
    }

    pub(crate) fn ffctl(&self, arguments: &[&str]) -> Outcome {
        self.run(arguments).end()
    }

    /// What `ffctl … --json` prints.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.run(arguments.iter().chain(&["--json"])).end().done().json()
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.json(&["status"])
    }

    pub(crate) fn register(&self, name: &str, server: &Server) -> Outcome {
        // Nobody on the networks of whoever runs the tests hears of them.
        self.ffctl(&["config", "set", "lan-discovery", "false"]).done();
        self.ffctl(&["register", name, "--server", &server.address])
    }

    /// Decides what happens to what `name` sends.
    #[track_caller]
    pub(crate) fn accept(&self, name: &str, what: &str) {
        self.ffctl(&["contacts", "set", name, "--accept", what]).done();
    }

    /// The requests that wait for an answer.
    #[track_caller]
    pub(crate) fn requests(&self) -> Vec<Value> {
        let requests = self.json(&["requests"]);
        requests["requests"].as_array().unwrap().clone()
    }

    pub(crate) fn send(&self, to: &str, sources: &[&Path]) -> Sending {
        self.send_with(&[], to, sources)
    }

    /// The same, with options.
    pub(crate) fn send_with(&self, options: &[&str], to: &str, sources: &[&Path]) -> Sending {
        let sources = sources.iter().map(|source| source.as_os_str());
        let arguments = [&["send", "--json"], options, &[to]].concat();
        Sending::new(self.run(arguments.into_iter().map(OsStr::new).chain(sources)))
    }

    /// Sends what `input` holds as standard input.
    #[cfg(target_os = "linux")]
    pub(crate) fn send_input(&self, input: &Path, options: &[&str], to: &str) -> Sending {
        let mut command = self.command("ffctl");
        command.args([&["send", "--json", to, "-"], options].concat());
        let read = ["sh", "-c", r#"exec "$@" <"$0""#, input.to_str().unwrap()];
        Sending::new(Program::start(&wrapped(&read, &command)))
    }

    /// Runs a line of shell: `$0` is `file_path`, `$1` is `ffctl` as this user, then come `arguments`.
    #[cfg(target_os = "linux")]
    pub(crate) fn shell(&self, line: &str, file_path: &Path, arguments: &[&str]) -> Program {
        let mut command = self.command("ffctl");
        command.args(arguments);
        Program::start(&wrapped(&["sh", "-c", line, file_path.to_str().unwrap()], &command))
    }

    /// Everything that was sent or received and is still known, newest first.
    #[track_caller]
    pub(crate) fn transfers(&self) -> Vec<Value> {
        let transfers = self.json(&["transfers", "--all"]);
        transfers["transfers"].as_array().unwrap().clone()
    }

    /// The daemon's database, to be looked at while it does not run.
    pub(crate) fn database(&self) -> PathBuf {
        assert!(self.daemon.is_none(), "it runs");
        self.home().join("state/state.db")
    }

    pub(crate) fn watch(&self) -> Watching {
        Watching::new(self.run(["watch", "--json"]))
    }
}

/// What lies in a folder, sorted; nothing if there is none.
#[track_caller]
pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
