#![allow(clippy::unwrap_used)]
use ed25519_dalek::SigningKey;

use super::*;

const ORIGIN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn certificate(seed: u8) -> DeviceCertificate {
    let device = SigningKey::from_bytes(&[seed + 100; 32]).verifying_key().into();
    DeviceCertificate::issue(&SigningKey::from_bytes(&[seed; 32]), device, "device", 1, 0)
}

fn identity(seed: u8) -> IdentityKey {
    certificate(seed).identity()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn offer(session: u8) -> (Session, SessionKey) {
    (Session([session; 16]), SessionKey::from_bytes([8; 32]))
}

fn presence(seed: u8, online: bool) -> ServerFrame {
    ServerFrame::Presence { identity: identity(seed), online }
}

#[test]
fn presence_is_shown_between_mutual_contacts_only() {
    let registry = Registry::default();
    let mut alice = registry.join(name("alice"), certificate(1), ORIGIN);
    let mut bob = registry.join(name("bob"), certificate(2), ORIGIN);
    registry.set_contacts(&alice.ticket, true, [identity(2)]);
    assert!(alice.outbox.try_recv().is_err() && bob.outbox.try_recv().is_err());

    registry.set_contacts(&bob.ticket, true, [identity(1)]);
    assert_eq!(alice.outbox.try_recv().unwrap(), presence(2, true));
    assert_eq!(bob.outbox.try_recv().unwrap(), presence(1, true));

    registry.set_contacts(&bob.ticket, false, [identity(3)]);
    assert!(alice.outbox.try_recv().is_err());
    registry.set_contacts(&bob.ticket, true, [identity(3)]);
    assert_eq!(alice.outbox.try_recv().unwrap(), presence(2, false));

    registry.set_contacts(&bob.ticket, false, [identity(1)]);
    assert_eq!(alice.outbox.try_recv().unwrap(), presence(2, true));
    assert!(registry.leave(&bob.ticket));
    assert_eq!(alice.outbox.try_recv().unwrap(), presence(2, false));
}

#[test]
fn a_newer_registration_replaces_the_older() {
    let registry = Registry::default();
    let mut older = registry.join(name("alice"), certificate(1), ORIGIN);
    let newer = registry.join(name("alice"), certificate(1), ORIGIN);
    assert_eq!(older.ejected.try_recv().unwrap(), CloseCode::Replaced);
    assert!(!registry.leave(&older.ticket));
    let alice = Party { identity: identity(1), origin: ORIGIN };
    assert_eq!(registry.present(&name("alice")), Some(alice));
    assert!(registry.leave(&newer.ticket));
    assert_eq!(registry.present(&name("alice")), None);
}

#[test]
fn a_call_reaches_the_callee_and_a_refusal_the_caller() {
    let registry = Registry::default();
    let mut alice = registry.join(name("alice"), certificate(1), ORIGIN);
    let mut bob = registry.join(name("bob"), certificate(2), ORIGIN);
    let mallory = registry.join(name("mallory"), certificate(3), ORIGIN);
    let now = Instant::now();
    let told = registry.call(&alice.ticket, &name("bob"), offer(7), now).unwrap();
    assert_eq!((told.name, told.certificate), (name("bob"), certificate(2)));
    let ServerFrame::Incoming { call } = bob.outbox.try_recv().unwrap() else { panic!() };
    assert_eq!((call.name, &call.certificate), (name("alice"), &certificate(1)));

    let session = call.session.0;
    assert!(!registry.refuse(&mallory.ticket, session, RefuseReason::Blocked));
    assert!(registry.refuse(&bob.ticket, session, RefuseReason::Blocked));
    assert!(!registry.refuse(&bob.ticket, session, RefuseReason::Blocked));
    assert_eq!(
        alice.outbox.try_recv().unwrap(),
        ServerFrame::Refused { session: call.session, reason: RefuseReason::Blocked }
    );
}

#[test]
fn a_caller_who_finds_somebody_else_tells_the_callee() {
    let registry = Registry::default();
    let alice = registry.join(name("alice"), certificate(1), ORIGIN);
    let mut bob = registry.join(name("bob"), certificate(2), ORIGIN);
    registry.call(&alice.ticket, &name("bob"), offer(7), Instant::now()).unwrap();
    let ServerFrame::Incoming { call } = bob.outbox.try_recv().unwrap() else { panic!() };
    let (session, reason) = (call.session, RefuseReason::IdentityChanged);
    assert!(registry.refuse(&alice.ticket, session.0, reason));
    assert_eq!(bob.outbox.try_recv().unwrap(), ServerFrame::Refused { session, reason });
    assert!(!registry.refuse(&bob.ticket, session.0, reason));
}

#[test]
fn each_side_of_a_call_may_reveal_itself_to_the_other_and_to_nobody_else() {
    let registry = Registry::default();
    let mut alice = registry.join(name("alice"), certificate(1), ORIGIN);
    let bob = registry.join(name("bob"), certificate(2), ORIGIN);
    let mallory = registry.join(name("mallory"), certificate(3), ORIGIN);
    let call = registry.call(&alice.ticket, &name("bob"), offer(7), Instant::now()).unwrap();
    let (session, observed) = (call.session, "192.0.2.1:9".parse().unwrap());
    registry.reveal(&mallory.ticket, session, observed);
    registry.reveal(&bob.ticket, Session([1; 16]), observed);
    assert!(alice.outbox.try_recv().is_err());
    registry.reveal(&bob.ticket, session, observed);
    assert_eq!(alice.outbox.try_recv().unwrap(), ServerFrame::Revealed { session, observed });

    let mut bob_again = registry.join(name("bob"), certificate(2), ORIGIN);
    registry.reveal(&alice.ticket, session, observed);
    assert_eq!(bob_again.outbox.try_recv().unwrap(), ServerFrame::Revealed { session, observed });
    registry.reveal(&bob.ticket, session, observed);
    assert!(alice.outbox.try_recv().is_err(), "who was replaced says nothing more");
}

#[test]
fn nobody_calls_who_is_not_there_nor_after_being_replaced() {
    let registry = Registry::default();
    let alice = registry.join(name("alice"), certificate(1), ORIGIN);
    let now = Instant::now();
    assert!(registry.call(&alice.ticket, &name("bob"), offer(7), now).is_none());
    let _bob = registry.join(name("bob"), certificate(2), ORIGIN);
    let _newer = registry.join(name("alice"), certificate(1), ORIGIN);
    assert!(registry.call(&alice.ticket, &name("bob"), offer(7), now).is_none());
}

#[test]
fn calls_that_are_old_are_forgotten() {
    let registry = Registry::default();
    let alice = registry.join(name("alice"), certificate(1), ORIGIN);
    let bob = registry.join(name("bob"), certificate(2), ORIGIN);
    let now = Instant::now();
    registry.call(&alice.ticket, &name("bob"), offer(7), now).unwrap();
    registry.call(&alice.ticket, &name("bob"), offer(9), now + CALL_MEMORY).unwrap();
    assert!(!registry.refuse(&bob.ticket, [7; 16], RefuseReason::Busy));
    assert!(registry.refuse(&bob.ticket, [9; 16], RefuseReason::Busy));
    let inner = registry.lock();
    assert_eq!((inner.calls.parties.len(), inner.calls.order.len()), (0, 1));
}

#[test]
fn clients_that_do_not_read_are_shut_out_one_after_the_other() {
    let registry = Registry::default();
    let caller = registry.join(name("caller"), certificate(1), ORIGIN);
    let (first, second) = (name("first"), name("second"));
    let mut seats = [(&first, 2, 3), (&second, 3, 2)].map(|(name, seed, contact)| {
        let seat = registry.join(name.clone(), certificate(seed), ORIGIN);
        registry.set_contacts(&seat.ticket, true, [identity(contact)]);
        seat
    });
    let mut reached = [0, 0];
    for (name, reached) in [&first, &second].into_iter().zip(&mut reached) {
        // Whoever fills `first` pushes to `second`, whose outbox is not yet full, and so on.
        while registry.call(&caller.ticket, name, offer(7), Instant::now()).is_some() {
            *reached += 1;
        }
    }
    assert_eq!(reached, [OUTBOX_CAPACITY - 1, OUTBOX_CAPACITY - 2]);
    for seat in &mut seats {
        assert_eq!(seat.ejected.try_recv().unwrap(), CloseCode::TimedOut);
    }
    assert_eq!(registry.present(&first), None);
    assert_eq!(registry.present(&second), None);
}
