//! An identity moves to another home, and its name with it.

use std::fs;

use crate::support::{Pair, User};

#[test]
fn an_identity_moves_with_its_name_and_is_recognised() {
    let mut pair = Pair::trusting();
    let (secret, export) = (pair.alice.file("secret"), pair.alice.file("alice.pem"));
    fs::write(&secret, "correct horse\n").unwrap();
    let (secret, export) = (secret.to_str().unwrap(), export.to_str().unwrap());
    let identity = pair.alice.status()["identity"].clone();
    let saved = ["identity", "export", export, "--passphrase-file", secret];
    pair.alice.ffctl(&saved).done();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(export).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let pem = fs::read_to_string(export).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{pem}");
    pair.alice.stop().done();

    let new_home = User::started();
    assert_ne!(new_home.status()["identity"], identity);
    let moved = ["identity", "import", export, "--passphrase-file", secret];
    new_home.ffctl(&moved).done();
    // Right after it, as a script would.
    new_home.register("alice", &pair.server).done();
    assert_eq!(new_home.status()["identity"], identity);
    new_home.send("bob", &[&new_home.note("from the new computer")]).done();
    assert_eq!(pair.bob.received_names(), ["from the new computer"]);
}

#[test]
fn a_wrong_passphrase_changes_nothing() {
    let user = User::started();
    let (secret, wrong, export) = (user.file("secret"), user.file("wrong"), user.file("id.pem"));
    fs::write(&secret, "right").unwrap();
    fs::write(&wrong, "wrong").unwrap();
    let [secret, wrong, export] = [&secret, &wrong, &export].map(|path| path.to_str().unwrap());
    let identity = user.status()["identity"].clone();
    user.ffctl(&["identity", "export", export, "--passphrase-file", secret]).done();
    let import = user.ffctl(&["identity", "import", export, "--passphrase-file", wrong]);
    import.failed(1).told("passphrase");
    assert_eq!(user.status()["identity"], identity);
}
