//! Requests.

use std::path::Path;

use super::*;

/// A request with id 7 looks like this, but for the id.
#[track_caller]
fn assert_call(call: Call, rest: &str) {
    assert_line(&Request { id: 7, call }, &format!(r#"{{"id":7,{rest}}}"#));
}

fn bob() -> String {
    "bob".to_owned()
}

#[test]
fn calls_without_parameters() {
    assert_call(Call::Status, r#""method":"status""#);
    assert_call(Call::Doctor, r#""method":"doctor""#);
    assert_call(Call::Requests, r#""method":"requests""#);
    assert_call(Call::Invite, r#""method":"invite""#);
    assert_call(Call::Contacts, r#""method":"contacts""#);
    assert_call(Call::ConfigList, r#""method":"config_list""#);
    assert_call(Call::Watch, r#""method":"watch""#);
    assert_call(Call::Shutdown, r#""method":"shutdown""#);
}

#[test]
fn registration() {
    assert_call(
        Call::Register { name: bob(), server: "[::1]:7835#ab".to_owned() },
        r##""method":"register","params":{"name":"bob","server":"[::1]:7835#ab"}"##,
    );
}

#[test]
fn transfers() {
    assert_call(
        Call::Send {
            to: bob(),
            paths: vec![Path::new("/a b\n").into()],
            no_queue: false,
            options: SendOptions::default(),
        },
        r#""method":"send","params":{"to":"bob","paths":["/a b\n"]}"#,
    );
    assert_call(
        Call::Send {
            to: bob(),
            paths: Vec::new(),
            no_queue: true,
            options: SendOptions::default(),
        },
        r#""method":"send","params":{"to":"bob","paths":[],"no_queue":true}"#,
    );
    let options =
        SendOptions { exclude: vec!["*.o".to_owned()], limit: Some(1 << 20), ..Default::default() };
    assert_call(
        Call::Send { to: bob(), paths: Vec::new(), no_queue: false, options: options.clone() },
        r#""method":"send","params":{"to":"bob","paths":[],"exclude":["*.o"],"limit":1048576}"#,
    );
    assert_call(
        Call::SendStream {
            to: bob(),
            name: "x".to_owned(),
            no_queue: true,
            options: options.clone(),
        },
        r#""method":"send_stream","params":{"to":"bob","name":"x","no_queue":true,"exclude":["*.o"],"limit":1048576}"#,
    );
    let (text, name, options_of_text) = ("hi".to_owned(), "n".to_owned(), SendOptions::default());
    assert_call(
        Call::SendText { to: bob(), text, name, no_queue: false, options: options_of_text },
        r#""method":"send_text","params":{"to":"bob","text":"hi","name":"n"}"#,
    );
    assert_call(
        Call::Survey { paths: Vec::new(), options },
        r#""method":"survey","params":{"paths":[],"exclude":["*.o"],"limit":1048576}"#,
    );
    assert_call(
        Call::Transfer { id: "00ff".to_owned() },
        r#""method":"transfer","params":{"id":"00ff"}"#,
    );
    assert_call(Call::Transfers { all: true }, r#""method":"transfers","params":{"all":true}"#);
    let id = || "00ff".to_owned();
    assert_call(Call::Cancel { id: id() }, r#""method":"cancel","params":{"id":"00ff"}"#);
    assert_call(Call::Retry { id: id() }, r#""method":"retry","params":{"id":"00ff"}"#);
    assert_call(Call::Decline { id: id() }, r#""method":"decline","params":{"id":"00ff"}"#);
    let accept = |to, always| Call::Accept { id: id(), to, always, seen: None };
    assert_call(accept(None, false), r#""method":"accept","params":{"id":"00ff"}"#);
    assert_call(
        accept(Some(Path::new("/in").into()), true),
        r#""method":"accept","params":{"id":"00ff","to":"/in","always":true}"#,
    );
    let seen = Some(Offer { files: 2, bytes: 10, total_known: true });
    assert_call(
        Call::Accept { id: id(), to: None, always: false, seen },
        concat!(
            r#""method":"accept","params":{"id":"00ff","#,
            r#""seen":{"files":2,"bytes":10,"total_known":true}}"#,
        ),
    );
    assert_call(
        Call::RequestShow { id: id(), offset: 500, limit: MAX_PAGE },
        r#""method":"request_show","params":{"id":"00ff","offset":500,"limit":500}"#,
    );
}

#[test]
fn contacts() {
    assert_call(
        Call::ContactAdd { link: "filefleet:x".to_owned() },
        r#""method":"contact_add","params":{"link":"filefleet:x"}"#,
    );
    let params = r#""params":{"name":"bob"}"#;
    for (call, method) in [
        (Call::ContactShow { name: bob() }, "contact_show"),
        (Call::ContactVerify { name: bob() }, "contact_verify"),
        (Call::ContactRemove { name: bob() }, "contact_remove"),
    ] {
        assert_call(call, &format!(r#""method":"{method}",{params}"#));
    }
}

#[test]
fn a_change_is_absent_null_or_a_value() {
    let set = |dir, max_size| Call::ContactSet {
        name: bob(),
        accept: None,
        dir,
        max_size,
        overwrite: None,
    };
    assert_call(
        set(Change::Keep, Change::Keep),
        r#""method":"contact_set","params":{"name":"bob"}"#,
    );
    assert_call(
        set(Change::Clear, Change::Set(u64::MAX)),
        r#""method":"contact_set","params":{"name":"bob","dir":null,"max_size":18446744073709551615}"#,
    );
    let dir = Change::Set(Path::new("/in").into());
    let accept = Some(Accept::Always);
    assert_call(
        Call::ContactSet {
            name: bob(),
            accept,
            dir,
            max_size: Change::Keep,
            overwrite: Some(true),
        },
        r#""method":"contact_set","params":{"name":"bob","accept":"always","dir":"/in","overwrite":true}"#,
    );
}

#[test]
fn identity() {
    let passphrase = || Passphrase::new("swordfish");
    assert_call(
        Call::IdentityExport { passphrase: passphrase() },
        r#""method":"identity_export","params":{"passphrase":"swordfish"}"#,
    );
    assert_call(
        Call::IdentityImport { pem: "-----".to_owned(), passphrase: passphrase() },
        r#""method":"identity_import","params":{"pem":"-----","passphrase":"swordfish"}"#,
    );
}

#[test]
fn settings() {
    let key = || "relay".to_owned();
    assert_call(
        Call::ConfigGet { key: key() },
        r#""method":"config_get","params":{"key":"relay"}"#,
    );
    assert_call(
        Call::ConfigSet { key: key(), value: "false".to_owned() },
        r#""method":"config_set","params":{"key":"relay","value":"false"}"#,
    );
}

#[cfg(unix)]
#[test]
fn a_path_that_is_no_text_is_hex() {
    use std::os::unix::ffi::OsStrExt;
    let file_path = Path::new(std::ffi::OsStr::from_bytes(b"/\xff"));
    assert_line(&WirePath::from(file_path), r#"{"hex":"2fff"}"#);
    for wrong in [r#"{"hex":"2"}"#, r#"{"hex":"2x"}"#, r#"{"hex":"é"}"#, r#"{"hex":"+1"}"#, "7"] {
        assert!(serde_json::from_str::<WirePath>(wrong).is_err(), "{wrong}");
    }
}
