//! One machine of a network: a namespace that lives as long as its value, and not longer even if the
//! program that made it is killed. Needs root, `unshare` and `nsenter` (util-linux), `ip` (iproute2).

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

use rustix::{
    fd::AsFd,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// Why a machine could not be made or did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program could not be run.
    #[error("cannot run {what}")]
    Run {
        /// The program.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// A program failed.
    #[error("{what}: {said}")]
    Failed {
        /// The program and its arguments.
        what: String,
        /// Its standard error.
        said: String,
    },
    /// No namespace came to be.
    #[error("no network namespace: is this root?")]
    NoNamespace,
    /// A system call failed.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// A network namespace with nothing in it but its loopback interface.
#[derive(Debug)]
pub struct Machine {
    /// Holds the namespace open until its standard input ends, which is when nobody has it any
    /// more. No name has to be removed and nothing is left behind.
    holder: Child,
}

impl Machine {
    /// A machine without any network but its loopback.
    pub fn new() -> Result<Self, Error> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh"]);
        let machine = Self::held_by(command)?;
        machine.run(&["ip", "link", "set", "lo", "up"])?;
        Ok(machine)
    }

    /// The machine on which this command runs a shell.
    fn held_by(mut command: Command) -> Result<Self, Error> {
        command.args(["-c", "echo there && exec cat"]);
        let what = command.get_program().to_string_lossy().into_owned();
        let holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut machine = Self { holder: holder.map_err(|source| Error::Run { what, source })? };
        let mut line = String::new();
        let stdout = machine.holder.stdout.as_mut().ok_or(Error::NoNamespace)?;
        // An error is an end without the word, too.
        let _ = BufReader::new(stdout).read_line(&mut line);
        if line != "there\n" {
            return Err(Error::NoNamespace);
        }
        Ok(machine)
    }

    /// Another value for the same machine, which lives as long as either.
    pub fn again(&self) -> Result<Self, Error> {
        Self::held_by(self.command("sh"))
    }

    /// Where the namespace can be entered, as `nsenter --net=` takes it.
    pub fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// A program on this machine. It keeps its process id.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace())).arg(program);
        command
    }

    /// Runs a program to its end; what it printed.
    pub fn run(&self, words: &[&str]) -> Result<String, Error> {
        let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
        let what = words.join(" ");
        let output = match self.command(program).args(arguments).output() {
            Ok(output) => output,
            Err(source) => return Err(Error::Run { what, source }),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::Failed { what, said });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Calls a function in a thread on this machine: sockets, devices and threads that it makes
    /// belong to the machine, wherever they are used afterwards.
    ///
    /// # Panics
    ///
    /// If the function does.
    pub fn enter<T: Send>(&self, function: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let system = |what| move |source| Error::System { what, source };
        let namespace = File::open(self.namespace()).map_err(system("open a namespace"))?;
        let inside = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|errno| system("enter a namespace")(errno.into()))?;
            Ok(function())
        };
        let joined = thread::scope(|scope| scope.spawn(inside).join());
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Puts a cable between two machines; its ends are interfaces of these names, and up.
    pub fn cable(&self, interface: &str, other: &Self, other_interface: &str) -> Result<(), Error> {
        let pid = other.holder.id().to_string();
        let words = ["ip", "link", "add", "name", interface, "type", "veth", "peer", "name"];
        self.run(&[&words[..], &[other_interface, "netns", &pid]].concat())?;
        self.run(&["ip", "link", "set", interface, "up"])?;
        other.run(&["ip", "link", "set", other_interface, "up"])?;
        Ok(())
    }

    /// Gives an interface an address, with the length of its prefix.
    pub fn address(&self, interface: &str, address: &str) -> Result<(), Error> {
        // An IPv6 address is usable at once: nobody else can have it (RFC 4862 section 5.4).
        let unchecked: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        let words = ["ip", "address", "add", address, "dev", interface];
        self.run(&[&words[..], unchecked].concat()).map(drop)
    }

    /// An interface takes packets of so many bytes.
    pub fn mtu(&self, interface: &str, bytes: u32) -> Result<(), Error> {
        self.run(&["ip", "link", "set", interface, "mtu", &bytes.to_string()]).map(drop)
    }

    /// Everything that is not on a shared network goes to this router.
    pub fn default_route(&self, router: &str) -> Result<(), Error> {
        self.run(&["ip", "route", "add", "default", "via", router]).map(drop)
    }

    /// From now on packets that are for others are passed on.
    pub fn forward(&self) -> Result<(), Error> {
        self.run(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]).map(drop)
    }

    /// Adds to the rules of the packet filter (`nft`).
    pub fn filter(&self, rules: &str) -> Result<(), Error> {
        self.run(&["nft", rules]).map(drop)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Ends by its input's end.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
