//! What all commands have in common, and those about this user's daemon.

use filefleet_ctl::proto::{
    Call, ControlError, ErrorCode, Event, FileFailure, Hello, LossExample, LossKind, LossView,
    Reply, Setting, TransferState, TransferView,
};
use filefleet_ctl::testing::{self, Answer, FakeDaemon};
use serde_json::json;

use crate::support::{Outcome, User};

#[test]
fn without_a_daemon_it_says_how_to_start_one() {
    let user = User::new();
    for arguments in [&["status"][..], &["requests"], &["watch"], &["contacts", "show", "bob"]] {
        user.ffctl(arguments)
            .failed(3, "ffctl: filefleetd is not running\nhint: start it: ffctl daemon start\n");
    }
    let outcome = user.ffctl(&["status", "--json"]);
    assert_eq!(outcome.json()[0]["error"]["code"], "daemon_unreachable");
}

#[test]
fn a_daemon_of_another_version_is_not_talked_to() {
    let user = User::new();
    let hello = Hello { version: 2, daemon: "9.0".to_owned(), pid: 7 };
    let _daemon = FakeDaemon::start_with(&user.home, hello, |_| panic!("asked")).unwrap();
    let outcome = user.ffctl(&["status"]);
    assert_eq!(outcome.exit_code, 3);
    assert!(outcome.stderr.contains("filefleetd 9.0 (process 7) is of another version"));
}

