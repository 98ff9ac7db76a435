//! Destinations that are not there, from the beginning or any more.

use crate::support::Pair;

#[test]
fn a_destination_that_is_gone_is_named_as_such() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    let gone = bob.file("gone");
    let set_dir = ["contacts", "set", "alice", "--dir", gone.to_str().unwrap()];
    bob.ffctl(&set_dir).done();
    let sending = alice.send("bob", &[&alice.note("letter")]);
    sending.failed(1, "permission_denied").told("the destination folder does not exist");
    assert!(!gone.exists());
    assert_eq!(bob.received_names(), [""; 0]);
}

/// Elsewhere nobody can remove a folder that is in use.
#[cfg(unix)]
mod removed {
    use std::fs;

    use crate::support::{Pair, hash_of, write_random};

    #[test]
    fn a_destination_that_is_removed_in_the_middle_is_named_and_what_was_sent_can_be_sent_again() {
        let pair = Pair::trusting();
        let Pair { alice, bob, .. } = &pair;
        let dest = bob.file("dest");
        fs::create_dir(&dest).unwrap();
        let set_dir = ["contacts", "set", "alice", "--dir", dest.to_str().unwrap()];
        bob.ffctl(&set_dir).done();
        let source = alice.file("large");
        write_random(&source, 6 << 20);
        let mut sending = alice.send_with(&["--limit", "2M"], "bob", &[&source]);
        let id = sending.id();
        sending.halfway();
        fs::remove_dir_all(&dest).unwrap();
        sending.failed(1, "permission_denied").told("the destination folder does not exist");
        for user in [alice, bob] {
            let transfer = &user.transfers()[0];
            assert_eq!((&transfer["id"], &transfer["state"]), (&(*id).into(), &"failed".into()));
        }
        let told = bob.ffctl(&["transfers", "--all"]).done().stdout.join("\n");
        assert!(told.contains("the destination folder does not exist"), "{told}");
        fs::create_dir(&dest).unwrap();
        let mut watching = alice.watch();
        alice.ffctl(&["retry", &id]).done();
        watching.until("transfer", |transfer| transfer["state"] == "done");
        assert_eq!(hash_of(&dest.join("large")), hash_of(&source));
    }
}
