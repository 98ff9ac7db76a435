//! What those who watch are told of links, and why there is no better one.

use serde_json::Value;

use crate::support::Pair;

#[test]
fn a_request_that_waits_says_that_nobody_has_told_an_address_and_then_each_link_is_told() {
    let mut pair = Pair::strangers();
    let (mut alices, mut bobs) = (pair.alice.watch(), pair.bob.watch());
    let sending = pair.alice.send("bob", &[&pair.alice.note("letter")]);
    let code = |transfer: &Value| transfer["why_relayed"]["code"] == "not_accepted_yet";
    let waiting = alices.until("transfer", code);
    assert_eq!((&waiting["state"], &waiting["link"]), (&"waiting".into(), &"relayed".into()));

    let request = bobs.request();
    pair.bob.ffctl(&["accept", &request]).done();
    for (change, kind) in [("joined", "lan"), ("in_use", "lan")] {
        alices.until("link", |link| link["change"] == change && link["kind"] == kind);
    }
    let done = sending.done();
    assert_eq!(done["files"], 1);

    pair.bob.stop().done();
    let lost = alices.until("link", |link| link["change"] == "lost");
    assert_eq!((&lost["peer"], lost["loss"].is_string()), (&"bob".into(), true), "{lost}");
}
