//! How links, and why there is no better one, are shown.

use std::fs;

use filefleet_ctl::proto::{
    Call, Event, LinkChange, LinkEvent, LinkKind, LinkLoss, RelayedCode, Reply, TransferState,
    TransferView, WhyRelayed,
};
use filefleet_ctl::testing::{self, Answer};

use crate::support::User;

fn relayed() -> TransferView {
    TransferView {
        link: Some(LinkKind::Relayed),
        why_relayed: Some(why()),
        ..testing::transfer(TransferState::Active)
    }
}

fn why() -> WhyRelayed {
    WhyRelayed { code: RelayedCode::NoPath, message: "both are behind strict NATs\u{7}".to_owned() }
}

fn event(peer: &str, change: LinkChange, kind: LinkKind) -> LinkEvent {
    LinkEvent { peer: peer.to_owned(), change, kind, loss: None, why_relayed: None }
}

#[test]
fn a_relayed_transfer_says_why_wherever_it_is_listed() {
    let user = User::new();
    let _daemon = user.daemon(|call| match call {
        Call::Transfers { .. } => Reply::Transfers(vec![relayed()]).into(),
        _ => {
            let mut status = testing::status();
            status.transfers = vec![relayed()];
            Reply::Status(status).into()
        }
    });
    let line = "00112233  to bob  active  33% of 2.9 KiB  500 B/s  relayed  \
                holiday: both are behind strict NATs\\u{7}\n";
    for command in ["transfers", "status"] {
        let stdout = user.ffctl(&[command]).done().stdout;
        assert!(stdout.ends_with(line), "{stdout}");
    }
    let json = &user.ffctl(&["transfers", "--json"]).done().json()[0]["transfers"][0];
    assert_eq!(json["why_relayed"]["code"], "no_path");
}

#[test]
fn a_send_says_why_it_is_relayed_and_tells_of_its_own_links_only() {
    let user = User::new();
    fs::write(user.dir.path().join("a"), "content").unwrap();
    let _daemon = user.daemon(|call| match call {
        Call::Send { .. } => Reply::SendStarted { transfer: relayed().id }.into(),
        Call::Watch => {
            let joined = |peer| Event::Link(event(peer, LinkChange::Joined, LinkKind::Direct));
            let done = Event::Transfer(testing::transfer(TransferState::Done));
            let lost = event("bob", LinkChange::Lost, LinkKind::Lan);
            let lost = Event::Link(LinkEvent { loss: Some(LinkLoss::Silent), ..lost });
            let state = testing::state(vec![relayed()]);
            Answer::from(Reply::Done).then([state, joined("carol"), joined("bob"), lost, done])
        }
        _ => Reply::Done.into(),
    });
    let outcome = user.ffctl(&["send", "bob", "a"]).done();
    assert_eq!(outcome.stderr, "sending to bob: relayed: no direct path\n");

    let outcome = user.ffctl(&["send", "--json", "bob", "a"]).done();
    let lines = outcome.json();
    assert_eq!(lines[1]["why_relayed"]["code"], "no_path");
    let links: Vec<_> = lines.iter().filter(|line| line["event"] == "link").collect();
    assert_eq!(links.len(), 2, "{links:?}");
    assert_eq!((&links[0]["change"], &links[0]["kind"]), (&"joined".into(), &"direct".into()));
    assert_eq!((&links[1]["change"], &links[1]["loss"]), (&"lost".into(), &"silent".into()));
    assert_eq!(links[0]["transfer"], relayed().id);
}

#[test]
fn watching_tells_of_links_in_words() {
    let user = User::new();
    let daemon = user.daemon(|call| match call {
        Call::Watch => {
            let lost = event("bob", LinkChange::Lost, LinkKind::Direct);
            let in_use = event("bob", LinkChange::InUse, LinkKind::Relayed);
            Answer::from(Reply::Done).then([
                testing::state(Vec::new()),
                Event::Transfer(relayed()),
                Event::Link(event("bob", LinkChange::Joined, LinkKind::Lan)),
                Event::Link(LinkEvent { loss: Some(LinkLoss::Broken), ..lost }),
                Event::Link(LinkEvent { why_relayed: Some(why()), ..in_use }),
            ])
        }
        _ => Reply::Done.into(),
    });
    let expected = "this is alice, registered\n\
        transfer 00112233 to bob: active, 33% of 2.9 KiB, 500 B/s, relayed: no direct path\n\
        bob: a lan link came up\n\
        bob: a direct link is gone: it broke\n\
        bob: the relayed link is in use: no direct path\n";
    assert_eq!(user.reads_until(&["watch"], expected), expected);
    daemon.next_call();
}
