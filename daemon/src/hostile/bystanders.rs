//! Peers that send a daemon after others: it asks nobody more than ten times who does not answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use filefleet_ctl::proto::Call;

use super::{raw::RawLink, speaker::request, support::Scene};
use crate::{
    connect::{
        allowance::MOST,
        candidate::{Candidate, CandidateKind, MAX_CANDIDATES},
        offer::{Offer, Secret, Tag},
    },
    peer::{
        frame::{Frame, Hello, Kind, Message as Numbered},
        tests::support::{keys, soon},
    },
    transfer::{
        Reason, TransferId,
        proto::{Answer, Envelope, Message},
    },
};

/// Who has nothing to do with it.
const BYSTANDER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
/// How often Mallory says where she is, each time as if she had moved.
const OFFERS: u32 = 40;

fn host(address: SocketAddr) -> Candidate {
    Candidate { kind: CandidateKind::Host, address }
}

#[tokio::test]
async fn a_peer_cannot_aim_more_than_ten_packets_at_anybody() {
    let scene = Scene::start().await;
    let mut bystanders = Vec::new();
    for _ in 1..MAX_CANDIDATES {
        let socket = UdpSocket::bind((BYSTANDER, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        bystanders.push(socket);
    }
    // Coming back gains her nothing.
    for incarnation in 1..=2 {
        aim(&scene, incarnation, &bystanders).await;
    }
    let (mut count, mut buffer) = (0, [0; 2_048]);
    for socket in bystanders {
        while socket.recv_from(&mut buffer).is_ok() {
            count += 1;
        }
    }
    assert_eq!(count, MOST);
    scene.finish().await;
}

fn is_waiting(message: &Numbered) -> bool {
    message.kind == Kind::ENGINE
        && Envelope::decode(&message.body).unwrap().unwrap().message
            == Message::Answer(Answer::Waiting)
}

/// Mallory gets something accepted, says that she is where others are, and waits until everybody has
/// been asked for her as often as anybody is.
async fn aim(scene: &Scene, incarnation: u8, bystanders: &[UdpSocket]) {
    let (device_key, certificate) = keys("mallory", 66);
    let mut link = RawLink::open(&scene.mallory, &device_key).await;
    link.frame(&Frame::Hello(Hello { incarnation: incarnation.into(), certificate })).await;
    assert!(matches!(link.hear().await, Frame::Hello(_)));
    let id = TransferId::random();
    link.say_of(id, request(1)).await;
    // She may be told first where Bob is, as she has been accepted before.
    while !is_waiting(&link.hear_message().await) {}
    scene.bob.done(Call::Accept { id: id.to_string(), to: None, always: false, seen: None }).await;

    // She does not answer either, but counts.
    let ip = Ipv4Addr::new(127, 0, 1, incarnation);
    let mallory = tokio::net::UdpSocket::bind((ip, 0)).await.unwrap();
    let named = bystanders.iter().map(|socket| host(socket.local_addr().unwrap()));
    let named: Vec<_> = named.chain([host(mallory.local_addr().unwrap())]).collect();
    for generation in 0..OFFERS {
        let (tag, secret) = (Tag(incarnation.into()), Secret([incarnation; 16]));
        let candidates = named.clone();
        let offer = Offer { tag, secret, generation, candidates, mapping: None };
        link.say(Kind::SIGNAL, offer.encode()).await;
    }
    // She is asked after everybody else, and last of all two seconds later.
    for _ in 0..MOST {
        soon(mallory.recv_from(&mut [0; 2_048])).await.unwrap();
    }
    link.say_of(id, Message::Cancel { reason: Reason::Cancelled, text: String::new() }).await;
    scene.bob.ended(id).await;
}
