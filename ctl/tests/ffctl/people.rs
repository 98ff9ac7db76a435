//! Commands about people: requests, contacts, identity.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use filefleet_ctl::proto::{
    Accept, Call, Change, ContactView, EntryKind, EntryView, Passphrase, Reply, RequestPage,
    RequestView,
};
use serde_json::json;

use crate::support::{Outcome, User};

fn request(id: &str, from: &str) -> RequestView {
    RequestView {
        id: id.to_owned(),
        from: from.to_owned(),
        identity: "77aa".to_owned(),
        known: true,
        verified: false,
        device: "desk".to_owned(),
        files: 2,
        bytes: 2048,
        total_known: false,
        names: vec!["a b".to_owned(), "evil\u{1b}[2J\n".to_owned()],
        text: None,
        update: false,
        received_at: 1_700_000_000,
    }
}

fn contact() -> ContactView {
    ContactView {
        name: "bob".to_owned(),
        server: None,
        identity: "77aa".to_owned(),
        verified: false,
        accept: Accept::Ask,
        dir: None,
        max_size: Some(20 << 30),
        overwrite: false,
        online: Some(true),
        near: false,
        safety_phrase: Some("one two".to_owned()),
        warning: None,
    }
}

#[test]
fn requests_are_listed_and_answered_by_a_part_of_their_id() {
    let user = User::new();
    let daemon = user.daemon(|call| match call {
        Call::Requests => {
            Reply::Requests(vec![request("3f2a", "bob"), request("3e00", "eve")]).into()
        }
        _ => Reply::Done.into(),
    });
    let outcome = user.ffctl(&["requests", "--json"]).done();
    let requests = &outcome.json()[0]["requests"];
    assert_eq!((&requests[0]["id"], &requests[0]["from"]), (&json!("3f2a"), &json!("bob")));
    assert_eq!((&requests[0]["files"], &requests[0]["bytes"]), (&json!(2), &json!(2048)));
    let shown = user.ffctl(&["requests"]).done().stdout;
    assert!(shown.contains(r#"at least 2 files, 2.0 KiB  "a b" "evil\u{1b}[2J\n""#), "{shown}");
    assert!(shown.contains("3f2a  bob (contact)"), "{shown}");

    user.ffctl(&["accept", "3f", "--to", "in", "--always"]).done();
    user.ffctl(&["decline", "3e"]).done();
    let ambiguous = user.ffctl(&["accept", "3"]);
    ambiguous.failed(2, "ffctl: more than one id begins with 3\nhint: type more of it\n");
    let to = Some(user.folder().join("in").into());
    let calls: Vec<_> =
        (0..6).map(|_| daemon.next_call()).filter(|call| *call != Call::Requests).collect();
    let accepted = Call::Accept { id: "3f2a".to_owned(), to, always: true, seen: None };
    assert_eq!(calls, [accepted, Call::Decline { id: "3e00".to_owned() }]);
}

#[test]
fn a_whole_manifest_is_shown_page_by_page() {
    let user = User::new();
    let names = ["d", "d/f\n", "d/l"];
    let kinds = [EntryKind::Dir, EntryKind::File, EntryKind::Symlink];
    let _daemon = user.daemon(move |call| match call {
        Call::RequestShow { offset, .. } => {
            // One entry a page, whatever was asked for.
            let index = usize::try_from(*offset).unwrap();
            let path = names[index].to_owned();
            let entries = vec![EntryView { path, kind: kinds[index], size: 1536 }];
            Reply::RequestPage(RequestPage { entries, total: 3, complete: true }).into()
        }
        _ => Reply::Requests(vec![request("3f2a", "bob")]).into(),
    });
    assert_eq!(
        user.ffctl(&["requests", "show", "3f2a"]).done().stdout,
        "     folder  d/\n    1.5 KiB  d/f\\n\n       link  d/l\n"
    );
    let lines = user.ffctl(&["requests", "show", "3f2a", "--json"]).done().json();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[1]["path"], "d/f\n");
    assert_eq!(lines[3], json!({"schema_version": 1, "total": 3, "complete": true}));
}

#[test]
fn who_is_near_is_shown_as_such() {
    let user = User::new();
    let near = || ContactView { online: Some(false), near: true, ..contact() };
    let _daemon = user.daemon(move |call| match call {
        Call::Contacts => Reply::Contacts(vec![near()]).into(),
        _ => Reply::Contact(near()).into(),
    });
    assert_eq!(
        user.ffctl(&["contacts"]).done().stdout,
        "NAME  ONLINE  ACCEPT  VERIFIED\nbob   near    ask     no\n"
    );
    let shown = user.ffctl(&["contacts", "show", "bob"]).done().stdout;
    assert!(shown.contains("online         near: on a network of this computer\n"), "{shown}");
    let shown = &user.ffctl(&["contacts", "show", "bob", "--json"]).done().json()[0];
    assert_eq!((&shown["near"], &shown["online"]), (&json!(true), &json!(false)));
}

#[test]
fn contacts_are_listed_and_shown() {
    let user = User::new();
    let _daemon = user.daemon(|call| match call {
        Call::Contacts => Reply::Contacts(vec![contact()]).into(),
        _ => Reply::Contact(contact()).into(),
    });
    assert_eq!(
        user.ffctl(&["contacts"]).done().stdout,
        "NAME  ONLINE  ACCEPT  VERIFIED\nbob   yes     ask     no\n"
    );
    let shown = "name           bob\n\
        fingerprint    77aa\n\
        safety phrase  one two\n\
        verified       no\n\
        online         yes\n\
        accept         ask\n\
        may replace    no\n\
        max size       20.0 GiB\n";
    for arguments in [
        &["contacts", "show", "bob"][..],
        &["contacts", "verify", "bob"],
        &["contacts", "add", "filefleet:x"],
        &["contacts", "set", "bob", "--accept", "ask"],
    ] {
        assert_eq!(user.ffctl(arguments).done().stdout, shown, "{arguments:?}");
    }
    let outcome = user.ffctl(&["contacts", "show", "bob", "--json"]).done();
    assert_eq!(outcome.json()[0]["identity"], "77aa");
    assert_eq!(user.ffctl(&["contacts", "--json"]).json()[0]["contacts"][0]["name"], "bob");
}

#[test]
fn what_a_contact_may_do_is_set() {
    let user = User::new();
    let daemon = user.daemon_that_says(Reply::Contact(contact()));
    let name = || "bob".to_owned();
    let dir = user.folder().join("in");
    for (arguments, accept, dir, max_size) in [
        (&["--accept", "never"][..], Some(Accept::Never), Change::Keep, Change::Keep),
        (
            &["--dir", "in", "--max-size", "20G"],
            None,
            Change::Set(dir.into()),
            Change::Set(20 << 30),
        ),
        (&["--default-dir", "--max-size", "none"], None, Change::Clear, Change::Clear),
    ] {
        user.ffctl(&[&["contacts", "set", "bob"], arguments].concat()).done();
        assert_eq!(
            daemon.next_call(),
            Call::ContactSet { name: name(), accept, dir, max_size, overwrite: None }
        );
    }
    for (word, overwrite) in [("yes", true), ("no", false)] {
        user.ffctl(&["contacts", "set", "bob", "--overwrite", word]).done();
        let Call::ContactSet { overwrite: set, .. } = daemon.next_call() else { panic!() };
        assert_eq!(set, Some(overwrite));
    }
    user.ffctl(&["contacts", "remove", "bob"]).done();
    assert_eq!(daemon.next_call(), Call::ContactRemove { name: name() });
}

#[test]
fn an_identity_is_exported_and_imported_under_a_passphrase() {
    let user = User::new();
    let daemon = user.daemon(|call| match call {
        Call::IdentityExport { .. } => Reply::Identity { pem: "-----\n".to_owned() }.into(),
        _ => Reply::Done.into(),
    });
    fs::write(user.dir.path().join("secret"), "sword fish\r\nmore\n").unwrap();
    let passphrase = || Passphrase::new("sword fish");
    let option = ["--passphrase-file", "secret"];
    user.ffctl(&[&["identity", "export", "me.pem"][..], &option].concat()).done();
    assert_eq!(daemon.next_call(), Call::IdentityExport { passphrase: passphrase() });
    let file_path = user.dir.path().join("me.pem");
    assert_eq!(fs::read_to_string(&file_path).unwrap(), "-----\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file_path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // What exists is not overwritten.
    let outcome = user.ffctl(&[&["identity", "export", "me.pem"][..], &option].concat());
    assert_eq!(outcome.exit_code, 1);
    daemon.next_call();
    user.ffctl(&[&["identity", "import", "me.pem"][..], &option].concat()).done();
    let pem = "-----\n".to_owned();
    assert_eq!(daemon.next_call(), Call::IdentityImport { pem, passphrase: passphrase() });
}

#[test]
fn an_empty_passphrase_is_refused() {
    let user = User::new();
    let _daemon = user.daemon(|_| panic!("asked"));
    let arguments = ["identity", "export", "--passphrase-file", "-"];
    user.ffctl(&arguments).failed(2, "ffctl: the passphrase is empty\n");
}

#[test]
fn passphrases_come_from_standard_input_too() {
    let user = User::new();
    let daemon = user.daemon_that_says(Reply::Identity { pem: "-----\n".to_owned() });
    let mut command = user.command(&["identity", "export", "--passphrase-file", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"swordfish").unwrap();
    assert_eq!(Outcome::from(child.wait_with_output().unwrap()).done().stdout, "-----\n");
    let passphrase = Passphrase::new("swordfish");
    assert_eq!(daemon.next_call(), Call::IdentityExport { passphrase });
}
