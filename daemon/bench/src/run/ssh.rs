//! `scp` and `rsync` over a private `sshd` on the far machine, and `rsync` without a network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, ensure};

use super::{
    content::Payload,
    figures::Run,
    process::{self, Running},
    race::Contestant,
    site::{FAR_IP, Site},
};

/// The fastest that both processor and protocol have.
const CIPHER: &str = "aes128-gcm@openssh.com";

/// An `sshd` of our own: its own keys, settings, `/run` and network, ended with this value.
pub(crate) struct Ssh<'a> {
    site: &'a Site,
    sshd: Running,
    /// Keys and settings.
    dir: PathBuf,
    /// Where things arrive.
    inbox: PathBuf,
    /// After this long a program is stopped.
    patience: Duration,
}

impl<'a> Ssh<'a> {
    pub(crate) fn start(site: &'a Site, dir: &Path, patience: Duration) -> anyhow::Result<Self> {
        let dir = dir.join("ssh");
        let inbox = dir.join("inbox");
        fs::create_dir_all(&inbox)?;
        for key in ["host_key", "user_key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(key));
            process::measure(&keygen)?;
        }
        fs::write(dir.join("config"), settings(&dir))?;
        // sshd wants its own full name, and a folder in /run that a machine without one may lack.
        let script = "mount -t tmpfs filefleet-bench /run && mkdir -m 0755 /run/sshd &&
            exec \"$(command -v sshd)\" -D -e -f \"$0\"";
        let mut command = site.far.command("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(dir.join("config"));
        if let Some(path) = std::env::var_os("PATH").and_then(|path| path.into_string().ok()) {
            command.env("PATH", path + ":/usr/sbin:/sbin");
        }
        let sshd = Running::start(&command, &dir.join("log"))?;
        let ssh = Self { site, sshd, dir, inbox, patience };
        process::await_that("sshd answers", || {
            let mut command = ssh.command("ssh");
            command.args(ssh.options()).args([&ssh.host(), "true"]);
            Ok(process::measure(&command).is_ok())
        })?;
        Ok(ssh)
    }

    /// As a contestant with `scp`.
    pub(crate) fn scp(&self) -> Scp<'_> {
        Scp { ssh: self, name: format!("scp ({})", CIPHER.trim_end_matches("@openssh.com")) }
    }

    /// As a contestant with `rsync -a -W`, and with `--fsync` if that is wanted.
    pub(crate) fn rsync(&self, fsync: bool) -> Rsync<'_> {
        let flag = if fsync { " --fsync" } else { "" };
        Rsync { ssh: self, fsync, name: format!("rsync -a -W{flag} over ssh") }
    }

    /// A program on the near machine that does not go on for ever.
    fn command(&self, program: &str) -> Command {
        let mut command = self.site.near.command("timeout");
        command.arg(self.patience.as_secs().to_string()).arg(program);
        command
    }

    fn host(&self) -> String {
        format!("root@{FAR_IP}")
    }

    fn options(&self) -> Vec<String> {
        let settings = [
            "BatchMode=yes".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "LogLevel=ERROR".to_owned(),
            "StrictHostKeyChecking=no".to_owned(),
            format!("UserKnownHostsFile={}", self.dir.join("known_hosts").display()),
            format!("IdentityFile={}", self.dir.join("user_key").display()),
            format!("Ciphers={CIPHER}"),
        ];
        let flags = settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]);
        ["-F".to_owned(), "/dev/null".to_owned()].into_iter().chain(flags).collect()
    }

    /// Runs a command that sends to the inbox; the receiver's costs are those of sshd's children.
    fn transfer(&self, command: &Command, payload: &Payload) -> anyhow::Result<Run> {
        process::wait_for_children(self.sshd.pid())?;
        let before = process::cpu(self.sshd.pid())?;
        let ended = process::measure(command)?;
        process::wait_for_children(self.sshd.pid())?;
        let run = Run {
            seconds: ended.seconds,
            sender_cpu: ended.cpu,
            receiver_cpu: process::cpu(self.sshd.pid())? - before,
            gave_up: ended.gave_up,
            ..Run::default()
        };
        if ended.gave_up {
            clear(&self.inbox)?;
        } else {
            payload.take_from(&self.inbox)?;
        }
        Ok(run)
    }
}

fn settings(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "ListenAddress {FAR_IP}:22
HostKey {dir}/host_key
AuthorizedKeysFile {dir}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
Subsystem sftp internal-sftp
"
    )
}

/// Removes what is in a folder of ours.
fn clear(dir: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(dir)?;
    Ok(fs::create_dir(dir)?)
}

/// `scp`.
pub(crate) struct Scp<'a> {
    ssh: &'a Ssh<'a>,
    name: String,
}

impl Contestant for Scp<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn send(&mut self, payload: &Payload) -> anyhow::Result<Run> {
        let mut command = self.ssh.command("scp");
        command.args(["-q", "-r"]).args(self.ssh.options()).arg(&payload.source);
        command.arg(format!("{}:{}/", self.ssh.host(), self.ssh.inbox.display()));
        self.ssh.transfer(&command, payload)
    }
}

/// `rsync` over `ssh`.
pub(crate) struct Rsync<'a> {
    ssh: &'a Ssh<'a>,
    fsync: bool,
    name: String,
}

impl Contestant for Rsync<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn send(&mut self, payload: &Payload) -> anyhow::Result<Run> {
        let shell = format!("ssh {}", self.ssh.options().join(" "));
        let mut command = self.ssh.command("rsync");
        command.args(["-a", "-W", "-e", &shell]);
        if self.fsync {
            command.arg("--fsync");
        }
        command.arg(&payload.source);
        command.arg(format!("{}:{}/", self.ssh.host(), self.ssh.inbox.display()));
        self.ssh.transfer(&command, payload)
    }
}

/// `rsync` from folder to folder of one machine: no network, no encryption.
pub(crate) struct LocalRsync {
    inbox: PathBuf,
    fsync: bool,
    name: String,
}

impl LocalRsync {
    pub(crate) fn new(dir: &Path, fsync: bool) -> anyhow::Result<Self> {
        let inbox = dir.join("rsync");
        fs::create_dir(&inbox)?;
        let flag = if fsync { " --fsync" } else { "" };
        Ok(Self { inbox, fsync, name: format!("rsync -a -W{flag}, local copy") })
    }
}

impl Contestant for LocalRsync {
    fn name(&self) -> &str {
        &self.name
    }

    fn send(&mut self, payload: &Payload) -> anyhow::Result<Run> {
        let mut command = Command::new("rsync");
        command.args(["-a", "-W"]);
        if self.fsync {
            command.arg("--fsync");
        }
        let to = self.inbox.to_str().context("the folder's name is not text")?;
        let ended = process::measure(command.arg(&payload.source).arg(format!("{to}/")))?;
        ensure!(!ended.gave_up, "nobody stopped it");
        payload.take_from(&self.inbox)?;
        // Both sides are the same processes here.
        Ok(Run { seconds: ended.seconds, sender_cpu: ended.cpu, ..Run::default() })
    }
}
