//! How every message looks on the wire, byte for byte, and that nothing read can harm.
#![allow(clippy::unwrap_used)]

mod calls;
mod messages;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

/// A message looks like this, and what looks like this is the message.
#[track_caller]
fn assert_line<T>(message: &T, line: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(String::from_utf8(frame::encode(message)).unwrap(), format!("{line}\n"));
    assert_eq!(&serde_json::from_str::<T>(line).unwrap(), message);
}

#[test]
fn kinds_that_are_not_known_are_skipped() {
    for line in [
        r#"{"type":"weather","sun":true}"#,
        r#"{"type":"event","event":"contact_married","data":{"name":"bob"}}"#,
    ] {
        assert_eq!(Message::decode(line.as_bytes()).unwrap(), None, "{line}");
    }
}

#[test]
fn known_kinds_must_be_right() {
    for line in [
        "",
        "null",
        r#"{"event":"request_gone"}"#,
        r#"{"type":"event"}"#,
        r#"{"type":"event","event":"request_gone","data":{}}"#,
        r#"{"type":"response","id":-1,"result":{"ok":{"reply":"done"}}}"#,
        r#"{"type":"hello","version":1}"#,
    ] {
        assert!(Message::decode(line.as_bytes()).is_err(), "{line}");
    }
}

#[test]
fn fields_that_are_not_known_are_ignored() {
    let line = r#"{"type":"hello","version":1,"daemon":"9.9","pid":7,"mood":"good"}"#;
    let hello = Hello { version: 1, daemon: "9.9".to_owned(), pid: 7 };
    assert_eq!(Message::decode(line.as_bytes()).unwrap(), Some(Message::Hello(hello)));
}

#[test]
fn error_codes_of_the_future_are_understood_as_errors() {
    let line = r#"{"code":"eaten_by_dog","message":"the dog ate it"}"#;
    let error: ControlError = serde_json::from_str(line).unwrap();
    assert_eq!(error, ControlError::new(ErrorCode::Unknown, "the dog ate it"));
}

#[test]
fn passphrases_are_not_shown() {
    let call = Call::IdentityExport { passphrase: Passphrase::new("swordfish") };
    assert!(!format!("{call:?}").contains("swordfish"));
}

#[test]
fn every_known_event_is_in_the_list_of_kinds() {
    let line = serde_json::to_string(&Message::Event(crate::testing::state(Vec::new()))).unwrap();
    assert!(line.starts_with(r#"{"type":"event","event":"state","#), "{line}");
    let error = serde_json::from_str::<Event>(r#"{"event":"none of them"}"#).unwrap_err();
    for kind in Event::KINDS {
        assert!(error.to_string().contains(&format!("`{kind}`")), "{error}");
    }
    assert_eq!(error.to_string().matches('`').count(), 2 * (Event::KINDS.len() + 1));
}

/// Text that has something of a message, so that decoding goes deep.
fn message_like() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "type",
        "hello",
        "response",
        "event",
        "id",
        "method",
        "params",
        "result",
        "ok",
        "error",
        "data",
        "send",
        "paths",
        "hex",
        "transfer",
        "state",
        "reply",
        "status",
        "code",
        "null",
        "18446744073709551616",
        "-1",
        "1e999",
        "zz",
        "\\ud800",
        "",
    ]);
    let value = prop_oneof![
        word.clone().prop_map(|word| format!("\"{word}\"")),
        word.clone().prop_map(str::to_owned),
        Just("[]".to_owned()),
    ];
    value.prop_recursive(4, 64, 6, move |inner| {
        let field =
            (word.clone(), inner.clone()).prop_map(|(key, value)| format!("\"{key}\":{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(field, 0..6)
                .prop_map(|fields| format!("{{{}}}", fields.join(","))),
        ]
    })
}

fn decode_everything(line: &[u8]) {
    let _message = Message::decode(line);
    let _request = serde_json::from_slice::<Request>(line);
    let _path = serde_json::from_slice::<WirePath>(line);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(line in prop::collection::vec(any::<u8>(), 0..512)) {
        decode_everything(&line);
    }

    #[test]
    fn what_looks_like_a_message_never_panics(line in message_like()) {
        decode_everything(line.as_bytes());
    }

    #[test]
    fn every_text_survives_in_one_line(to in any::<String>(), id in any::<u64>()) {
        let request = Request { id, call: Call::Send { to, paths: Vec::new(), no_queue: false, options: SendOptions::default() } };
        let line = frame::encode(&request);
        prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        prop_assert_eq!(serde_json::from_slice::<Request>(&line).unwrap(), request);
    }

    #[cfg(unix)]
    #[test]
    fn every_path_survives(bytes in prop::collection::vec(1_u8.., 0..64)) {
        use std::os::unix::ffi::OsStringExt;
        let file_path = std::path::PathBuf::from(std::ffi::OsString::from_vec(bytes));
        let line = frame::encode(&WirePath(file_path.clone()));
        prop_assert_eq!(serde_json::from_slice::<WirePath>(&line).unwrap().0, file_path);
    }
}
