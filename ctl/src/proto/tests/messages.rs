//! What the daemon says.

use std::path::Path;

use super::*;
use crate::testing;

const STATUS: &str = concat!(
    r#"{"name":"alice","identity":"3f2a 91bc","device":"laptop","server":"example.org:7835","#,
    r#""registered":true,"registration_error":null,"transfers":[],"requests":0,"#,
    r#""received_dir":"/home/alice/Downloads","lan_discovery":true,"warnings":[],"version":"0.0.0-fake","pid":4711}"#,
);

const TRANSFER: &str = concat!(
    r#"{"id":"00112233445566778899aabbccddeeff","direction":"outgoing","peer":"bob","#,
    r#""state":"active","label":"holiday","files":3,"files_done":1,"bytes":3000,"#,
    r#""bytes_done":1000,"files_there":0,"bytes_there":0,"files_replaced":0,"files_beside":0,"sent_bytes":1000,"received_bytes":0,"total_known":true,"rate":500,"link":"direct","#,
    r#""links":{"direct":2000,"relayed":1000},"seconds":1.5,"started_at":1700000000,"#,
    r#""detail":null,"error":null,"reason":null,"next_try":null,"failures":[],"dest":null}"#,
);

const DOCTOR: &str = concat!(
    r#"{"findings":[{"check":"udp","level":"ok","message":"the server answers by UDP"},"#,
    r#"{"check":"nat","level":"warn","message":"the NAT is strict","hint":"turn on UPnP"}],"#,
    r#""outlook":"some people are reached through the relay only","network":{"nat":"strict","#,
    r#""mapping":"dependent","filtering":"port_dependent","public":["192.0.2.1:7"],"mapped":null,"#,
    r#""udp":true,"tcp":null,"ipv6":null,"round_trip":0.25,"clock_offset":null}}"#,
);

const REQUEST: &str = concat!(
    r#"{"id":"00ff","from":"bob","identity":"77aa","known":true,"verified":false,"#,
    r#""device":"desk","files":2,"bytes":10,"total_known":false,"names":["a","b"],"#,
    r#""received_at":1700000000}"#,
);

const CONTACT: &str = concat!(
    r#"{"name":"bob","server":"example.org:7835","identity":"77aa","verified":true,"#,
    r#""accept":"ask","dir":"/in","max_size":1024,"overwrite":false,"online":true,"near":false,"#,
    r#""safety_phrase":"one two","warning":null}"#,
);

fn request() -> RequestView {
    RequestView {
        id: "00ff".to_owned(),
        from: "bob".to_owned(),
        identity: "77aa".to_owned(),
        known: true,
        verified: false,
        device: "desk".to_owned(),
        files: 2,
        bytes: 10,
        total_known: false,
        names: vec!["a".to_owned(), "b".to_owned()],
        text: None,
        update: false,
        received_at: 1_700_000_000,
    }
}

fn contact() -> ContactView {
    ContactView {
        name: "bob".to_owned(),
        server: Some("example.org:7835".to_owned()),
        identity: "77aa".to_owned(),
        verified: true,
        accept: Accept::Ask,
        dir: Some(Path::new("/in").into()),
        max_size: Some(1024),
        overwrite: false,
        online: Some(true),
        near: false,
        safety_phrase: Some("one two".to_owned()),
        warning: None,
    }
}

