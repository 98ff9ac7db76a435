//! Direct links beside the relayed one.

use bytes::Bytes;

use super::{
    super::{LinkChange, LinkKind, LinkView, close::CloseCode},
    support::{Got, TestServer, User, kinds, soon},
};
use crate::connect::obstacle::Obstacle;

async fn pair(server: &TestServer) -> (User, User, Got, Got) {
    let mut alice = User::start("alice", 1, server).await;
    let mut bob = User::start("bob", 2, server).await;
    alice.call("bob").await;
    let (at_alice, at_bob) = (alice.got().await, bob.got().await);
    (alice, bob, at_alice, at_bob)
}

fn is_direct(links: &[LinkView]) -> bool {
    links.first().is_some_and(|link| link.kind == LinkKind::Lan)
        && links.iter().any(|link| link.kind == LinkKind::Relayed)
}

/// Breaks a link without a word that would say why.
fn cut(link: &LinkView) {
    link.connection.close(999_u32.into(), b"");
}

#[tokio::test]
async fn a_direct_link_comes_up_and_is_preferred() {
    let server = TestServer::start();
    let (_alice, _bob, at_alice, mut at_bob) = pair(&server).await;
    at_bob.session.allow_direct();
    at_alice.links(is_direct).await;
    at_bob.links(is_direct).await;
    let (_, kind, mut stream, _) = soon(at_alice.session.open_stream()).await.unwrap();
    assert_eq!(kind, LinkKind::Lan);
    stream.write_all(b"x").await.unwrap();
    assert_eq!(soon(at_bob.streams.recv()).await.unwrap().kind, LinkKind::Lan);
}

#[tokio::test]
async fn strangers_stay_behind_the_relay_until_allowed() {
    let server = TestServer::start();
    let (_alice, _bob, mut at_alice, mut at_bob) = pair(&server).await;
    // Alice's offer was her first message; these come after it.
    for _ in 0..20 {
        at_alice.session.send(Bytes::from_static(b"ping")).await.unwrap();
        at_bob.hear().await;
        at_bob.session.send(Bytes::from_static(b"pong")).await.unwrap();
        at_alice.hear().await;
    }
    assert_eq!(kinds(&at_alice.session.links().borrow()), [LinkKind::Relayed]);
    assert_eq!(kinds(&at_bob.session.links().borrow()), [LinkKind::Relayed]);
    at_bob.session.allow_direct();
    at_alice.links(is_direct).await;
}

#[tokio::test]
async fn a_session_says_why_it_has_no_better_link_and_what_happens_to_its_links() {
    let server = TestServer::start();
    let (_alice, _bob, at_alice, at_bob) = pair(&server).await;
    let alices = &at_alice.session;
    soon(async {
        while alices.obstacle() != Some(Obstacle::NotAcceptedYet) {
            alices.obstacle_other_than(alices.obstacle()).await;
        }
    })
    .await;
    at_bob.session.allow_direct();
    soon(async {
        while alices.obstacle().is_some() {
            alices.obstacle_other_than(alices.obstacle()).await;
        }
    })
    .await;
    let mut log = alices.link_log();
    let in_use = LinkChange::InUse(LinkKind::Lan, None);
    let log = soon(log.wait_for(|log| log.since(&mut 0).last() == Some(&in_use))).await;
    let changes = log.unwrap().since(&mut 0);
    let [first, second, third, _] = changes[..] else { panic!("{changes:?}") };
    assert_eq!(first, LinkChange::Joined(LinkKind::Relayed));
    assert!(matches!(second, LinkChange::InUse(LinkKind::Relayed, Some(_))), "{changes:?}");
    assert_eq!(third, LinkChange::Joined(LinkKind::Lan));
}

