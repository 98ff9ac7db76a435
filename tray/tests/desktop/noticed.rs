//! Notifications as programs of the desktop see them: a server of the test's own clicks, closes, dies
//! and comes back when the test wants it to.

use std::fs;

use crate::support::{Desktop, FileManager, Notices, Sending, Server, User};

const ASKED: &str = "bob wants to send";

/// Alice, whose daemon has a desktop without any notification server yet, and Bob, whom she does not
/// know.
struct Strangers {
    alice: User,
    bob: User,
    desktop: Desktop,
    server: Server,
}

impl Strangers {
    fn new() -> Self {
        let (server, desktop) = (Server::start(), Desktop::without_panel());
        let bob = User::registered("bob", &server);
        let mut alice = User::new();
        alice.start_within(desktop.environment());
        alice.register("alice", &server).done();
        Self { alice, bob, desktop, server }
    }

    /// Bob sends a note, and waits for an answer.
    fn send(&self, name: &str) -> Sending {
        self.bob.send("alice", &[&self.bob.note(name)])
    }
}

#[test]
fn a_click_accepts_or_declines_and_says_what_came() {
    let strangers = Strangers::new();
    let Strangers { alice, bob, desktop, .. } = &strangers;
    let notices = Notices::start(desktop);
    let files = FileManager::start(desktop);
    let sending = strangers.send("first");
    let asked = notices.notice(ASKED);
    assert_eq!(asked.summary, "bob wants to send 1 file, 14 B");
    assert!(asked.body.starts_with("first\na stranger at "), "{asked:?}");
    notices.click(&asked, "Accept");
    sending.done();
    assert_eq!(alice.received_names(), ["first"]);
    let received = notices.notice("bob sent you 1 file, 14 B");
    assert_eq!(received.body, "first");
    notices.click(&received, "Show in folder");
    assert_eq!(files.next(), format!("file://{}", alice.received().join("first").display()));

    let sending = strangers.send("second");
    notices.click(&notices.notice(ASKED), "Decline");
    sending.failed(4, "declined");
    notices.empty();
    assert_eq!(alice.received_names(), ["first"]);
    assert_eq!(bob.transfers().len(), 2);
}

#[test]
fn what_a_system_would_run_is_shown_and_not_opened() {
    let strangers = Strangers::new();
    let Strangers { alice, bob, desktop, .. } = &strangers;
    let (notices, files) = (Notices::start(desktop), FileManager::start(desktop));
    alice.accept("bob", "always");
    bob.send("alice", &[&bob.note("run me.desktop")]).done();
    notices.click(&notices.notice("bob sent you"), "Open");
    let shown = format!("file://{}/run%20me.desktop", alice.received().display());
    assert_eq!(files.next(), shown);
}

#[test]
fn closing_accepts_nothing_and_leaves_it_waiting() {
    let strangers = Strangers::new();
    let notices = Notices::start(&strangers.desktop);
    let mut sending = strangers.send("first");
    let asked = notices.notice(ASKED);
    notices.close(&asked);
    sending.waiting();
    // It is closed, and its buttons with it.
    notices.say_clicked(asked.id, asked.key("Accept"));
    // What comes after this was dealt with after that.
    let second = strangers.send("second");
    notices.click(&notices.notice(ASKED), "Decline");
    second.failed(4, "declined");
    notices.empty();
    let requests = strangers.alice.requests();
    assert_eq!((requests.len(), &requests[0]["names"][0]), (1, &"first".into()));
    assert_eq!(strangers.alice.received_names(), [""; 0]);
    strangers.alice.ffctl(&["accept", requests[0]["id"].as_str().unwrap()]).done();
    sending.done();
}

