//! What a stranger learns before somebody accepts: no address, and nothing is probed for him.

use std::{io::ErrorKind, net::UdpSocket};

use filefleet_ctl::proto::Call;

use super::{raw::RawLink, speaker::request, support::Scene};
use crate::{
    connect::{
        candidate::{Candidate, CandidateKind},
        offer::{Offer, Secret, Tag},
    },
    peer::{
        frame::{Kind, Message as Numbered},
        tests::support::{keys, soon},
    },
    transfer::{
        Reason, TransferId,
        proto::{Answer, Envelope, Message},
    },
};

fn engine(message: &Numbered) -> Envelope {
    assert_eq!(message.kind, Kind::ENGINE);
    Envelope::decode(&message.body).unwrap().unwrap()
}

#[tokio::test]
async fn a_stranger_learns_no_address_and_draws_no_probe_before_somebody_accepts() {
    let scene = Scene::start().await;
    let (device_key, certificate) = keys("mallory", 66);
    let mut link = RawLink::greeted(&scene.mallory, &device_key, &certificate).await;
    let victim = UdpSocket::bind("127.0.0.1:0").unwrap();
    victim.set_nonblocking(true).unwrap();
    let victim = tokio::net::UdpSocket::from_std(victim).unwrap();
    let candidate = Candidate { kind: CandidateKind::Host, address: victim.local_addr().unwrap() };
    let offer = Offer {
        tag: Tag(1),
        secret: Secret([1; 16]),
        generation: 0,
        candidates: vec![candidate],
        mapping: None,
    };
    let id = TransferId::random();
    link.say(Kind::SIGNAL, offer.encode()).await;
    link.say_of(id, request(1)).await;
    link.say(Kind::SIGNAL, Offer { generation: 1, ..offer }.encode()).await;
    link.say_of(id, Message::Answer(Answer::Accept { instance: 0, compares: false })).await;
    // Messages of all kinds are numbered together: between these two answers there was nothing else.
    let (first, second) = (link.hear_message().await, link.hear_message().await);
    assert_eq!((first.seq, second.seq), (0, 1));
    assert_eq!(engine(&first).message, Message::Answer(Answer::Waiting));
    let unknown = Message::Cancel { reason: Reason::Unknown, text: String::new() };
    assert_eq!(engine(&second).message, unknown);
    let nothing = victim.try_recv_from(&mut [0; 2_048]).map_err(|error| error.kind());
    assert_eq!(nothing, Err(ErrorKind::WouldBlock));

    // Accepted, he learns where Bob is and is looked for where he says.
    scene.bob.done(Call::Accept { id: id.to_string(), to: None, always: false, seen: None }).await;
    let heard = loop {
        let message = link.hear_message().await;
        if message.kind == Kind::SIGNAL {
            break Offer::decode(message.body).unwrap();
        }
        assert!(matches!(engine(&message).message, Message::Answer(Answer::Accept { .. })));
    };
    assert!(!heard.candidates.is_empty());
    soon(victim.recv_from(&mut [0; 2_048])).await.unwrap();
    link.say_of(id, Message::Cancel { reason: Reason::Cancelled, text: String::new() }).await;
    scene.bob.ended(id).await;
    scene.finish().await;
}

#[tokio::test]
async fn a_declined_stranger_learns_no_address() {
    let scene = Scene::start().await;
    let (device_key, certificate) = keys("mallory", 66);
    let mut link = RawLink::greeted(&scene.mallory, &device_key, &certificate).await;
    let id = TransferId::random();
    link.say_of(id, request(1)).await;
    assert_eq!(engine(&link.hear_message().await).message, Message::Answer(Answer::Waiting));
    scene.bob.done(Call::Decline { id: id.to_string() }).await;
    let declined = link.hear_message().await;
    let refusal = Answer::Decline { reason: Reason::Declined, text: String::new() };
    assert_eq!((declined.seq, engine(&declined).message), (1, Message::Answer(refusal.clone())));
    // Asked again, he is answered from the records, and still nothing else is said.
    link.say_of(id, request(1)).await;
    let again = link.hear_message().await;
    assert_eq!((again.seq, engine(&again).message), (2, Message::Answer(refusal)));
    assert!(scene.bob.requests().await.is_empty());
    scene.finish().await;
}