#[tokio::test]
async fn messages_survive_the_death_of_a_link() {
    let server = TestServer::start();
    let (_alice, _bob, at_alice, mut at_bob) = pair(&server).await;
    at_bob.session.allow_direct();
    let links = at_alice.links(is_direct).await;
    let sending = async {
        for n in 0..500_u32 {
            if n == 250 {
                cut(&links[0]);
            }
            let message = Bytes::copy_from_slice(&n.to_be_bytes());
            soon(at_alice.session.send(message)).await.unwrap();
        }
    };
    let hearing = async {
        for n in 0..500_u32 {
            assert_eq!(at_bob.hear().await, n.to_be_bytes()[..]);
        }
    };
    tokio::join!(sending, hearing);
}

#[tokio::test]
async fn a_direct_link_that_works_spares_the_relay() {
    let server = TestServer::start();
    let (_alice, _bob, at_alice, mut at_bob) = pair(&server).await;
    at_bob.session.allow_direct();
    let links = at_bob.links(is_direct).await;
    at_alice.links(is_direct).await;
    let relayed = links.iter().find(|link| link.kind == LinkKind::Relayed).unwrap();
    let said = || relayed.connection.stats().frame_tx.stream;
    // What was said when the links came up is over when a message costs the relay nothing.
    let spares_it = async {
        loop {
            let before = said();
            for _ in 0..50 {
                at_alice.session.send(Bytes::from_static(b"ping")).await.unwrap();
                at_bob.hear().await;
            }
            if said() < before + 10 {
                break;
            }
        }
    };
    soon(spares_it).await;
    // But it is told in the end.
    let before = said();
    at_alice.session.send(Bytes::from_static(b"ping")).await.unwrap();
    at_bob.hear().await;
    at_bob.links(|_| said() > before).await;
}

#[tokio::test]
async fn a_dead_direct_link_comes_back() {
    let server = TestServer::start();
    let (_alice, _bob, at_alice, at_bob) = pair(&server).await;
    at_bob.session.allow_direct();
    for _ in 0..3 {
        let links = at_alice.links(is_direct).await;
        for link in links.iter().filter(|link| link.kind != LinkKind::Relayed) {
            cut(link);
        }
        at_alice.links(|now| links[0].id != now[0].id).await;
    }
    at_alice.links(is_direct).await;
    at_bob.links(is_direct).await;
}

#[tokio::test]
async fn a_held_session_gets_its_relayed_link_back() {
    let server = TestServer::start();
    let (_alice, _bob, at_alice, at_bob) = pair(&server).await;
    at_bob.session.allow_direct();
    let _guard = at_alice.session.hold();
    let links = at_alice.links(is_direct).await;
    let relayed = links.iter().find(|link| link.kind == LinkKind::Relayed).unwrap();
    cut(relayed);
    let id = relayed.id;
    at_alice.links(|links| links.iter().all(|link| link.id != id)).await;
    at_alice.links(is_direct).await;
    assert_eq!(at_bob.session.close_reason(), None);
}

#[tokio::test]
async fn a_direct_link_does_not_notice_that_the_server_is_restarted() {
    let mut server = TestServer::start();
    let (_alice, _bob, at_alice, mut at_bob) = pair(&server).await;
    at_bob.session.allow_direct();
    let _guard = at_alice.session.hold();
    let direct = at_alice.links(is_direct).await[0].id;
    server.restart().await;
    for _ in 0..100 {
        at_alice.session.send(Bytes::from_static(b"still here")).await.unwrap();
        at_bob.hear().await;
    }
    assert!(at_alice.session.links().borrow().iter().any(|link| link.id == direct));
    // The relay has forgotten the session, says so when asked, and is called again.
    at_alice.links(|links| kinds(links).contains(&LinkKind::Relayed)).await;
}

#[tokio::test]
async fn surplus_and_redundant_links_do_not_end_the_session() {
    let server = TestServer::start();
    let (_alice, _bob, at_alice, mut at_bob) = pair(&server).await;
    at_bob.session.allow_direct();
    let links = at_alice.links(is_direct).await;
    links[0].connection.close(CloseCode::Redundant.wire(), b"");
    at_alice.session.send(Bytes::from_static(b"on")).await.unwrap();
    assert_eq!(at_bob.hear().await, "on");
}
