//! `ffctl daemon`, with programs that stand in for `filefleetd`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use filefleet_ctl::proto::{Call, Reply};
use filefleet_ctl::testing;

use crate::support::{Outcome, User};

/// Tells this test program to be the daemon.
const PLAY_DAEMON: &str = "FFCTL_TEST_PLAYS_DAEMON";

/// Not a test of its own: what [`starter`] runs as `filefleetd`.
#[test]
fn plays_the_daemon_when_asked() {
    if std::env::var_os(PLAY_DAEMON).is_some() {
        let home = filefleet_ctl::Home::from_env().unwrap();
        let answer = |_: &Call| Reply::Status(testing::status()).into();
        testing::FakeDaemon::start(&home, answer).unwrap().wait();
    }
}

/// A user with a folder that holds `ffctl` and, as `filefleetd`, a shell script.
///
/// A process of its own writes them: were they open for writing here, a child that another test
/// starts at that moment would hold them open too, and they could not be run (ETXTBSY).
fn starter(script: &str) -> (User, PathBuf) {
    let user = User::new();
    let install =
        r#"cp "$1" ffctl && printf '#!/bin/sh\n%s\n' "$2" > filefleetd && chmod +x filefleetd"#;
    let mut shell = Command::new("sh");
    shell.args(["-ec", install, "sh", env!("CARGO_BIN_EXE_ffctl"), script]);
    assert!(shell.current_dir(user.dir.path()).status().unwrap().success());
    let ffctl = user.dir.path().join("ffctl");
    (user, ffctl)
}

fn run(user: &User, program: &PathBuf, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(program);
    command.args(arguments).env("FILEFLEET_HOME", user.home.root().unwrap());
    command.output().unwrap().into()
}

#[test]
fn a_daemon_is_started_detached_and_stopped() {
    let test = std::env::current_exe().unwrap();
    let name = "daemon::plays_the_daemon_when_asked";
    let (user, ffctl) = starter(&format!(
        "echo started\nexport {PLAY_DAEMON}=1\nexec {:?} --exact {name}",
        test.display()
    ));
    let started = &run(&user, &ffctl, &["daemon", "start", "--json"]).done().json()[0];
    assert_eq!(started["started"], true);
    let pid = started["pid"].as_u64().unwrap();

    let again = &run(&user, &ffctl, &["daemon", "start", "--json"]).done().json()[0];
    assert_eq!((&again["started"], again["pid"].as_u64()), (&false.into(), Some(pid)));
    run(&user, &ffctl, &["status"]).done();

    #[cfg(target_os = "linux")]
    {
        // In a session of its own, and in no folder that it would keep busy.
        let raw = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap());
        assert_eq!(rustix::process::getsid(raw).ok(), raw);
        let folder = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        assert_eq!(folder, fs::canonicalize(user.home.state_dir()).unwrap());
    }
    assert!(fs::read_to_string(user.home.log_file()).unwrap().starts_with("started\n"));

    let stopped = run(&user, &ffctl, &["daemon", "stop"]).done();
    assert_eq!(stopped.stdout, "filefleetd stopped\n");
    let stopped = run(&user, &ffctl, &["daemon", "stop"]).done();
    assert_eq!(stopped.stdout, "filefleetd was not running\n");
}

#[test]
fn a_daemon_that_fails_at_once_is_quoted() {
    let (user, ffctl) = starter("printf 'no database\\033[2J\\n' >&2\nexit 7");
    fs::create_dir_all(user.home.state_dir()).unwrap();
    fs::write(user.home.log_file(), "of yesterday\n").unwrap();
    let log_file = user.home.log_file();
    run(&user, &ffctl, &["daemon", "start"]).failed(
        3,
        &format!(
            "ffctl: filefleetd ended instead of serving (exit status: 7)\n  \
             no database\\u{{1b}}[2J\nhint: its log is {}\n",
            log_file.display()
        ),
    );
}

#[test]
fn without_the_program_it_says_where_it_was_looked_for() {
    let (user, ffctl) = starter("");
    fs::remove_file(ffctl.with_file_name("filefleetd")).unwrap();
    let mut command = Command::new(&ffctl);
    command.args(["daemon", "start"]).env("PATH", "/nowhere");
    command.env("FILEFLEET_HOME", user.home.root().unwrap());
    Outcome::from(command.output().unwrap()).failed(
        3,
        "ffctl: cannot find the program filefleetd, neither beside this one nor in PATH\n\
         hint: install filefleetd beside ffctl, or put its folder in PATH\n",
    );
    assert!(!user.home.state_dir().exists());
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_home_of_its_own_the_platforms_folders_are_used() {
    let (user, ffctl) = starter("exit 1");
    let mut command = Command::new(&ffctl);
    command.args(["daemon", "start"]).env_remove("FILEFLEET_HOME").env_remove("XDG_STATE_HOME");
    command.env("HOME", user.dir.path()).env("XDG_RUNTIME_DIR", user.dir.path());
    let outcome = Outcome::from(command.output().unwrap());
    let log_file = user.dir.path().join(".local/state/filefleet/filefleetd.log");
    assert!(outcome.stderr.contains(log_file.to_str().unwrap()), "{outcome:?}");
    assert!(log_file.is_file());
}
