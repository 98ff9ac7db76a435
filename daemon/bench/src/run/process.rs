//! Programs that are measured: how long they take, and what they need of processor and memory.

use std::{
    fs::{self, File},
    io::{Read, Seek},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// What `timeout` ends with when it had to stop a program.
const STOPPED: i32 = 124;
/// Between two looks at something that no event tells of.
const POLL: Duration = Duration::from_millis(10);
/// Longer than anything takes that is waited for like that.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program in the background, which ends with this value, or with this program however it ends.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Starts it; what it says goes to a file.
    pub(crate) fn start(command: &Command, log: &Path) -> anyhow::Result<Self> {
        let mut bound = bound(command);
        bound.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(log)?);
        let child = bound.spawn().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Self { child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// Its standard output.
    pub(crate) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same command, which ends with this program.
fn bound(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    bound
}

/// How a program ended that was run to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) seconds: f64,
    /// Processor seconds of it and of those of its children that it waited for.
    pub(crate) cpu: f64,
    pub(crate) stdout: String,
    /// It took too long and was stopped.
    pub(crate) gave_up: bool,
}

/// Runs a program to its end.
pub(crate) fn measure(command: &Command) -> anyhow::Result<Ended> {
    let mut bound = bound(command);
    // Files, for nobody reads from a pipe before it ends.
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    bound.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let start = Instant::now();
    let mut child = bound.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(Pid::from_child(&child)), options)?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = cpu(child.id())?;
    let status = child.wait()?;
    let gave_up = status.code() == Some(STOPPED);
    if !status.success() && !gave_up {
        bail!("{command:?} failed ({status}): {}", written(&mut stderr)?.trim());
    }
    Ok(Ended { seconds, cpu, stdout: written(&mut stdout)?, gave_up })
}

/// All that a program has written to a file.
fn written(file: &mut File) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Processor seconds of a process so far, and of those of its children that it waited for.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("a program has ended")?;
    // The name is in parentheses and may contain anything; proc_pid_stat(5) counts from one, and
    // what follows the name begins with field 3.
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let times = fields.get(11..15).context("/proc/PID/stat is short")?;
    let ticks: u64 = times.iter().map(|ticks| ticks.parse::<u64>()).sum::<Result<_, _>>()?;
    let hertz = rustix::param::clock_ticks_per_second();
    Ok(super::figures::number(ticks) / super::figures::number(hertz))
}

/// From here on a process's peak counts anew.
pub(crate) fn forget_peak(pid: u32) -> anyhow::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot reset a peak")
}

/// The most resident memory that a process had, in MiB.
pub(crate) fn peak(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmHWM")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

/// Waits until a process has no children any more.
pub(crate) fn wait_for_children(pid: u32) -> anyhow::Result<()> {
    let children = format!("/proc/{pid}/task/{pid}/children");
    await_that("its children end", || Ok(fs::read_to_string(&children)?.trim().is_empty()))
}

/// Looks again and again until it is so.
pub(crate) fn await_that(
    what: &str,
    mut so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while !so()? {
        ensure!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_writes_much_comes_to_its_end() {
        let mut command = Command::new("head");
        let ended = measure(command.args(["-c", "300000", "/dev/zero"])).unwrap();
        assert_eq!(ended.stdout.len(), 300_000);
    }

    #[test]
    fn a_program_that_fails_says_why() {
        let mut command = Command::new("cat");
        let failed = measure(command.arg("/nowhere/at/all")).unwrap_err();
        assert!(failed.to_string().contains("No such file"), "{failed}");
    }
}
