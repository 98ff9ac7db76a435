//! Several transfers at the same time.

use crate::support::{Pair, Server, User, hash_of, write_random};

#[test]
fn two_users_send_to_each_other_at_the_same_moment() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    alice.accept("bob", "always");
    let (here, there) = (alice.file("from alice"), bob.file("from bob"));
    write_random(&here, 8 << 20);
    write_random(&there, 8 << 20);
    let (to_bob, to_alice) = (alice.send("bob", &[&here]), bob.send("alice", &[&there]));
    to_bob.done();
    to_alice.done();
    assert_eq!(hash_of(&bob.received().join("from alice")), hash_of(&here));
    assert_eq!(hash_of(&alice.received().join("from bob")), hash_of(&there));
}

#[test]
fn one_user_sends_to_three_at_once() {
    let server = Server::start();
    let alice = User::registered("alice", &server);
    let others = ["bob", "carol", "dave"].map(|name| (name, User::registered(name, &server)));
    let source = alice.file("for all");
    write_random(&source, 8 << 20);
    let sendings = others.each_ref().map(|(name, user)| {
        user.accept("alice", "always");
        alice.send(name, &[&source])
    });
    for sending in sendings {
        sending.done();
    }
    for (_, user) in &others {
        assert_eq!(hash_of(&user.received().join("for all")), hash_of(&source));
    }
}

#[test]
fn several_transfers_to_one_person_run_side_by_side() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    let names = ["one", "two", "three", "four"];
    let sendings = names.map(|name| {
        write_random(&alice.file(name), 2 << 20);
        alice.send("bob", &[&alice.file(name)])
    });
    for sending in sendings {
        sending.done();
    }
    for name in names {
        assert_eq!(hash_of(&bob.received().join(name)), hash_of(&alice.file(name)));
    }
}