#[test]
fn errors_have_a_message_a_hint_and_an_exit_code() {
    for (code, exit_code) in [
        (ErrorCode::NameTaken, 1),
        (ErrorCode::BadArgument, 2),
        (ErrorCode::Declined, 4),
        (ErrorCode::UnknownName, 5),
        (ErrorCode::Offline, 5),
        (ErrorCode::NoSuchContact, 5),
        (ErrorCode::NoSuchTransfer, 1),
        (ErrorCode::Internal, 1),
    ] {
        let user = User::new();
        let _daemon = user.daemon_that_fails(code, "no\u{1b}");
        user.ffctl(&["invite"]).failed(exit_code, "ffctl: no\\u{1b}\nhint: do better\n");
        let error = &user.ffctl(&["invite", "--json"]).json()[0]["error"];
        assert_eq!(error["code"], serde_json::to_value(code).unwrap());
        assert_eq!((&error["message"], &error["hint"]), (&json!("no\u{1b}"), &json!("do better")));
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let user = User::new();
    for arguments in [
        &[][..],
        &["dance"],
        &["send", "bob"],
        &["register", "bob"],
        &["contacts", "set", "bob", "--accept", "sometimes"],
        &["contacts", "set", "bob", "--max-size", "big"],
    ] {
        assert_eq!(user.ffctl(arguments).exit_code, 2, "{arguments:?}");
    }
}

#[test]
fn register_claims_the_name_and_shows_where_that_leads() {
    let user = User::new();
    let daemon = user.daemon(|call| match call {
        Call::Status => Reply::Status(testing::status()).into(),
        _ => Reply::Done.into(),
    });
    let outcome = user.ffctl(&["register", "alice", "--server", "h:1#ab"]).done();
    let (name, server) = ("alice".to_owned(), "h:1#ab".to_owned());
    assert_eq!(daemon.next_call(), Call::Register { name, server });
    assert!(outcome.stdout.contains("registered     yes\n"), "{outcome:?}");
}

#[test]
fn status_has_its_facts_at_the_top() {
    let user = User::new();
    let _daemon = user.daemon_that_says(Reply::Status(testing::status()));
    let status = &user.ffctl(&["status", "--json"]).done().json()[0];
    assert_eq!(status["name"], "alice");
    assert_eq!(status["identity"], "3f2a 91bc");
    assert_eq!(status["device"], "laptop");
    assert_eq!(status["server"], "example.org:7835");
    assert_eq!(status["registered"], true);
    assert_eq!(
        user.ffctl(&["status"]).done().stdout,
        "name           alice\n\
         server         example.org:7835\n\
         registered     yes\n\
         identity       3f2a 91bc\n\
         device         laptop\n\
         received       /home/alice/Downloads\n\
         local network  contacts are found\n\
         daemon         0.0.0-fake (process 4711)\n"
    );
}

#[test]
fn transfers_are_listed_and_cancelled() {
    let user = User::new();
    let daemon = user.daemon(|call| match call {
        Call::Transfers { .. } => {
            Reply::Transfers(vec![testing::transfer(TransferState::Active)]).into()
        }
        _ => Reply::Done.into(),
    });
    assert_eq!(
        user.ffctl(&["transfers"]).done().stdout,
        "ID        PEER    STATE   PROGRESS        RATE     LINK    WHAT\n\
         00112233  to bob  active  33% of 2.9 KiB  500 B/s  direct  holiday\n"
    );
    assert_eq!(daemon.next_call(), Call::Transfers { all: false });
    let outcome = user.ffctl(&["transfers", "--all", "--json"]).done();
    assert_eq!(outcome.json()[0]["transfers"][0]["state"], "active");
    assert_eq!(daemon.next_call(), Call::Transfers { all: true });
    user.ffctl(&["cancel", "0011"]).done();
    daemon.next_call();
    let id = testing::transfer(TransferState::Active).id;
    assert_eq!(daemon.next_call(), Call::Cancel { id });
}

#[test]
fn one_transfer_is_shown_with_what_failed_and_what_could_not_be_kept() {
    let user = User::new();
    let example = LossExample { path: "a\u{1b}[2J".to_owned(), detail: "a (2)".to_owned() };
    let failure = FileFailure { path: "b".to_owned(), message: "no".to_owned() };
    let transfer = TransferView {
        failures: vec![failure; 5],
        failures_more: 7,
        losses: vec![LossView { kind: LossKind::Name, count: 12, examples: vec![example] }],
        ..testing::transfer(TransferState::Failed)
    };
    let _daemon = user.daemon(move |call| match call {
        Call::Transfer { id } if id == "4711" => {
            ControlError::new(ErrorCode::NoSuchTransfer, "there is no such transfer").into()
        }
        Call::Transfer { .. } => Reply::Transfer(Box::new(transfer.clone())).into(),
        _ => Reply::Transfers(vec![transfer.clone().brief()]).into(),
    });
    let outcome = user.ffctl(&["transfers", "0011"]).done();
    assert_eq!(
        outcome.stdout.lines().skip_while(|line| *line != "failed:").collect::<Vec<_>>(),
        [
            "failed:",
            "  b: no",
            "  b: no",
            "  b: no",
            "  b: no",
            "  b: no",
            "  and 7 more",
            "not everything could be kept:",
            "  names that were taken, so that another was given: 12",
            "    a\\u{1b}[2J: a (2)",
            "    and 11 more",
        ]
    );
    assert_eq!(outcome.stderr, "hint: to replace what you sent before: ffctl send --update\n");
    assert!(outcome.stdout.contains("state      failed\n"), "{}", outcome.stdout);
    let outcome = user.ffctl(&["transfers", "0011", "--json"]).done();
    assert_eq!(outcome.json()[0]["transfers"][0]["losses"][0]["count"], 12);
    let outcome = user.ffctl(&["transfers", "4711"]);
    assert_eq!(outcome.exit_code, 1);
    assert_eq!(outcome.stderr, "ffctl: there is no such transfer\n");
}

#[test]
fn what_has_failed_is_sent_again() {
    let user = User::new();
    let daemon = user.daemon(|call| match call {
        Call::Transfers { .. } => {
            Reply::Transfers(vec![testing::transfer(TransferState::Failed)]).into()
        }
        _ => Reply::SendStarted { transfer: "4455".to_owned() }.into(),
    });
    assert_eq!(user.ffctl(&["retry", "0011"]).done().stdout, "4455\n");
    assert_eq!(daemon.next_call(), Call::Transfers { all: true });
    let id = testing::transfer(TransferState::Failed).id;
    assert_eq!(daemon.next_call(), Call::Retry { id });
    let outcome = user.ffctl(&["retry", "0011", "--json"]).done();
    assert_eq!(outcome.json()[0]["transfer"], "4455");
}

#[test]
fn an_invitation_is_one_line() {
    let user = User::new();
    let _daemon = user.daemon_that_says(Reply::Invite { link: "filefleet:x".to_owned() });
    assert_eq!(user.ffctl(&["invite"]).done().stdout, "filefleet:x\n");
    assert_eq!(user.ffctl(&["invite", "--json"]).done().json()[0]["link"], "filefleet:x");
}

#[test]
fn settings_are_read_and_changed() {
    let user = User::new();
    let setting = Setting {
        key: "relay".to_owned(),
        value: "true".to_owned(),
        is_default: true,
        help: "use the relay".to_owned(),
    };
    let daemon = user.daemon(move |call| match call {
        Call::ConfigList => Reply::Settings(vec![setting.clone()]).into(),
        _ => Reply::Setting(setting.clone()).into(),
    });
    assert_eq!(user.ffctl(&["config", "get", "relay"]).done().stdout, "true\n");
    assert_eq!(daemon.next_call(), Call::ConfigGet { key: "relay".to_owned() });
    assert_eq!(user.ffctl(&["config", "set", "relay", "-1"]).done().stdout, "");
    let (key, value) = ("relay".to_owned(), "-1".to_owned());
    assert_eq!(daemon.next_call(), Call::ConfigSet { key, value });
    assert_eq!(
        user.ffctl(&["config", "list"]).done().stdout,
        "SETTING  VALUE             MEANING\nrelay    true   (default)  use the relay\n"
    );
    let outcome = user.ffctl(&["config", "list", "--json"]).done();
    assert_eq!(outcome.json()[0]["settings"][0]["key"], "relay");
}

#[test]
fn watching_shows_the_state_and_then_events() {
    let user = User::new();
    let gone = Event::RequestGone { id: "3f2a".to_owned() };
    let daemon = user.daemon(move |_| {
        Answer::from(Reply::Done).then([testing::state(Vec::new()), gone.clone()])
    });
    for (arguments, expected) in [
        (&["watch"][..], "this is alice, registered\nrequest 3f2a is answered\n".to_owned()),
        (
            &["watch", "--json"],
            "{\"schema_version\":1,\"event\":\"request_gone\",\"data\":{\"id\":\"3f2a\"}}\n"
                .to_owned(),
        ),
    ] {
        let outcome = user.reads_until(arguments, &expected);
        assert!(outcome.ends_with(&expected), "{outcome}");
        daemon.next_call();
    }
}

#[test]
fn a_reader_who_has_had_enough_is_no_error() {
    let user = User::new();
    let daemon = user.daemon(|_| Answer::from(Reply::Done).then([testing::state(Vec::new())]));
    for arguments in [&["watch"][..], &["man"], &["completions", "bash"], &["status", "--help"]] {
        let mut child = user.command(arguments).spawn().unwrap();
        drop(child.stdout.take());
        if arguments == ["watch"] {
            daemon.next_call();
            for _ in 0..3 {
                daemon.event(Event::Warning { message: "mind".to_owned() });
            }
        }
        let outcome = Outcome::from(child.wait_with_output().unwrap()).done();
        assert_eq!(outcome.stderr, "", "{arguments:?}");
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let user = User::new();
    let help = user.ffctl(&["--help"]).done().stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names: Vec<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names.len(), 20, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let help = user.ffctl(&[name, "--help"]).done().stdout;
        assert!(help.contains(&format!("  ffctl {name}")), "{help}");
    }
}

#[test]
fn completions_and_manual_pages_cover_every_command() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = user.ffctl(&["completions", shell]).done().stdout;
        assert!(script.contains("max-size"), "{shell}");
    }
    let page = user.ffctl(&["man"]).done().stdout;
    assert!(page.contains(".TH ffctl 1") && page.contains("130"), "{page}");
    user.ffctl(&["man", "--dir", "pages/man1"]).done();
    let pages = user.dir.path().join("pages/man1");
    for page in ["ffctl.1", "ffctl-send.1", "ffctl-contacts-set.1"] {
        assert!(pages.join(page).is_file(), "{page}");
    }
}
