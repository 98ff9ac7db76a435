//! One machine of a network, as the benchmark has it; what goes wrong fails the test.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::OnceLock;

use filefleet_bench::lab;

use super::Scratch;

pub(crate) struct Machine {
    lab: lab::Machine,
    /// The folder of its own `/etc/hosts`, if it has one.
    names: OnceLock<Scratch>,
}

/// Puts the file over `/etc/hosts`, for one program alone.
const WITH_NAMES: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";

impl Machine {
    /// A machine without any network but its loopback.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self { lab: lab::Machine::new().unwrap(), names: OnceLock::new() }
    }

    /// From now on programs on this machine find these addresses under these names, and no others.
    pub(crate) fn knows(&self, names: &[(&str, &str)]) {
        let mut lines = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        for (name, address) in names {
            writeln!(lines, "{address} {name}").unwrap();
        }
        let dir = Scratch::new();
        std::fs::write(dir.path().join("hosts"), lines).unwrap();
        assert!(self.names.set(dir).is_ok(), "it knows names already");
    }

    /// A program on this machine. It keeps its process id.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(names) = self.names.get() else { return self.lab.command(program) };
        let mut command = self.lab.command("unshare");
        command.args(["--mount", "sh", "-c", WITH_NAMES]).arg(names.path().join("hosts"));
        command.arg(program);
        command
    }

    /// Calls a function on this machine; sockets that it opens stay there.
    #[track_caller]
    pub(crate) fn enter<T: Send>(&self, function: impl FnOnce() -> T + Send) -> T {
        self.lab.enter(function).unwrap()
    }

    /// Runs a program to its end; what it printed.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> String {
        self.lab.run(words).unwrap()
    }

    /// Puts a cable between two machines; its ends are interfaces of these names, and up.
    #[track_caller]
    pub(crate) fn cable(&self, interface: &str, other: &Self, other_interface: &str) {
        self.lab.cable(interface, &other.lab, other_interface).unwrap();
    }

    /// Gives an interface an address, with the length of its prefix.
    #[track_caller]
    pub(crate) fn address(&self, interface: &str, address: &str) {
        self.lab.address(interface, address).unwrap();
    }

    /// Everything that is not on a shared network goes to this router.
    #[track_caller]
    pub(crate) fn default_route(&self, router: &str) {
        self.lab.default_route(router).unwrap();
    }

    /// From now on packets that are for others are passed on.
    #[track_caller]
    pub(crate) fn forward(&self) {
        self.lab.forward().unwrap();
    }

    /// Adds to the rules of the packet filter.
    #[track_caller]
    pub(crate) fn filter(&self, rules: &str) {
        self.lab.filter(rules).unwrap();
    }
}
