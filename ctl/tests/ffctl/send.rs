//! `ffctl send`.

use std::fs;

use filefleet_ctl::proto::{
    Call, ControlError, ErrorCode, Event, FileFailure, LinkKind, Reply, TransferState,
    TransferView, WirePath,
};
use filefleet_ctl::testing::{self, Answer, FakeDaemon};
use serde_json::json;

use crate::support::User;

const ID: &str = "00112233445566778899aabbccddeeff";

fn in_state(state: TransferState) -> TransferView {
    testing::transfer(state)
}

/// A user with a file `a`, whose daemon takes on a transfer and then tells of it.
fn sender(news: Vec<TransferView>) -> (User, FakeDaemon) {
    let user = User::new();
    fs::write(user.dir.path().join("a"), "content").unwrap();
    let daemon = user.daemon(move |call| match call {
        Call::Send { .. } => Reply::SendStarted { transfer: ID.to_owned() }.into(),
        Call::Watch => {
            let mut news = news.clone().into_iter();
            let state = testing::state(news.next().into_iter().collect());
            Answer::from(Reply::Done).then([state]).then(news.map(Event::Transfer))
        }
        _ => Reply::Done.into(),
    });
    (user, daemon)
}

#[test]
fn the_last_line_of_json_says_how_it_went() {
    let (user, _daemon) = sender(vec![
        in_state(TransferState::Waiting),
        in_state(TransferState::Active),
        in_state(TransferState::Done),
    ]);
    let outcome = user.ffctl(&["send", "--json", "bob", "a"]).done();
    let lines = outcome.json();
    let states: Vec<_> = lines.iter().map(|line| (&line["event"], &line["state"])).collect();
    assert_eq!(states[0], (&json!("started"), &json!(null)));
    assert_eq!(states[1], (&json!("progress"), &json!("waiting")));
    assert_eq!(states[2], (&json!("progress"), &json!("active")));
    assert_eq!(
        outcome.stdout.lines().last().unwrap(),
        format!(
            r#"{{"schema_version":1,"event":"done","transfer":"{ID}","files":3,"bytes":3000,"files_there":0,"bytes_there":0,"files_replaced":0,"files_beside":0,"sent_bytes":3000,"seconds":1.5,"link":"direct","links":{{"direct":2000,"relayed":1000}},"losses":[]}}"#
        )
    );
    assert_eq!(outcome.stderr, "");
}

#[test]
fn without_a_terminal_there_are_plain_lines() {
    let (user, _daemon) = sender(vec![
        in_state(TransferState::Waiting),
        in_state(TransferState::Waiting),
        in_state(TransferState::Active),
        in_state(TransferState::Done),
    ]);
    let outcome = user.ffctl(&["send", "bob", "a"]).done();
    assert_eq!(outcome.stderr, "waiting for bob to accept\nsending to bob: direct\n");
    assert_eq!(
        outcome.stdout,
        "sent 3 files, 2.9 KiB to bob in 1.5 s (2.0 KiB/s, 2.0 KiB direct, 1000 B relayed)\n"
    );
}

#[test]
fn the_link_that_carried_most_is_the_link() {
    let mut done = in_state(TransferState::Done);
    done.link = Some(LinkKind::Direct);
    done.links = [(LinkKind::Lan, 5), (LinkKind::Direct, 7), (LinkKind::Relayed, 9)].into();
    let (user, _daemon) = sender(vec![done]);
    let outcome = user.ffctl(&["send", "--json", "bob", "a"]).done();
    assert_eq!(outcome.json().last().unwrap()["link"], "relayed");
}

