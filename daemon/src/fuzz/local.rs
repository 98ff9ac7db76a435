//! What local programs say, and what people paste: control lines, paths in them, invite links.

use filefleet_ctl::proto::{
    Call, Change, Event, Hello, Message, Reply, Request, Response, WirePath, frame,
};

use super::engine::fuzz;
use crate::control::invite;

fn without_line_feed(mut line: Vec<u8>) -> Vec<u8> {
    assert_eq!(line.pop(), Some(b'\n'));
    line
}

#[test]
fn requests_of_clients() {
    let text = |text: &str| text.to_owned();
    let calls = [
        Call::Status,
        Call::Transfers { all: true },
        Call::Cancel { id: text("00ff") },
        Call::ContactAdd { link: text("filefleet:") },
        Call::ContactSet {
            name: text("bob"),
            accept: None,
            dir: Change::Set(WirePath("/tmp".into())),
            max_size: Change::Clear,
            overwrite: Some(true),
        },
        Call::ConfigGet { key: text("received-dir") },
    ];
    let seeds = calls.map(|call| without_line_feed(frame::encode(&Request { id: 7, call })));
    fuzz("requests of clients", seeds.into(), |line| {
        let Ok(request) = serde_json::from_slice::<Request>(line) else { return false };
        let again = frame::encode(&request);
        assert_eq!(serde_json::from_slice::<Request>(&again).unwrap(), request);
        true
    });
}

#[test]
fn messages_of_a_daemon() {
    let response = Response { id: 7, result: Ok(Reply::Done) };
    let seeds = [
        Message::Hello(Hello::new("0.1.0")),
        Message::Response(response),
        Message::Event(Event::RequestGone { id: "00ff".to_owned() }),
    ];
    let seeds = seeds.iter().map(|message| without_line_feed(frame::encode(message))).collect();
    fuzz("messages of a daemon", seeds, |line| {
        let Ok(Some(message)) = Message::decode(line) else { return false };
        assert_eq!(Message::decode(&frame::encode(&message)).unwrap(), Some(message));
        true
    });
}

#[test]
fn paths_in_control_lines() {
    let seeds = [&br#""/tmp/x""#[..], br#"{"hex":"2f746d70ff"}"#];
    fuzz("paths in control lines", seeds.map(<[u8]>::to_vec).into(), |line| {
        let Ok(file_path) = serde_json::from_slice::<WirePath>(line) else { return false };
        let again = serde_json::to_vec(&file_path).unwrap();
        assert_eq!(serde_json::from_slice::<WirePath>(&again).unwrap(), file_path);
        true
    });
}

#[test]
fn invite_links() {
    let (key, pin) = ("09".repeat(32), "ab".repeat(32));
    let seeds = [
        format!("filefleet:example.org:7835/bob?identity={key}"),
        format!("filefleet:[::1]:7000/bob?identity={key}&pin={pin}"),
    ];
    fuzz("invite links", seeds.map(String::into_bytes).into(), |bytes| {
        let Ok(link) = str::from_utf8(bytes) else { return false };
        let Ok(invite) = invite::parse(link) else { return false };
        assert_eq!(invite::parse(&invite.to_string()).unwrap(), invite);
        true
    });
}
