//! `ffctl send --choose`, on a terminal and with a dialog that a script plays.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use filefleet_ctl::proto::{Accept, Call, ContactView, Reply};
use filefleet_ctl::testing::FakeDaemon;

use crate::support::{Outcome, User};
use crate::terminal::{terminal, until_shown};

const ID: &str = "00112233445566778899aabbccddeeff";

fn contact(name: &str, online: Option<bool>) -> ContactView {
    ContactView {
        name: name.to_owned(),
        server: None,
        identity: String::new(),
        verified: false,
        accept: Accept::Ask,
        dir: None,
        max_size: None,
        overwrite: false,
        online,
        near: false,
        safety_phrase: None,
        warning: None,
    }
}

/// A user with a file `a` and these contacts.
fn user_with(contacts: Vec<ContactView>) -> (User, FakeDaemon) {
    let user = User::new();
    fs::write(user.dir.path().join("a"), "content").unwrap();
    let daemon = user.daemon(move |call| match call {
        Call::Contacts => Reply::Contacts(contacts.clone()).into(),
        Call::Send { .. } => Reply::SendStarted { transfer: ID.to_owned() }.into(),
        _ => Reply::Done.into(),
    });
    (user, daemon)
}

fn known() -> Vec<ContactView> {
    vec![contact("bob", None), contact("carol", Some(true))]
}

/// To whom the daemon was asked to send.
#[track_caller]
fn receiver(daemon: &FakeDaemon) -> String {
    assert!(matches!(daemon.next_call(), Call::Contacts));
    match daemon.next_call() {
        Call::Send { to, paths, .. } => {
            assert!(paths[0].as_path().ends_with("a"));
            to
        }
        call => panic!("{call:?}"),
    }
}

/// A folder of programs with one that plays zenity.
fn with_zenity(user: &User, script: &str) -> String {
    let programs = user.dir.path().join("programs");
    fs::create_dir(&programs).unwrap();
    // Written by another process: see `daemon::starter`.
    let mut shell = Command::new("sh");
    shell.args(["-ec", r#"printf '#!/bin/sh\n%s\n' "$1" > zenity"#, "sh", script]);
    assert!(shell.current_dir(&programs).status().unwrap().success());
    fs::set_permissions(programs.join("zenity"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", programs.display())
}

fn choose(user: &User, path: &str) -> Outcome {
    let mut command = user.command(&["send", "--choose", "--detach", "a"]);
    command.env("PATH", path).output().unwrap().into()
}

#[test]
fn on_a_terminal_a_number_or_a_name_chooses_and_who_is_online_comes_first() {
    for (answer, chosen) in [("1\n", "carol"), ("bob\n", "bob"), ("9\n2\n", "bob")] {
        let (user, daemon) = user_with(known());
        let (mut screen, program) = terminal();
        let mut command = user.command(&["send", "--choose", "--detach", "a"]);
        command.stdin(program.try_clone().unwrap()).stderr(program);
        let child = command.spawn().unwrap();
        drop(command);
        let shown = until_shown(&mut screen, "Send 1 item to (number or name): ");
        assert!(shown.contains("1  carol  (online)\r\n  2  bob\r\n"), "{shown:?}");
        screen.write_all(answer.as_bytes()).unwrap();
        assert!(child.wait_with_output().unwrap().status.success());
        assert_eq!(receiver(&daemon), chosen);
    }
}

#[test]
fn nothing_is_sent_when_nobody_is_chosen_on_a_terminal() {
    let (user, daemon) = user_with(known());
    let (mut screen, program) = terminal();
    let mut command = user.command(&["send", "--choose", "a"]);
    command.stdin(program.try_clone().unwrap()).stderr(program);
    let mut child = command.spawn().unwrap();
    drop(command);
    until_shown(&mut screen, "Send 1 item to");
    screen.write_all(b"\n").unwrap();
    until_shown(&mut screen, "nobody was chosen, and nothing was sent");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(matches!(daemon.next_call(), Call::Contacts));
    user.ffctl(&["status"]);
    assert!(matches!(daemon.next_call(), Call::Status), "something was sent");
}

#[test]
fn without_a_terminal_a_dialog_asks() {
    let (user, daemon) = user_with(known());
    let asked = user.dir.path().join("asked");
    let script = format!("printf '%s\\n' \"$@\" > '{}'\necho bob", asked.display());
    choose(&user, &with_zenity(&user, &script)).done();
    assert_eq!(receiver(&daemon), "bob");
    let asked = fs::read_to_string(asked).unwrap();
    assert!(
        asked.ends_with("Send 1 item to\n--column=Name\n--column=\ncarol\nonline\nbob\n\n"),
        "{asked:?}"
    );
}

#[test]
fn a_dialog_that_is_closed_sends_nothing_and_says_so_nowhere_else() {
    let (user, daemon) = user_with(known());
    let runs = user.dir.path().join("runs");
    let script = format!("echo run >> '{}'\nexit 1", runs.display());
    let outcome = choose(&user, &with_zenity(&user, &script));
    assert_eq!(outcome.exit_code, 130, "{outcome:?}");
    assert_eq!(fs::read_to_string(runs).unwrap(), "run\n", "a second window");
    assert!(matches!(daemon.next_call(), Call::Contacts));
    user.ffctl(&["status"]);
    assert!(matches!(daemon.next_call(), Call::Status), "something was sent");
}

#[test]
fn without_a_terminal_errors_are_shown_in_a_dialog_too() {
    let (user, _daemon) = user_with(Vec::new());
    let shown = user.dir.path().join("shown");
    let script = format!("printf '%s\\n' \"$@\" > '{}'", shown.display());
    let outcome = choose(&user, &with_zenity(&user, &script));
    assert_eq!(outcome.exit_code, 1, "{outcome:?}");
    let shown = fs::read_to_string(shown).unwrap();
    assert!(shown.starts_with("--error\n--no-markup\n"), "{shown:?}");
    assert!(shown.contains("you have no contacts yet"), "{shown:?}");
}

#[test]
fn without_terminal_and_dialog_it_says_what_to_do() {
    let (user, _daemon) = user_with(known());
    choose(&user, "/nowhere").failed(
        1,
        "ffctl: there is neither a terminal nor a program for dialogs\n\
         hint: install zenity or kdialog, or name the receiver: ffctl send NAME PATH\n",
    );
}

#[test]
fn without_choosing_a_receiver_must_be_named() {
    let (user, _daemon) = user_with(known());
    assert_eq!(user.ffctl(&["send", "a"]).exit_code, 2);
    assert_eq!(user.ffctl(&["send", "--choose"]).exit_code, 2);
}