#[test]
fn what_is_withdrawn_or_answered_elsewhere_disappears() {
    let strangers = Strangers::new();
    let notices = Notices::start(&strangers.desktop);
    let sending = strangers.send("first");
    notices.notice(ASKED);
    sending.interrupt();
    notices.empty();
    sending.end();

    let sending = strangers.send("second");
    notices.notice(ASKED);
    let request = &strangers.alice.requests()[0];
    strangers.alice.ffctl(&["decline", request["id"].as_str().unwrap()]).done();
    notices.empty();
    sending.failed(4, "declined");
}

#[test]
fn twenty_requests_at_once_get_an_answer_each() {
    let strangers = Strangers::new();
    let Strangers { alice, bob, desktop, .. } = &strangers;
    let notices = Notices::start(desktop);
    alice.accept("bob", "ask");
    let names: Vec<_> = (0..20).map(|n| format!("note-{n:02}")).collect();
    let sendings: Vec<_> = names.iter().map(|name| strangers.send(name)).collect();
    let asked =
        notices.until("20 requests", |notices| (notices.len() == 20).then(|| notices.to_vec()));
    let is_wanted = |name: &str| name.ends_with(['0', '2', '4', '6', '8']);
    for notice in &asked {
        let name = notice.body.lines().next().unwrap();
        notices.click(notice, if is_wanted(name) { "Accept" } else { "Decline" });
    }
    for (name, sending) in names.iter().zip(sendings) {
        match is_wanted(name) {
            true => drop(sending.done()),
            false => drop(sending.failed(4, "declined")),
        }
    }
    let wanted: Vec<_> = names.iter().filter(|name| is_wanted(name)).cloned().collect();
    assert_eq!(alice.received_names(), wanted);
    assert!(alice.requests().is_empty());
    assert_eq!(bob.transfers().len(), 20);
}

#[test]
fn a_server_that_starts_again_accepts_nothing_by_itself() {
    let strangers = Strangers::new();
    let Strangers { alice, desktop, .. } = &strangers;
    let notices = Notices::start(desktop);
    let first = strangers.send("first");
    let old = notices.notice(ASKED);
    notices.end();
    let second = strangers.send("second");
    let notices = Notices::start(desktop);
    let shown = notices.until("both", |notices| (notices.len() == 2).then(|| notices.to_vec()));
    // The same ids, for other requests or the same: what the old server offered is no button here.
    let of = |name: &str| shown.iter().find(|notice| notice.body.starts_with(name)).unwrap();
    let other = shown.iter().find(|notice| notice.id != of("first").id).unwrap();
    notices.say_clicked(other.id, old.key("Accept"));
    notices.click(of("second"), "Decline");
    second.failed(4, "declined");
    assert_eq!(alice.requests().len(), 1);
    assert_eq!(alice.received_names(), [""; 0]);
    notices.click(of("first"), "Accept");
    first.done();
}

#[test]
fn without_a_server_everything_goes_on_and_requests_wait_for_one() {
    let strangers = Strangers::new();
    let Strangers { alice, bob, desktop, .. } = &strangers;
    // A bus that starts none.
    let sending = strangers.send("first");
    let mut watching = alice.watch();
    if alice.requests().is_empty() {
        watching.request();
    }
    let notices = Notices::start(desktop);
    notices.click(&notices.notice(ASKED), "Accept");
    sending.done();
    assert_eq!(alice.received_names(), ["first"]);
    assert_eq!(bob.transfers().len(), 1);
}

#[test]
fn requests_that_waited_over_a_restart_are_shown_again() {
    let mut strangers = Strangers::new();
    let notices = Notices::start(&strangers.desktop);
    let mut sending = strangers.send("first");
    sending.waiting();
    notices.notice(ASKED);
    strangers.alice.stop().done();
    // Its buttons would do nothing.
    notices.empty();
    strangers.alice.start_within(strangers.desktop.environment());
    let asked = notices.notice(ASKED);
    strangers.alice.registered_again();
    notices.click(&asked, "Accept");
    sending.done();
}

