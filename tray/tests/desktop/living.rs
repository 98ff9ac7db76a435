//! The tray's life: with and without daemon, panel, session; and what it costs.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::support::{Desktop, Program, Server, Tray, User};

/// How soon the menu is right after the daemon has gone or come.
const PROMISED: Duration = Duration::from_secs(2);
const GONE: [&str; 1] = ["FileFleet does not run"];

#[test]
fn a_daemon_that_dies_is_missed_and_found_again() {
    let server = Server::start();
    let mut alice = User::registered("alice", &server);
    let desktop = Desktop::start();
    let tray = Tray::start(&desktop, &alice);
    tray.line(&["alice: connected"]);
    desktop.screen().picture("connected");
    alice.kill();
    tray.line_within(PROMISED, &GONE);
    desktop.screen().picture("daemon-gone");
    alice.start();
    tray.line_within(PROMISED, &["alice: *"]);
    tray.line(&["alice: connected"]);
}

#[test]
fn without_a_daemon_one_is_started() {
    let alice = User::new();
    let desktop = Desktop::start();
    let tray = Tray::start(&desktop, &alice);
    tray.line(&["no name yet: use ffctl register"]);
    alice.ffctl(&["daemon", "stop"]).done();
    // It was stopped on purpose, and stays so until somebody asks.
    tray.line_within(PROMISED, &GONE);
    tray.choose(&["Start FileFleet"]);
    tray.line(&["no name yet: use ffctl register"]);
    tray.choose(&["Quit tray"]);
    tray.program.end().done();
    // The daemon goes on without the tray.
    alice.ffctl(&["daemon", "stop"]).done();
}

#[test]
fn the_icon_is_back_after_the_panel() {
    let alice = User::started();
    let mut desktop = Desktop::start();
    let program = Tray::start(&desktop, &alice).program;
    desktop.kill_panel();
    desktop.start_panel();
    let tray = Tray::of(&desktop, program);
    tray.line(&["no name yet: use ffctl register"]);
    assert_eq!(tray.icon_sizes(), Some(vec![22, 32, 48, 64]));
}

#[test]
fn without_a_panel_it_says_so_and_waits_for_one() {
    let alice = User::started();
    let mut desktop = Desktop::without_panel();
    let mut program = Program::start(desktop.command(&mut alice.command("filefleet-tray")));
    program.says("nothing on this desktop shows tray icons");
    desktop.start_panel();
    program.says("a panel shows the icon");
    Tray::of(&desktop, program).line(&["no name yet: use ffctl register"]);
}

#[test]
fn without_a_session_it_says_so_and_ends() {
    let alice = User::started();
    let mut command = alice.command("filefleet-tray");
    command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    Program::start(&command).end().failed(1).told("there is no desktop session here");
}

#[test]
fn it_ends_with_the_session() {
    let alice = User::started();
    let desktop = Desktop::start();
    let program = Tray::start(&desktop, &alice).program;
    desktop.end_session();
    program.end().failed(1).told("the session has ended");
}

#[test]
fn one_is_enough() {
    let alice = User::started();
    let desktop = Desktop::start();
    let _tray = Tray::start(&desktop, &alice);
    let mut second = alice.command("filefleet-tray");
    Program::start(desktop.command(&mut second)).end().done().told("in the tray already");
}

#[test]
fn files_are_opened_with_what_the_desktop_has() {
    let server = Server::start();
    let (alice, bob) = (User::registered("alice", &server), User::registered("bob", &server));
    alice.accept("bob", "always");
    let desktop = Desktop::start();
    let opened = Opened::new(&desktop);
    let mut command = alice.command("filefleet-tray");
    let path = format!("{}:{}", desktop.dir().display(), std::env::var("PATH").unwrap());
    let program = Program::start(desktop.command(command.env("PATH", path)));
    let tray = Tray::of(&desktop, program);
    bob.send("alice", &[&bob.note("letter.txt")]).done();
    tray.choose(&["Open received files"]);
    assert_eq!(opened.next(), alice.received().to_str().unwrap());
    tray.choose(&["Settings file"]);
    let settings = opened.next();
    assert_eq!(settings, alice.home().join("config/settings.toml").to_str().unwrap());
    assert!(fs::read_to_string(settings).unwrap().contains("alice"));
    tray.choose(&["Recent", "letter.txt from bob", "Open"]);
    assert_eq!(opened.next(), alice.received().join("letter.txt").to_str().unwrap());
    // No file manager is there to show it marked.
    tray.choose(&["Recent", "letter.txt from bob", "Show in folder"]);
    assert_eq!(opened.next(), alice.received().to_str().unwrap());
}

