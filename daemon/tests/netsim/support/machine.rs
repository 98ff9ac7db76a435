//! One machine of a network: a namespace that lives as long as its value, and not longer even if the
//! tests are killed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub(crate) struct Machine {
    /// Holds the namespace open until its standard input ends, which is when nobody has it any
    /// more. No name has to be removed and nothing is left behind.
    holder: Child,
}

impl Machine {
    /// A machine without any network but its loopback.
    pub(crate) fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo there && exec cat"]);
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let machine = Self { holder };
        assert_eq!(line, "there\n", "no network namespace");
        machine.run(&["ip", "link", "set", "lo", "up"]);
        machine
    }

    /// A program on this machine. It keeps its process id.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg(program);
        command
    }

    /// Calls a function on this machine; sockets that it opens stay there.
    pub(crate) fn enter<T: Send>(&self, function: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap();
        let inside = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            function()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap()
    }

    /// Runs a program to its end; what it printed.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let (program, arguments) = words.split_first().unwrap();
        let output = self.command(program).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Puts a cable between two machines; its ends are interfaces of these names, and up.
    pub(crate) fn cable(&self, interface: &str, other: &Self, other_interface: &str) {
        let pid = other.holder.id().to_string();
        let words = ["ip", "link", "add", "name", interface, "type", "veth", "peer", "name"];
        self.run(&[&words[..], &[other_interface, "netns", &pid]].concat());
        self.run(&["ip", "link", "set", interface, "up"]);
        other.run(&["ip", "link", "set", other_interface, "up"]);
    }

    /// Gives an interface an address, with the length of its prefix.
    pub(crate) fn address(&self, interface: &str, address: &str) {
        self.run(&["ip", "address", "add", address, "dev", interface]);
    }

    /// Everything that is not on a shared network goes to this router.
    pub(crate) fn default_route(&self, router: &str) {
        self.run(&["ip", "route", "add", "default", "via", router]);
    }

    /// From now on packets that are for others are passed on.
    pub(crate) fn forward(&self) {
        self.run(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
    }

    /// Adds to the rules of the packet filter.
    pub(crate) fn filter(&self, rules: &str) {
        self.run(&["nft", rules]);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Ends by its input's end.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