#[test]
fn paths_are_made_absolute_and_links_are_kept() {
    let (user, daemon) = sender(vec![in_state(TransferState::Done)]);
    let folder = user.folder();
    fs::create_dir(folder.join("d")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("a", folder.join("link")).unwrap();
    #[cfg(not(unix))]
    fs::write(folder.join("link"), "").unwrap();
    user.ffctl(&["send", "bob", "./a", "d/", "link", "d/.."]).done();
    let Call::Send { to, paths, .. } = daemon.next_call() else { panic!("expected a send") };
    assert_eq!(to, "bob");
    let paths: Vec<_> = paths.iter().map(WirePath::as_path).collect();
    let [file, dir, link] = ["a", "d", "link"].map(|name| folder.join(name));
    assert_eq!(paths, [file.as_path(), &dir, &link, &folder]);
}

#[test]
fn a_missing_file_is_found_out_before_anything_is_asked() {
    let (user, daemon) = sender(Vec::new());
    // What would mislead a terminal; on Windows no name can hold a line feed.
    let (name, shown) = match cfg!(windows) {
        true => ("missing\u{202e}.txt", r"missing\u{202e}.txt"),
        false => ("missing\n.txt", r"missing\n.txt"),
    };
    let said = "does not exist\nhint: nothing was sent; check the path\n";
    let outcome = user.ffctl(&["send", "bob", "a", name]);
    outcome.failed(1, &format!("ffctl: \"{shown}\" {said}"));
    let outcome = user.ffctl(&["send", "--json", "bob", "missing.txt"]);
    assert_eq!(outcome.exit_code, 1);
    let lines = outcome.json();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["event"], "failed");
    assert_eq!(lines[0]["error"]["code"], "file_not_found");
    user.ffctl(&["status"]);
    assert_eq!(daemon.next_call(), Call::Status);
}

#[cfg(unix)] // Windows takes no command line that is too long
#[test]
fn more_paths_than_fit_are_refused_with_advice() {
    let (user, daemon) = sender(Vec::new());
    let name = "d/".repeat(1000) + "a";
    let file_path = user.dir.path().join(&name);
    fs::create_dir_all(file_path.parent().unwrap()).unwrap();
    fs::write(&file_path, "").unwrap();
    let paths = vec![name.as_str(); 600];
    user.ffctl(&[&["send", "bob"], &paths[..]].concat()).failed(
        1,
        "ffctl: this is too much for one request\n\
         hint: name fewer paths, or a folder that holds them\n",
    );
    user.ffctl(&["status"]);
    assert_eq!(daemon.next_call(), Call::Status);
}

#[test]
fn detached_it_prints_the_id_and_returns() {
    let (user, _daemon) = sender(Vec::new());
    assert_eq!(user.ffctl(&["send", "--detach", "bob", "a"]).done().stdout, format!("{ID}\n"));
    let outcome = user.ffctl(&["send", "--detach", "--json", "bob", "a"]).done();
    let started = json!({"schema_version": 1, "event": "started", "transfer": ID});
    assert_eq!(outcome.json(), [started]);
}

#[test]
fn declined_is_an_exit_code_of_its_own() {
    let (user, _daemon) = sender(vec![in_state(TransferState::Declined)]);
    user.ffctl(&["send", "bob", "a"]).failed(4, "ffctl: bob declined\n");
    let outcome = user.ffctl(&["send", "--json", "bob", "a"]);
    assert_eq!(outcome.exit_code, 4);
    let last = outcome.json().pop().unwrap();
    assert_eq!((&last["event"], &last["transfer"]), (&json!("failed"), &json!(ID)));
    assert_eq!(last["error"], json!({"code": "declined", "message": "bob declined", "hint": null}));
}

#[test]
fn a_failure_says_why_and_what_failed() {
    let mut failed = in_state(TransferState::Failed);
    let error = ControlError::new(ErrorCode::SourceChanged, "1 file changed while it was sent");
    failed.error = Some(error.with_hint("send it again"));
    failed.failures =
        vec![FileFailure { path: "log\u{1b}[2J.txt".to_owned(), message: "it shrank".to_owned() }];
    let (user, _daemon) = sender(vec![in_state(TransferState::Active), failed]);
    user.ffctl(&["send", "bob", "a"]).failed(
        1,
        "sending to bob: direct\nffctl: 1 file changed while it was sent\n  \
         log\\u{1b}[2J.txt: it shrank\nhint: send it again\n",
    );
    let last = user.ffctl(&["send", "--json", "bob", "a"]).json().pop().unwrap();
    assert_eq!(last["failures"][0]["message"], "it shrank");
}

#[test]
fn all_that_failed_is_asked_for_in_the_end() {
    let mut failed = in_state(TransferState::Failed);
    failed.failures = vec![FileFailure { path: "a".to_owned(), message: "no".to_owned() }; 5];
    let user = User::new();
    fs::write(user.dir.path().join("a"), "content").unwrap();
    let _daemon = user.daemon(move |call| match call {
        Call::Send { .. } => Reply::SendStarted { transfer: ID.to_owned() }.into(),
        Call::Watch => {
            let state = testing::state(vec![failed.clone().brief()]);
            Answer::from(Reply::Done).then([state])
        }
        Call::Transfer { id } if id == ID => Reply::Transfer(Box::new(failed.clone())).into(),
        _ => Reply::Done.into(),
    });
    let last = user.ffctl(&["send", "--json", "bob", "a"]).json().pop().unwrap();
    assert_eq!(last["failures"].as_array().unwrap().len(), 5, "{last}");
}

