//! Programs on a machine: the server, and a user's daemon and `ffctl`.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use super::{Machine, Outcome, Program, Scratch, Sending, Watching, program};

/// `filefleet-server` on its usual ports, and on that of web servers.
pub(crate) struct Server {
    #[expect(dead_code, reason = "dropping it ends it")]
    program: Program,
    #[expect(dead_code, reason = "dropping it removes it")]
    data: Scratch,
    /// `HOST:PORT#FINGERPRINT`, as it says itself.
    address: String,
}

impl Server {
    #[track_caller]
    pub(super) fn start(machine: &Machine, ip: &str) -> Self {
        let data = Scratch::new();
        let mut command = machine.command(program("filefleet-server"));
        command.args(["--tcp", "[::]:7835", "--tcp", "[::]:443", "--public-host", ip]);
        command.arg("--data-dir").arg(data.path());
        let mut program = Program::start(&command);
        let line = program.line().expect("the server says that it is ready or why it is not");
        let address = line.strip_prefix("ready ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        assert!(address.starts_with(&format!("{ip}:7835#")), "{address}");
        Self { program, data, address }
    }
}

/// A user with a home, a daemon and a name.
pub(crate) struct User<'a> {
    daemon: Program,
    machine: &'a Machine,
    dir: Scratch,
}

impl<'a> User<'a> {
    #[track_caller]
    pub(super) fn registered(name: &str, machine: &'a Machine, server: &Server) -> Self {
        let dir = Scratch::new();
        let mut daemon = Program::start(&command(machine, &dir, "filefleetd"));
        daemon.says("ready");
        let user = Self { daemon, machine, dir };
        user.ffctl(&["register", name, "--server", &server.address]).done();
        user
    }

    #[track_caller]
    pub(crate) fn ffctl(&self, arguments: &[&str]) -> Outcome {
        Program::start(command(self.machine, &self.dir, "ffctl").args(arguments)).end()
    }

    /// Waits until the daemon says something that contains `text`.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) {
        self.daemon.says(text);
    }

    /// Ends the daemon as a person's logging out does.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.daemon.end_by(Signal::TERM).done();
    }

    /// Begins to send one of this user's files.
    pub(crate) fn send(&self, to: &str, name: &str) -> Sending {
        let mut command = command(self.machine, &self.dir, "ffctl");
        command.args(["send", "--json", to]).arg(self.file(name));
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

/// A program on this machine, as the user who has everything in `dir`.
fn command(machine: &Machine, dir: &Scratch, name: &str) -> Command {
    let mut command = machine.command(program(name));
    command.env("FILEFLEET_HOME", home(dir));
    command
}

fn home(dir: &Scratch) -> PathBuf {
    dir.path().join("home")
}
