//! FileFleet: a server and Alice's daemon on the near machine, Bob's on the far one.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use filefleet_bench::lab::Machine;

use super::{
    content::Payload,
    figures::{Run, number},
    process::{self, Ended, Running},
    race::Contestant,
    site::Site,
};

/// Where the programs are: beside this one.
#[derive(Debug, Clone)]
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// Fails if they have not been built.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let dir = own.parent().context("this program is nowhere")?;
        for name in ["filefleet-server", "filefleetd", "ffctl"] {
            let missing = dir.join(name);
            ensure!(missing.is_file(), "{} is missing: build the workspace", missing.display());
        }
        Ok(Self(dir.to_owned()))
    }

    fn command(&self, machine: &Machine, name: &str) -> Command {
        machine.command(self.0.join(name))
    }
}

/// One user: a home and a daemon.
struct User<'a> {
    name: &'static str,
    machine: &'a Machine,
    programs: &'a Programs,
    dir: PathBuf,
    /// `None` while it is started again.
    daemon: Option<Running>,
}

impl<'a> User<'a> {
    fn start(
        name: &'static str,
        machine: &'a Machine,
        programs: &'a Programs,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let dir = dir.join(name);
        fs::create_dir(&dir)?;
        let daemon = Some(start_daemon(machine, programs, &dir)?);
        let user = Self { name, machine, programs, dir, daemon };
        process::await_that("the daemon answers", || Ok(user.call(&["status"]).is_ok()))?;
        Ok(user)
    }

    /// Ends the daemon and starts it again; comes back when the server knows it.
    fn restart(&mut self) -> anyhow::Result<()> {
        if let Some(daemon) = self.daemon.take() {
            daemon.end()?;
        }
        self.daemon = Some(start_daemon(self.machine, self.programs, &self.dir)?);
        self.registered()
    }

    fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.daemon.as_ref().context("the daemon does not run")?.pid())
    }

    fn registered(&self) -> anyhow::Result<()> {
        process::await_that("the server knows the daemon", || {
            let Ok(said) = self.call(&["status", "--json"]) else { return Ok(false) };
            let status: serde_json::Value = serde_json::from_str(&said.stdout)?;
            Ok(status["registered"] == true)
        })
    }

    fn register(&self, server: &str) -> anyhow::Result<()> {
        self.call(&["register", self.name, "--server", server])?;
        self.registered()
    }

    fn call(&self, words: &[&str]) -> anyhow::Result<Ended> {
        let mut command = self.programs.command(self.machine, "ffctl");
        command.args(words).env("FILEFLEET_HOME", home(&self.dir));
        process::measure(&command)
    }
}

fn start_daemon(machine: &Machine, programs: &Programs, dir: &Path) -> anyhow::Result<Running> {
    let mut command = programs.command(machine, "filefleetd");
    command.env("FILEFLEET_HOME", home(dir));
    Running::start(&command, &dir.join("log"))
}

fn home(dir: &Path) -> PathBuf {
    dir.join("home")
}

/// All of it.
pub(crate) struct Fleet<'a> {
    alice: User<'a>,
    bob: User<'a>,
    /// Ends after the daemons.
    server: Running,
}

impl<'a> Fleet<'a> {
    /// Everything lies below a folder: what Bob receives, too.
    pub(crate) fn start(
        site: &'a Site,
        programs: &'a Programs,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let data = dir.join("server");
        fs::create_dir(&data)?;
        let mut command = programs.command(&site.near, "filefleet-server");
        command.args(["--public-host", site.server_ip, "--data-dir"]).arg(&data);
        let mut server = Running::start(&command, &data.join("log"))?;
        let mut line = String::new();
        let stdout = server.stdout().context("the server has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim_end().strip_prefix("ready ").context("the server did not start")?;

        let alice = User::start("alice", &site.near, programs, dir)?;
        let bob = User::start("bob", &site.far, programs, dir)?;
        alice.register(address)?;
        bob.register(address)?;
        let invite = alice.call(&["invite"])?.stdout;
        bob.call(&["contacts", "add", invite.trim()])?;
        bob.call(&["contacts", "set", "alice", "--accept", "always"])?;
        Ok(Self { alice, bob, server })
    }

    /// Starts both daemons again, so that no link is left.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.alice.restart()?;
        self.bob.restart()
    }

    /// Processor seconds of the server so far.
    pub(crate) fn server_cpu(&self) -> anyhow::Result<f64> {
        process::cpu(self.server.pid())
    }

    /// The same as [`Contestant::send`], for somebody who has nobody to compare it with.
    pub(crate) fn run(&self, payload: &Payload) -> anyhow::Result<Run> {
        Ok(self.run_over(payload)?.0)
    }

    /// The same, and how much of it was relayed, in percent.
    pub(crate) fn run_over(&self, payload: &Payload) -> anyhow::Result<(Run, f64)> {
        let (alice, bob) = (self.alice.pid()?, self.bob.pid()?);
        process::forget_peak(alice)?;
        process::forget_peak(bob)?;
        let before = (process::cpu(alice)?, process::cpu(bob)?);
        let source = payload.source.to_str().context("the source's name is not text")?;
        let ended = self.alice.call(&["send", "--json", "bob", source])?;
        let run = Run {
            seconds: ended.seconds,
            // The daemon's and the command's.
            sender_cpu: process::cpu(alice)? - before.0 + ended.cpu,
            receiver_cpu: process::cpu(bob)? - before.1,
            sender_peak: Some(process::peak(alice)?),
            receiver_peak: Some(process::peak(bob)?),
            gave_up: false,
        };
        payload.take_from(&home(&self.bob.dir).join("received"))?;
        let last = ended.stdout.lines().last().context("ffctl said nothing")?;
        let done: serde_json::Value = serde_json::from_str(last)?;
        let relayed = done["links"]["relayed"].as_u64().unwrap_or_default();
        Ok((run, 100.0 * number(relayed) / number(payload.bytes)))
    }
}

impl Contestant for Fleet<'_> {
    fn name(&self) -> &'static str {
        "FileFleet"
    }

    fn send(&mut self, payload: &Payload) -> anyhow::Result<Run> {
        self.run(payload)
    }
}