/// What an idle program may have resident.
const TRAY_KIB: u64 = 15 * 1024;
/// The daemon's bound is the same. Without optimisation its code is larger, and more of it is near what
/// is used: this shows that it gives back what it does not need, for otherwise it would be 24 MiB.
const DAEMON_KIB: u64 = if cfg!(debug_assertions) { 18 * 1024 } else { TRAY_KIB };

/// Stands for `xdg-open`: tells what it was asked to open.
struct Opened(std::path::PathBuf);

impl Opened {
    fn new(desktop: &Desktop) -> Self {
        let pipe = desktop.dir().join("opened");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let script = desktop.dir().join("xdg-open");
        fs::write(&script, format!("#!/bin/sh\nprintf '%s' \"$1\" >'{}'\n", pipe.display()))
            .unwrap();
        let runnable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&script, runnable).unwrap();
        Self(pipe)
    }

    /// Waits for the next.
    #[track_caller]
    fn next(&self) -> String {
        let output = Command::new("timeout").arg("60").arg("cat").arg(&self.0).output().unwrap();
        assert!(output.status.success(), "nothing was opened");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "the figures, shown with --nocapture")]
fn idle_it_costs_next_to_nothing() {
    let (server, desktop) = (Server::start(), Desktop::start());
    let mut bob = User::registered("bob", &server);
    let mut alice = User::new();
    alice.start_within(desktop.environment());
    alice.register("alice", &server).done();
    // A notification waits for an answer, from somebody who has gone.
    let mut sending = bob.send("alice", &[&bob.note("first")]);
    sending.waiting();
    bob.kill();
    alice.stop().done();
    alice.start_within(desktop.environment());
    let tray = Tray::start(&desktop, &alice);
    tray.line(&["alice: connected"]);
    desktop.screen().notification();
    let programs = [("filefleet-tray", tray.program.pid()), ("filefleetd", alice.pid())];
    let before = programs.map(|(_, pid)| wake_ups(pid));
    // Nothing is waited for: what happens in this time is what is measured. The daemon comes to rest in
    // it, and then tells its server once that it is there, which is what it does from then on.
    const MEASURED: Duration = Duration::from_secs(30);
    std::thread::sleep(MEASURED);
    for ((name, pid), before) in programs.into_iter().zip(before) {
        let woken = wake_ups(pid).into_iter().map(|(thread, count)| {
            // A thread of a pool may have come, or gone, meanwhile.
            count - before.get(&thread).unwrap_or(&0)
        });
        let woken = woken.sum::<u64>() as f64 / MEASURED.as_secs_f64();
        let resident = resident_kib(pid);
        println!("{name}: {woken:.1} wake-ups a second, {resident} KiB resident");
        assert!(woken < 5.0, "{name} wakes up {woken} times a second");
        let most = if name == "filefleetd" { DAEMON_KIB } else { TRAY_KIB };
        assert!(resident < most, "{name} has {resident} KiB resident");
    }
}

/// How often each thread of a process has waited and was woken.
fn wake_ups(pid: u32) -> HashMap<OsString, u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(Result::unwrap);
    let counts = tasks.filter_map(|task| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        Some((task.file_name(), field(&status, "voluntary_ctxt_switches:")))
    });
    counts.collect()
}

fn resident_kib(pid: u32) -> u64 {
    field(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap(), "VmRSS:")
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
