//! `ffctl doctor`.

use filefleet_ctl::proto::{Call, Check, DoctorView, Finding, Level, Reply};
use filefleet_ctl::testing;

use crate::support::User;

fn says(view: DoctorView) -> Reply {
    Reply::Doctor(Box::new(view))
}

#[test]
fn what_was_found_is_a_table_with_what_to_do_and_what_to_expect() {
    let user = User::new();
    let daemon = user.daemon_that_says(says(testing::doctor()));
    assert_eq!(
        user.ffctl(&["doctor"]).done().stdout,
        "CHECK  RESULT  WHAT IT MEANS\n\
         udp    ok      the server answers by UDP\n\
         nat    warn    the NAT is strict\n\
         \x20              hint: turn on UPnP\n\
         \n\
         some people are reached through the relay only\n"
    );
    assert_eq!(daemon.next_call(), Call::Doctor);
    let json = &user.ffctl(&["doctor", "--json"]).done().json()[0];
    assert_eq!(json["network"]["nat"], "strict");
    assert_eq!(json["findings"][1]["hint"], "turn on UPnP");
}

#[test]
fn a_problem_is_exit_code_1_in_both_formats() {
    let user = User::new();
    let mut view = testing::doctor();
    view.findings.push(Finding {
        check: Check::Resolution,
        level: Level::Problem,
        message: "no address".to_owned(),
        hint: None,
    });
    let _daemon = user.daemon_that_says(says(view));
    user.ffctl(&["doctor"]).failed(1, "");
    let outcome = user.ffctl(&["doctor", "--json"]);
    assert_eq!(outcome.json()[0]["findings"][2]["level"], "problem");
    outcome.failed(1, "");
}

#[test]
fn what_servers_say_cannot_act_on_the_terminal() {
    let user = User::new();
    let mut view = testing::doctor();
    view.findings[0].message = "it says \u{1b}[2J".to_owned();
    view.findings[1].hint = Some("do\nnothing".to_owned());
    view.outlook = "\u{202e}good".to_owned();
    let _daemon = user.daemon_that_says(says(view));
    let stdout = user.ffctl(&["doctor"]).done().stdout;
    assert!(stdout.contains("it says \\u{1b}[2J\n"), "{stdout}");
    assert!(stdout.contains("hint: do\\nnothing\n"), "{stdout}");
    assert!(stdout.ends_with("\n\\u{202e}good\n"), "{stdout}");
}

#[test]
fn without_a_daemon_there_is_nothing_to_examine() {
    let said = "ffctl: filefleetd is not running\nhint: start it: ffctl daemon start\n";
    User::new().ffctl(&["doctor"]).failed(3, said);
}
