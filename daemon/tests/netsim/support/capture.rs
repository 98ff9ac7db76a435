//! Somebody who listens on a machine: every packet that comes or goes, and what is found in them.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use rustix::process::{Pid, Signal, kill_process};

use super::{Machine, PATIENCE};

/// `tcpdump` on all interfaces and ports of a machine.
pub(crate) struct Capture {
    tcpdump: Child,
    /// Unbounded, so that nothing has to be dropped.
    packets: Receiver<Vec<u8>>,
    stderr: BufReader<ChildStderr>,
    seen: Vec<u8>,
}

impl Capture {
    /// Listens from now on.
    #[track_caller]
    pub(crate) fn on(machine: &Machine) -> Self {
        let mut command = machine.command("tcpdump");
        // As root, whole packets, none held back, and room for 128 MiB that nobody has read yet.
        // (With --immediate-mode there would be room for 500 packets, however short.)
        command.args(["-Z", "root", "-i", "any", "-s", "0", "-w", "-", "-U", "-B", "131072"]);
        let mut tcpdump = spawn(&mut command);
        let packets = chunks(tcpdump.stdout.take().unwrap());
        let mut stderr = BufReader::new(tcpdump.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "tcpdump ended");
        }
        Self { tcpdump, packets, stderr, seen: Vec::new() }
    }

    /// Everything from the last call to the packet with this mark in it.
    #[track_caller]
    pub(crate) fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        let mut searched = 0;
        loop {
            let found = find(&self.seen[searched..], mark).map(|found| searched + found);
            if let Some(start) = found {
                let rest = self.seen.split_off(start + mark.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            // It may be cut in two.
            searched = self.seen.len().saturating_sub(mark.len());
            let more = self.packets.recv_timeout(PATIENCE).expect("the mark comes");
            self.seen.extend(more);
        }
    }

    /// Stops listening; how many packets there was no room for.
    #[track_caller]
    pub(crate) fn missed(mut self) -> u64 {
        kill_process(Pid::from_child(&self.tcpdump), Signal::INT).unwrap();
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        let line = said.lines().find(|line| line.ends_with("packets dropped by kernel"));
        let count = line.and_then(|line| line.split(' ').next());
        count.unwrap_or_else(|| panic!("{said}")).parse().unwrap()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
    }
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads a stream in a thread that ends with it.
fn chunks(mut stream: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The length of a run that must not be seen.
const RUN: usize = 16;

/// Every run of 16 bytes of a text.
pub(crate) struct Runs {
    /// Which two bytes any of them begins with: most places are passed over by that.
    beginnings: Vec<bool>,
    runs: HashSet<[u8; RUN]>,
}

impl Runs {
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut beginnings = vec![false; 1 << 16];
        let mut runs = HashSet::new();
        for run in text.array_windows() {
            beginnings[beginning(run)] = true;
            runs.insert(*run);
        }
        assert!(!runs.is_empty(), "the text is too short");
        Self { beginnings, runs }
    }

    /// Whether any of them is in there, wherever it starts.
    pub(crate) fn are_in(&self, haystack: &[u8]) -> bool {
        haystack
            .array_windows()
            .any(|run| self.beginnings[beginning(run)] && self.runs.contains(run))
    }
}

fn beginning(run: &[u8; RUN]) -> usize {
    usize::from(u16::from_be_bytes([run[0], run[1]]))
}