#[test]
fn who_cannot_be_reached_is_an_exit_code_of_its_own() {
    for code in [ErrorCode::Offline, ErrorCode::UnknownName] {
        let mut failed = in_state(TransferState::Failed);
        failed.error = Some(ControlError::new(code, "bob is away"));
        let (user, _daemon) = sender(vec![failed]);
        user.ffctl(&["send", "bob", "a"]).failed(5, "ffctl: bob is away\n");
    }
}

/// A transfer that waits for bob to come.
fn queued() -> TransferView {
    let reason = ControlError::new(ErrorCode::Offline, "'bob' is not online");
    let reason = Some(reason.with_hint("it is sent as soon as both computers are on"));
    TransferView { reason, next_try: Some(7), ..in_state(TransferState::Queued) }
}

#[test]
fn who_cannot_be_reached_gets_it_later_and_the_command_ends() {
    let (user, _daemon) = sender(vec![in_state(TransferState::Queued), queued()]);
    let outcome = user.ffctl(&["send", "bob", "a"]);
    assert_eq!((outcome.exit_code, outcome.stdout.as_str()), (6, &*format!("{ID}\n")));
    assert_eq!(
        outcome.stderr,
        "queued: bob\nqueued: 'bob' is not online\n\
         hint: it is sent as soon as both computers are on\n"
    );
    let outcome = user.ffctl(&["send", "--json", "bob", "a"]);
    assert_eq!(outcome.exit_code, 6);
    let last = outcome.json().pop().unwrap();
    assert_eq!((&last["event"], &last["transfer"]), (&json!("queued"), &json!(ID)));
    assert_eq!((&last["reason"]["code"], &last["next_try"]), (&json!("offline"), &json!(7)));
}

#[test]
fn waiting_follows_a_queued_transfer_to_its_end() {
    let (user, _daemon) = sender(vec![queued(), queued(), in_state(TransferState::Done)]);
    let outcome = user.ffctl(&["send", "--wait", "bob", "a"]).done();
    assert!(outcome.stdout.starts_with("sent 3 files"), "{outcome:?}");
}

#[test]
fn what_has_begun_is_followed_though_the_receiver_went_away() {
    let paused = TransferView { state: TransferState::Paused, ..queued() };
    let news = vec![in_state(TransferState::Active), paused, in_state(TransferState::Done)];
    let (user, _daemon) = sender(news);
    user.ffctl(&["send", "bob", "a"]).done();
}

#[test]
fn whether_it_may_wait_is_the_users_to_say() {
    let (user, daemon) = sender(vec![in_state(TransferState::Done)]);
    for (option, refuses) in [("--wait", false), ("--no-queue", true)] {
        user.ffctl(&["send", option, "bob", "a"]).done();
        let Call::Send { no_queue, .. } = daemon.next_call() else { panic!("expected a send") };
        assert_eq!(no_queue, refuses);
        assert_eq!(daemon.next_call(), Call::Watch);
    }
    assert_eq!(user.ffctl(&["send", "--wait", "--no-queue", "bob", "a"]).exit_code, 2);
    assert_eq!(user.ffctl(&["send", "--wait", "--detach", "bob", "a"]).exit_code, 2);
}

#[test]
fn a_transfer_that_somebody_cancelled_failed() {
    let (user, _daemon) = sender(vec![in_state(TransferState::Cancelled)]);
    user.ffctl(&["send", "bob", "a"]).failed(1, "ffctl: the transfer was cancelled\n");
}

#[test]
fn a_daemon_that_ends_meanwhile_is_told() {
    let (user, daemon) = sender(vec![in_state(TransferState::Active)]);
    let child = user.command(&["send", "bob", "a"]).spawn().unwrap();
    while daemon.next_call() != Call::Watch {}
    drop(daemon);
    let outcome = crate::support::Outcome::from(child.wait_with_output().unwrap());
    assert_eq!(outcome.exit_code, 3, "{outcome:?}");
    assert!(outcome.stderr.contains("ffctl: filefleetd ended the connection\n"), "{outcome:?}");
}

