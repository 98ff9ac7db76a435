//! Programs on a machine: the server, and a user's daemon and `ffctl`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use super::{Machine, Outcome, Program, Scratch, Sending, Watching, program};

/// `filefleet-server` on its usual ports, and on that of web servers.
pub(crate) struct Server<'a> {
    /// `None` while it is down.
    program: Option<Program>,
    machine: &'a Machine,
    ip: &'a str,
    data: Scratch,
    /// `HOST:PORT#FINGERPRINT`, as it says itself.
    address: String,
}

impl<'a> Server<'a> {
    #[track_caller]
    pub(super) fn start(machine: &'a Machine, ip: &'a str) -> Self {
        let data = Scratch::new();
        let (program, address) = Self::run(machine, ip, &data);
        Self { program: Some(program), machine, ip, data, address }
    }

    /// Ends it without warning.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.program.take().unwrap().kill();
    }

    /// Starts it again with the same data, and waits until it serves.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        let (program, address) = Self::run(self.machine, self.ip, &self.data);
        assert_eq!(address, self.address);
        self.program = Some(program);
    }

    #[track_caller]
    fn run(machine: &Machine, ip: &str, data: &Scratch) -> (Program, String) {
        let mut command = machine.command(program("filefleet-server"));
        command.args(["--tcp", "[::]:7835", "--tcp", "[::]:443", "--public-host", ip]);
        command.arg("--data-dir").arg(data.path());
        let mut program = Program::start(&command);
        let line = program.line().expect("the server says that it is ready or why it is not");
        let address = line.strip_prefix("ready ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        assert!(address.starts_with(&format!("{ip}:7835#")), "{address}");
        (program, address)
    }
}

/// A user with a home, a daemon and a name.
pub(crate) struct User<'a> {
    /// `None` while it is ended.
    daemon: Option<Program>,
    machine: &'a Machine,
    dir: Scratch,
}

impl<'a> User<'a> {
    #[track_caller]
    pub(super) fn registered(name: &str, machine: &'a Machine, server: &Server<'_>) -> Self {
        let mut user = Self { daemon: None, machine, dir: Scratch::new() };
        user.start();
        user.ffctl(&["register", name, "--server", &server.address]).done();
        user
    }

    /// Starts the daemon.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        let mut command = command(self.machine, &self.dir, "filefleetd");
        command.env("FILEFLEET_TEST_SLEPT", slept(&self.dir));
        self.daemon.insert(Program::start(&command)).says("ready");
    }

    #[track_caller]
    pub(crate) fn ffctl(&self, arguments: &[&str]) -> Outcome {
        Program::start(command(self.machine, &self.dir, "ffctl").args(arguments)).end()
    }

    /// Waits until the daemon says something that contains `text`.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) {
        self.daemon.as_mut().unwrap().says(text);
    }

    /// Ends the daemon as a person's logging out does.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.daemon.take().unwrap().end_by(Signal::TERM).done();
    }

    /// The daemon stands still until it is woken.
    pub(crate) fn freeze(&self) {
        self.daemon.as_ref().unwrap().signal(Signal::STOP);
    }

    pub(crate) fn wake(&self) {
        self.daemon.as_ref().unwrap().signal(Signal::CONT);
    }

    /// Wakes it on a machine whose clocks say that it has slept.
    pub(crate) fn wake_from_sleep(&self) {
        fs::write(slept(&self.dir), "3600").unwrap();
        self.wake();
    }

    /// Waits until this contact is, or is no longer, on a network of this user's machine.
    #[track_caller]
    pub(crate) fn sees(&self, name: &str, near: bool) {
        let mut watching = self.watch();
        let shown = self.ffctl(&["contacts", "show", name, "--json"]).done().json();
        if shown["near"] != near {
            watching.until("contact", |contact| contact["name"] == name && contact["near"] == near);
        }
    }

    /// Begins to send one of this user's files.
    pub(crate) fn send(&self, to: &str, name: &str) -> Sending {
        self.send_with(&[], to, name)
    }

    /// The same, with options.
    pub(crate) fn send_with(&self, options: &[&str], to: &str, name: &str) -> Sending {
        let mut command = command(self.machine, &self.dir, "ffctl");
        command.args(["send", "--json"]).args(options).arg(to).arg(self.file(name));
        Sending::new(Program::start(&command))
    }

    /// Is told everything from now on.
    pub(crate) fn watch(&self) -> Watching {
        let mut command = command(self.machine, &self.dir, "ffctl");
        command.args(["watch", "--json"]);
        Watching::new(Program::start(&command))
    }

    /// Where a file of this user's own lies, or may be made.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where a file that was received lies.
    pub(crate) fn received(&self, name: &str) -> PathBuf {
        home(&self.dir).join("received").join(name)
    }
}

/// For how many seconds the machine pretends to have slept.
fn slept(dir: &Scratch) -> PathBuf {
    dir.path().join("slept")
}

/// A program on this machine, as the user who has everything in `dir`.
fn command(machine: &Machine, dir: &Scratch, name: &str) -> Command {
    let mut command = machine.command(program(name));
    command.env("FILEFLEET_HOME", home(dir));
    command
}

fn home(dir: &Scratch) -> PathBuf {
    dir.path().join("home")
}