#[test]
fn a_person_says_what_is_shown() {
    let strangers = Strangers::new();
    let Strangers { alice, bob, desktop, .. } = &strangers;
    let notices = Notices::start(desktop);
    let set = |value| alice.ffctl(&["config", "set", "notifications", value]).done();
    alice.ffctl(&["config", "set", "notifications", "loud"]).failed(2);
    set("requests");
    let sending = strangers.send("first");
    notices.click(&notices.notice(ASKED), "Accept");
    sending.done();
    set("off");
    let mut sending = strangers.send("second");
    sending.waiting();
    alice.ffctl(&["accept", alice.requests()[0]["id"].as_str().unwrap()]).done();
    sending.done();
    set("all");
    // Had the others been shown, it would have been before this.
    alice.accept("bob", "always");
    bob.send("alice", &[&bob.note("third")]).done();
    assert_eq!(notices.notice("bob sent you").body, "third");
    notices.until("one alone", |notices| (notices.len() == 1).then_some(()));
}

#[test]
fn what_failed_is_tried_again_by_a_click_and_what_had_waited_is_told() {
    let mut strangers = Strangers::new();
    let notices = Notices::start(&strangers.desktop);
    strangers.bob.accept("alice", "always");
    let Strangers { alice, bob, .. } = &strangers;
    // Nothing can be made in a folder that is not there.
    bob.ffctl(&["contacts", "set", "alice", "--dir", "/nonexistent/folder"]).done();
    alice.send("bob", &[&alice.note("letter")]).failed(1, "permission_denied");
    let failed = notices.notice("Sending to bob failed");
    assert!(failed.body.starts_with("letter\n"), "{failed:?}");
    let received = bob.received();
    bob.ffctl(&["contacts", "set", "alice", "--dir", received.to_str().unwrap()]).done();
    let mut watching = bob.watch();
    notices.click(&failed, "Retry");
    watching.until("transfer", |transfer| transfer["state"] == "done");
    assert_eq!(bob.received_names(), ["letter"]);

    strangers.bob.stop().done();
    let Strangers { alice, .. } = &strangers;
    let sending = alice.send("bob", &[&alice.note("later")]);
    sending.queued("offline");
    strangers.bob.start();
    let delivered = notices.notice("bob has got 1 file, 14 B that had waited");
    assert_eq!((delivered.body.as_str(), delivered.buttons.len()), ("later", 0));
}

#[test]
fn what_strangers_write_is_shown_as_text() {
    let strangers = Strangers::new();
    let Strangers { alice, bob, desktop, .. } = &strangers;
    let notices = Notices::start(desktop);
    let source = bob.file("<b>x<i>\n&&\"\u{202e}gpj\x1b[31m");
    fs::write(&source, "x").unwrap();
    let sending = bob.send("alice", &[&source]);
    let asked = notices.notice(ASKED);
    let shown = r"&lt;b&gt;x&lt;i&gt;\n&amp;&amp;&quot;\u{202e}gpj\u{1b}[31m";
    assert_eq!(asked.body.lines().next(), Some(shown));
    notices.click(&asked, "Accept");
    sending.done();
    assert_eq!(notices.notice("bob sent you").body, shown);
    assert_eq!(alice.received_names().len(), 1);
}

#[test]
fn many_requests_of_a_stranger_and_of_many_are_few_notes() {
    let strangers = Strangers::new();
    let notices = Notices::start(&strangers.desktop);
    for n in 0..8 {
        let mut sending = strangers.send(&format!("note-{n}"));
        sending.waiting();
        sending.interrupt();
        sending.end();
    }
    let carol = User::registered("carol", &strangers.server);
    let sending = carol.send("alice", &[&carol.note("honest")]);
    // Who floods keeps nobody else out.
    let asked = notices.notice("carol wants to send");
    assert!(asked.id <= 8, "{} were shown", asked.id);
    notices.click(&asked, "Accept");
    sending.done();
}
