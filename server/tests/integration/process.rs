//! The program itself: its output, its signals, its sudden death.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use filefleet_server::protos::address::ServerAddress;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Peer, name};

/// How soon after a restart everything must work again.
const BACK_AGAIN: Duration = Duration::from_secs(2);

/// The program while it runs.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: ServerAddress,
}

impl Process {
    fn start(dir: &Path, port: u16) -> Self {
        let listen = format!("127.0.0.1:{port}");
        Self::run(command().args(["--listen", &listen, "--data-dir"]).arg(dir))
    }

    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("ready ").unwrap().parse().unwrap();
        Self { child, stdout, address }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filefleet-server"));
    command.env_remove("RUST_LOG");
    command
}

fn run(arguments: &[&str], dir: &Path) -> Output {
    command().args(arguments).arg("--data-dir").arg(dir).output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_its_clients_back_at_once_and_their_calls_work() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path(), 0);
    let address = server.address.clone();
    let alice = Peer::registered(&address, "alice", 1).await;
    let mut bob = Peer::registered(&address, "bob", 2).await;
    server.signal(Signal::KILL);
    drop(server);

    let restart = Instant::now();
    let _server = Process::start(dir.path(), address.port);
    // Nobody has noticed yet: the call itself, and the beacons, find the old connection reset.
    let call = alice.client.call(&name("bob")).await.unwrap();
    assert_eq!(bob.incoming_call().await.session, call.session);
    assert!(restart.elapsed() < BACK_AGAIN, "took {:?}", restart.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_clients_of_a_killed_server_come_back_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path(), 0);
    let address = server.address.clone();
    let peers =
        [Peer::registered(&address, "alice", 1).await, Peer::registered(&address, "bob", 2).await];
    server.signal(Signal::KILL);
    drop(server);
    let mut states = peers.each_ref().map(|peer| peer.client.state());
    for state in &mut states {
        state.mark_unchanged();
    }
    let restart = Instant::now();
    let _server = Process::start(dir.path(), address.port);
    for (peer, state) in peers.iter().zip(&mut states) {
        state.changed().await.unwrap();
        peer.reaches(|state| state.registered).await;
    }
    assert!(restart.elapsed() < BACK_AGAIN, "took {:?}", restart.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_and_sigint_end_it_with_goodbyes_and_success() {
    let dir = tempfile::tempdir().unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Process::start(dir.path(), 0);
        let alice = Peer::registered(&server.address, "alice", 1).await;
        server.signal(signal);
        alice.reaches(|state| !state.registered).await;
        assert!(server.child.wait().unwrap().success());
        let mut rest = String::new();
        server.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "only the ready line belongs on standard output");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fingerprint_is_the_one_it_serves_with() {
    let dir = tempfile::tempdir().unwrap();
    let before = text(run(&["fingerprint"], dir.path()).stdout);
    let server = Process::start(dir.path(), 0);
    assert!(server.address.to_string().ends_with(&format!("#{}", before.trim_end())));
    assert_eq!(text(run(&["fingerprint"], dir.path()).stdout), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_listed_and_removed_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path(), 0);
    let alice = Peer::registered(&server.address, "alice", 1).await;
    let expected = format!("alice\t{}\n", alice.person.certificate.identity());
    assert_eq!(text(run(&["names", "list"], dir.path()).stdout), expected);
    alice.client.shutdown().await;
    assert!(run(&["names", "remove", "alice"], dir.path()).status.success());
    assert!(!run(&["names", "remove", "alice"], dir.path()).status.success());
    Peer::registered(&server.address, "alice", 2).await;
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_is_told_when_it_serves_and_under_which_address() {
    let dir = tempfile::tempdir().unwrap();
    let manager = std::os::unix::net::UnixDatagram::bind(dir.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path().join("data"));
    let server = Process::run(command.env("NOTIFY_SOCKET", dir.path().join("notify")));
    let mut told = [0; 512];
    let length = manager.recv(&mut told).unwrap();
    let expected = format!("READY=1\nSTATUS={}\n", server.address);
    assert_eq!(text(told[..length].to_vec()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_address_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["--listen", "192.0.2.1:1"], dir.path());
    assert!(!output.status.success());
    let message = text(output.stderr);
    assert!(message.contains("cannot listen on 192.0.2.1:1"), "{message}");
}