#[test]
fn names_from_others_cannot_act_on_the_terminal() {
    let mut waiting = in_state(TransferState::Queued);
    waiting.peer = "bob\u{202e}\u{9b}31m".to_owned();
    waiting.detail = Some("\u{1b}]0;owned\u{7}".to_owned());
    let (user, _daemon) = sender(vec![waiting, in_state(TransferState::Done)]);
    let outcome = user.ffctl(&["send", "bob", "a"]).done();
    assert_eq!(outcome.stderr, "queued: \\u{1b}]0;owned\\u{7}\n");
}

#[cfg(unix)]
mod interrupted {
    use std::process::Child;

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;
    use crate::support::Outcome;

    fn signal(child: &Child, signal: Signal) {
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Waits until `ffctl` watches, so that it catches signals.
    fn until_watching(daemon: &FakeDaemon) {
        while daemon.next_call() != Call::Watch {}
    }

    #[test]
    fn ctrl_c_cancels_the_transfer() {
        let (user, daemon) = sender(vec![in_state(TransferState::Active)]);
        let child = user.command(&["send", "bob", "a"]).spawn().unwrap();
        until_watching(&daemon);
        signal(&child, Signal::INT);
        assert_eq!(daemon.next_call(), Call::Cancel { id: ID.to_owned() });
        daemon.event(Event::Transfer(in_state(TransferState::Cancelled)));
        let outcome = Outcome::from(child.wait_with_output().unwrap());
        assert_eq!(outcome.exit_code, 130, "{outcome:?}");
        assert!(outcome.stderr.ends_with("ffctl: cancelled\n"), "{outcome:?}");
    }

    #[test]
    fn ctrl_c_after_the_last_byte_does_not_undo_the_delivery() {
        let (user, daemon) = sender(vec![in_state(TransferState::Active)]);
        let child = user.command(&["send", "bob", "a"]).spawn().unwrap();
        until_watching(&daemon);
        signal(&child, Signal::INT);
        daemon.next_call();
        daemon.event(Event::Transfer(in_state(TransferState::Done)));
        Outcome::from(child.wait_with_output().unwrap()).done();
    }

    #[test]
    fn a_second_ctrl_c_does_not_wait() {
        let (user, daemon) = sender(vec![in_state(TransferState::Active)]);
        let child = user.command(&["send", "--json", "bob", "a"]).spawn().unwrap();
        until_watching(&daemon);
        signal(&child, Signal::INT);
        daemon.next_call();
        signal(&child, Signal::INT);
        let outcome = Outcome::from(child.wait_with_output().unwrap());
        assert_eq!(outcome.exit_code, 130, "{outcome:?}");
        assert_eq!(outcome.json().last().unwrap()["error"]["code"], "interrupted");
    }

    #[test]
    fn a_killed_ffctl_cancels_nothing() {
        let (user, daemon) = sender(vec![in_state(TransferState::Active)]);
        let mut child = user.command(&["send", "bob", "a"]).spawn().unwrap();
        until_watching(&daemon);
        signal(&child, Signal::TERM);
        child.wait().unwrap();
        user.ffctl(&["status"]);
        assert_eq!(daemon.next_call(), Call::Status);
    }
}

#[test]
fn that_nobody_reads_the_lines_is_no_reason_to_stop() {
    let (user, daemon) = sender(vec![in_state(TransferState::Active)]);
    let mut child = user.command(&["send", "--json", "bob", "a"]).spawn().unwrap();
    drop(child.stdout.take());
    while daemon.next_call() != Call::Watch {}
    for _ in 0..3 {
        daemon.event(Event::Transfer(in_state(TransferState::Active)));
    }
    daemon.event(Event::Transfer(in_state(TransferState::Done)));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_no_text_is_sent() {
    use std::os::unix::ffi::OsStrExt;

    let (user, daemon) = sender(vec![in_state(TransferState::Done)]);
    let name = std::ffi::OsStr::from_bytes(b"b\xff\n");
    fs::write(user.dir.path().join(name), "").unwrap();
    assert!(user.command(&["send", "bob"]).arg(name).status().unwrap().success());
    let Call::Send { paths, .. } = daemon.next_call() else { panic!("expected a send") };
    assert_eq!(paths[0].as_path().file_name(), Some(name));
}