#[track_caller]
fn assert_reply(reply: Reply, json: &str) {
    let line = format!(r#"{{"type":"response","id":7,"result":{{"ok":{json}}}}}"#);
    assert_line(&Message::Response(Response { id: 7, result: Ok(reply) }), &line);
}

#[track_caller]
fn assert_event(event: Event, json: &str) {
    assert_line(&Message::Event(event), &format!(r#"{{"type":"event",{json}}}"#));
}

#[test]
fn hello() {
    let hello = Hello { version: 1, daemon: "0.1.0".to_owned(), pid: 4711 };
    let line = r#"{"type":"hello","version":1,"daemon":"0.1.0","pid":4711}"#;
    assert_line(&Message::Hello(hello), line);
}

#[test]
fn errors() {
    let error = ControlError::new(ErrorCode::NoSuchTransfer, "no transfer has the id 7");
    let response = Response { id: 7, result: Err(error.clone()) };
    assert_line(
        &Message::Response(response),
        concat!(
            r#"{"type":"response","id":7,"result":{"error":{"code":"no_such_transfer","#,
            r#""message":"no transfer has the id 7"}}}"#,
        ),
    );
    assert_line(
        &error.with_hint("look"),
        r#"{"code":"no_such_transfer","message":"no transfer has the id 7","hint":"look"}"#,
    );
}

#[test]
fn replies() {
    assert_reply(Reply::Done, r#"{"reply":"done"}"#);
    assert_reply(
        Reply::Status(testing::status()),
        &format!(r#"{{"reply":"status","data":{STATUS}}}"#),
    );
    assert_reply(
        Reply::Doctor(Box::new(testing::doctor())),
        &format!(r#"{{"reply":"doctor","data":{DOCTOR}}}"#),
    );
    assert_reply(
        Reply::SendStarted { transfer: "00ff".to_owned() },
        r#"{"reply":"send_started","data":{"transfer":"00ff"}}"#,
    );
    assert_reply(Reply::Ready, r#"{"reply":"ready"}"#);
    assert_reply(
        Reply::Requests(vec![request()]),
        &format!(r#"{{"reply":"requests","data":[{REQUEST}]}}"#),
    );
    assert_reply(
        Reply::Transfers(vec![testing::transfer(TransferState::Active)]),
        &format!(r#"{{"reply":"transfers","data":[{TRANSFER}]}}"#),
    );
    assert_reply(
        Reply::Transfer(Box::new(testing::transfer(TransferState::Active))),
        &format!(r#"{{"reply":"transfer","data":{TRANSFER}}}"#),
    );
    assert_reply(
        Reply::Invite { link: "filefleet:x".to_owned() },
        r#"{"reply":"invite","data":{"link":"filefleet:x"}}"#,
    );
    assert_reply(Reply::Contact(contact()), &format!(r#"{{"reply":"contact","data":{CONTACT}}}"#));
    assert_reply(
        Reply::Contacts(vec![contact()]),
        &format!(r#"{{"reply":"contacts","data":[{CONTACT}]}}"#),
    );
    assert_reply(
        Reply::Identity { pem: "-----\n".to_owned() },
        r#"{"reply":"identity","data":{"pem":"-----\n"}}"#,
    );
}

#[test]
fn pages_of_a_manifest() {
    let entry = |path: &str, kind, size| EntryView { path: path.to_owned(), kind, size };
    let entries = vec![
        entry("d", EntryKind::Dir, 0),
        entry("d/f", EntryKind::File, 5),
        entry("d/l", EntryKind::Symlink, 0),
    ];
    assert_reply(
        Reply::RequestPage(RequestPage { entries, total: 9, complete: false }),
        concat!(
            r#"{"reply":"request_page","data":{"entries":[{"path":"d","kind":"dir","size":0},"#,
            r#"{"path":"d/f","kind":"file","size":5},{"path":"d/l","kind":"symlink","size":0}],"#,
            r#""total":9,"complete":false}}"#,
        ),
    );
}

#[test]
fn a_survey() {
    let skip = FileFailure { path: "/t/pipe".to_owned(), message: "no file".to_owned() };
    let survey = SurveyView {
        files: 3,
        bytes: 9,
        folders: 2,
        links: 1,
        excluded: 1,
        excluded_paths: vec![Path::new("/t/o").into()],
        skipped: 1,
        skips: vec![skip],
    };
    assert_reply(
        Reply::Survey(survey),
        concat!(
            r#"{"reply":"survey","data":{"files":3,"bytes":9,"folders":2,"links":1,"excluded":1,"#,
            r#""excluded_paths":["/t/o"],"skipped":1,"#,
            r#""skips":[{"path":"/t/pipe","message":"no file"}]}}"#,
        ),
    );
}

const SETTING: &str = r#"{"key":"relay","value":"true","is_default":true,"help":"use the relay"}"#;

fn setting() -> Setting {
    Setting {
        key: "relay".to_owned(),
        value: "true".to_owned(),
        is_default: true,
        help: "use the relay".to_owned(),
    }
}

#[test]
fn settings() {
    assert_reply(Reply::Setting(setting()), &format!(r#"{{"reply":"setting","data":{SETTING}}}"#));
    assert_reply(
        Reply::Settings(vec![setting()]),
        &format!(r#"{{"reply":"settings","data":[{SETTING}]}}"#),
    );
}

#[test]
fn events() {
    assert_event(
        testing::state(vec![testing::transfer(TransferState::Active)]),
        &format!(
            r#""event":"state","data":{{"status":{STATUS},"transfers":[{TRANSFER}],"requests":[],"contacts":[],"settings":[]}}"#
        ),
    );
    assert_event(
        Event::Transfer(testing::transfer(TransferState::Active)),
        &format!(r#""event":"transfer","data":{TRANSFER}"#),
    );
    assert_event(Event::Request(request()), &format!(r#""event":"request","data":{REQUEST}"#));
    assert_event(
        Event::RequestGone { id: "00ff".to_owned() },
        r#""event":"request_gone","data":{"id":"00ff"}"#,
    );
    assert_event(Event::Contact(contact()), &format!(r#""event":"contact","data":{CONTACT}"#));
    assert_event(
        Event::ContactGone { name: "bob".to_owned() },
        r#""event":"contact_gone","data":{"name":"bob"}"#,
    );
    assert_event(
        Event::Registration {
            name: Some("alice".to_owned()),
            server: None,
            registered: false,
            error: Some("no route".to_owned()),
        },
        r#""event":"registration","data":{"name":"alice","server":null,"registered":false,"error":"no route"}"#,
    );
    assert_event(Event::Setting(setting()), &format!(r#""event":"setting","data":{SETTING}"#));
    assert_event(
        Event::Warning { message: "mind".to_owned() },
        r#""event":"warning","data":{"message":"mind"}"#,
    );
}

fn why_relayed() -> WhyRelayed {
    WhyRelayed { code: RelayedCode::NoPath, message: "no way".to_owned() }
}

#[test]
fn a_relayed_transfer_says_why() {
    let mut transfer = testing::transfer(TransferState::Active);
    transfer.why_relayed = Some(why_relayed());
    let why = r#""detail":null,"why_relayed":{"code":"no_path","message":"no way"},"error""#;
    let json = TRANSFER.replace(r#""detail":null,"error""#, why);
    assert_event(Event::Transfer(transfer), &format!(r#""event":"transfer","data":{json}"#));
}

#[test]
fn changes_of_links() {
    let event = |change, kind| {
        let (peer, loss, why_relayed) = ("bob".to_owned(), None, None);
        LinkEvent { peer, change, kind, loss, why_relayed }
    };
    assert_event(
        Event::Link(event(LinkChange::Joined, LinkKind::Direct)),
        r#""event":"link","data":{"peer":"bob","change":"joined","kind":"direct"}"#,
    );
    let lost = event(LinkChange::Lost, LinkKind::Lan);
    assert_event(
        Event::Link(LinkEvent { loss: Some(LinkLoss::Silent), ..lost }),
        r#""event":"link","data":{"peer":"bob","change":"lost","kind":"lan","loss":"silent"}"#,
    );
    let in_use = event(LinkChange::InUse, LinkKind::Relayed);
    assert_event(
        Event::Link(LinkEvent { why_relayed: Some(why_relayed()), ..in_use }),
        concat!(
            r#""event":"link","data":{"peer":"bob","change":"in_use","kind":"relayed","#,
            r#""why_relayed":{"code":"no_path","message":"no way"}}"#,
        ),
    );
}

#[test]
fn reasons_of_the_future_are_understood_as_reasons() {
    let why: WhyRelayed = serde_json::from_str(r#"{"code":"snow","message":"it snows"}"#).unwrap();
    assert_eq!((why.code, why.message.as_str()), (RelayedCode::Other, "it snows"));
    assert_eq!(serde_json::from_str::<LinkLoss>(r#""snow""#).unwrap(), LinkLoss::Other);
    assert_eq!(serde_json::from_str::<Check>(r#""weather""#).unwrap(), Check::Other);
}

#[test]
fn the_words_of_small_enums() {
    let words = |values: &[serde_json::Value]| {
        values.iter().map(|value| value.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    use TransferState::*;
    let states = [Queued, Waiting, Active, Paused, Done, Failed, Declined, Cancelled];
    assert_eq!(
        words(&states.map(|state| serde_json::to_value(state).unwrap())),
        "queued waiting active paused done failed declined cancelled"
    );
    let links = [LinkKind::Lan, LinkKind::Direct, LinkKind::Relayed];
    assert_eq!(words(&links.map(|link| serde_json::to_value(link).unwrap())), "lan direct relayed");
    use RelayedCode::*;
    let reasons = [
        NotAcceptedYet,
        UdpBlocked,
        Searching,
        GuessingPorts,
        LanIsolated,
        NoPath,
        DirectSlower,
        DirectSilent,
    ];
    assert_eq!(
        words(&reasons.map(|code| serde_json::to_value(code).unwrap())),
        "not_accepted_yet udp_blocked searching guessing_ports lan_isolated no_path \
         direct_slower direct_silent"
    );
    use LinkLoss::{Broken, ClosedByPeer, SessionOver, Silent, Surplus};
    let losses = [Silent, Surplus, ClosedByPeer, Broken, SessionOver];
    assert_eq!(
        words(&losses.map(|loss| serde_json::to_value(loss).unwrap())),
        "silent surplus closed_by_peer broken session_over"
    );
    let accepts = [Accept::Always, Accept::Ask, Accept::Never];
    assert_eq!(words(&accepts.map(|it| serde_json::to_value(it).unwrap())), "always ask never");
    let directions = [Direction::Outgoing, Direction::Incoming];
    assert_eq!(words(&directions.map(|it| serde_json::to_value(it).unwrap())), "outgoing incoming");
}
