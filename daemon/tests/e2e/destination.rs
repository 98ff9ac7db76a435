//! Destinations that are not there.

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
