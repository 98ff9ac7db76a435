//! A home, a fake daemon in it, and `ffctl` to be run.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use filefleet_ctl::Home;
use filefleet_ctl::proto::{Call, ControlError, ErrorCode, Reply};
use filefleet_ctl::testing::{Answer, FakeDaemon};
use serde_json::Value;
use tempfile::TempDir;

/// One user: a temporary home.
pub(crate) struct User {
    pub(crate) dir: TempDir,
    pub(crate) home: Home,
}

/// How a run of `ffctl` ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit_code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl User {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("home")).unwrap();
        Self { dir, home }
    }

    /// The folder in which `ffctl` runs, as it names it: without links on the way. Windows, where no
    /// link is on the way, would write such a path in a form of its own.
    pub(crate) fn folder(&self) -> PathBuf {
        let folder = self.dir.path();
        if cfg!(windows) { folder.to_owned() } else { folder.canonicalize().unwrap() }
    }

    /// A daemon that answers every call with `reply`.
    pub(crate) fn daemon_that_says(&self, reply: Reply) -> FakeDaemon {
        self.daemon(move |_| reply.clone().into())
    }

    /// A daemon that answers every call with an error.
    pub(crate) fn daemon_that_fails(&self, code: ErrorCode, message: &str) -> FakeDaemon {
        let error = ControlError::new(code, message).with_hint("do better");
        self.daemon(move |_| error.clone().into())
    }

    pub(crate) fn daemon(
        &self,
        script: impl FnMut(&Call) -> Answer + Send + 'static,
    ) -> FakeDaemon {
        FakeDaemon::start(&self.home, script).unwrap()
    }

    /// `ffctl` as this user, in the folder that holds the home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ffctl"));
        command.args(arguments).current_dir(self.dir.path());
        command.env("FILEFLEET_HOME", self.home.root().unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn ffctl(&self, arguments: &[&str]) -> Outcome {
        self.command(arguments).output().unwrap().into()
    }

    /// What `ffctl` has printed when it has printed that, or has ended.
    pub(crate) fn reads_until(&self, arguments: &[&str], expected: &str) -> String {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.ends_with(expected) && stdout.read_line(&mut printed).unwrap() > 0 {}
        child.kill().unwrap();
        child.wait().unwrap();
        printed
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            exit_code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.exit_code, 0, "{self:?}");
        self
    }

    /// What was printed, as JSON: a value a line, each with the schema's version.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        let lines = self.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.inspect(|value| assert_eq!(value["schema_version"], 1, "{self:?}")).collect()
    }

    #[track_caller]
    pub(crate) fn failed(self, exit_code: i32, stderr: &str) -> Self {
        assert_eq!((self.exit_code, self.stderr.as_str()), (exit_code, stderr), "{self:?}");
        self
    }
}
