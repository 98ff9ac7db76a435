//! `filefleet-server` on a free port of the loopback, with a data folder of its own.

use std::process::Command;

#[cfg(unix)]
use rustix::process::Signal;

use super::{Outcome, Program, Scratch, program};

pub(crate) struct Server {
    program: Option<Program>,
    /// `HOST:PORT#FINGERPRINT`, as it says itself.
    pub(crate) address: String,
    data: Scratch,
}

impl Server {
    pub(crate) fn start() -> Self {
        let data = Scratch::new();
        let (program, address) = run(&data, "127.0.0.1:0");
        Self { program: Some(program), address, data }
    }

    /// Ends it without warning.
    pub(crate) fn kill(&mut self) {
        self.program.take().unwrap().kill();
    }

    /// Starts it again, on the same port and with the same data, and waits until it serves.
    pub(crate) fn restart(&mut self) {
        let listen = self.address.split('#').next().unwrap();
        let (program, address) = run(&self.data, listen);
        assert_eq!(address, self.address);
        self.program = Some(program);
    }

    /// Ends it as the system does at shutdown. On Windows nobody but the console can.
    #[cfg(unix)]
    pub(crate) fn stop(mut self) -> Outcome {
        self.program.take().unwrap().end_by(Signal::TERM)
    }

    /// Lets anybody claim `name` again.
    pub(crate) fn release(&self, name: &str) {
        self.tend(&["names", "remove", name]).done();
    }

    /// Runs one of the server's other commands on its data.
    pub(crate) fn tend(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(program("filefleet-server"));
        command.args(arguments).arg("--data-dir").arg(self.data.path());
        Program::start(&command).end()
    }
}

fn run(data: &Scratch, listen: &str) -> (Program, String) {
    let mut command = Command::new(program("filefleet-server"));
    command.args(["--listen", listen, "--relay", "127.0.0.1:0", "--data-dir"]);
    let mut program = Program::start(command.arg(data.path()));
    let line = program.line().expect("the server says that it is ready or why it is not");
    let address = line.strip_prefix("ready ").unwrap_or_else(|| panic!("{line:?}"));
    (program, address.to_owned())
}
