//! Transfers that are not one's own, or of which nobody has heard.

use filefleet_ctl::proto::TransferState;

use super::{
    speaker::{Speaker, all_there, block_of, file, pack, request, request_of, zeros},
    support::Scene,
};
use crate::{
    peer::{CloseReason, tests::support::User},
    transfer::{
        Reason, TransferId,
        hash::BLOCK,
        proto::{Ack, Answer, Envelope, Message, Totals},
    },
};

/// One message of each kind, as far as it makes sense to say it about something unknown.
fn all_messages() -> Vec<Message> {
    vec![
        Message::Totals(Totals::default()),
        Message::Answer(Answer::Waiting),
        Message::Answer(Answer::Decline { reason: Reason::Declined, text: "no".into() }),
        Message::End { file: 0, revision: 0, root: [0; 32] },
        Message::Acked(vec![Ack::Pack { number: 0 }, Ack::File { file: 0, revision: 0 }]),
        Message::Delivered { files: u64::MAX, bytes: u64::MAX },
        Message::FileFailed {
            file: 0,
            reason: Reason::Other,
            text: "\u{1b}[2J".into(),
            name: "\u{1b}]0;".into(),
        },
        Message::Finish { entries: 0 },
        all_there(u64::MAX, u64::MAX),
        Message::PageQuery { offset: u64::MAX, limit: u16::MAX },
        Message::Page { offset: 0, last: true, entries: Vec::new() },
        Message::Cancel { reason: Reason::Cancelled, text: "\u{7}".into() },
    ]
}

/// What is answered to one who has no such transfer.
fn unknown(transfer: TransferId) -> Envelope {
    Envelope { transfer, message: Message::Cancel { reason: Reason::Unknown, text: String::new() } }
}

#[tokio::test]
async fn nobody_can_speak_for_anothers_transfer() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut carol = User::start("carol", 3, &scene.server).await;
    scene.bob.trust("carol").await;
    let mut hers = Speaker::accepted(&mut carol).await;
    hers.start(0, 0, "carols", 2 * BLOCK).await;
    let stolen = hers.id;

    let mut thief = Speaker::accepted(&mut scene.mallory).await;
    for message in all_messages() {
        thief.say_of(stolen, message).await;
    }
    // Asked for in the same way as by its owner, it is unknown.
    thief.say_of(stolen, request(1)).await;
    assert_eq!(thief.hear_any().await, unknown(stolen));
    // Streams of either kind are stopped, not read.
    thief.is_stopped(&pack(stolen, 0, &[file(1, "trojan", b"trojan")])).await;
    let (header, content) = zeros(0, 0, 0, 2 * BLOCK);
    thief.is_stopped(&block_of(stolen, &header, &content)).await;

    // Hers goes on as if nothing had been.
    let (text, name) = (String::new(), String::new());
    hers.say(Message::FileFailed { file: 0, reason: Reason::SourceChanged, text, name }).await;
    hers.pack(0, &[file(1, "letter", b"dear bob")]).await;
    hers.finish(2).await;
    let heard = hers.complete().await;
    assert_eq!(heard.last(), Some(&all_there(1, 8)), "{heard:?}");
    scene.expect("letter", "dear bob");
    // So does the thief's own.
    thief.finish(0).await;
    thief.complete().await;
    // What is over is not told to others either.
    thief.say_of(stolen, request(1)).await;
    assert_eq!(thief.hear_any().await, unknown(stolen));
    scene.finish().await;
}

#[tokio::test]
async fn nobody_learns_of_or_withdraws_anothers_waiting_request() {
    let mut scene = Scene::start().await;
    let mut carol = User::start("carol", 3, &scene.server).await;
    let mut hers = Speaker::call(&mut carol).await;
    hers.say(request(1)).await;
    assert_eq!(hers.hear().await, Message::Answer(Answer::Waiting));
    let before = scene.bob.requests().await;

    let mut thief = Speaker::call(&mut scene.mallory).await;
    for message in all_messages() {
        thief.say_of(hers.id, message).await;
    }
    thief.say_of(hers.id, request(u64::MAX)).await;
    // Answered in order: what came before has been dealt with.
    thief.say(Message::Answer(Answer::Accept { instance: 1, compares: false })).await;
    assert_eq!(thief.hear_any().await, unknown(thief.id));
    assert_eq!(scene.bob.requests().await, before);
    scene.finish().await;
}

#[tokio::test]
async fn words_and_streams_about_unknown_transfers_change_nothing() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::call(&mut scene.mallory).await;
    for message in all_messages() {
        speaker.say(message).await;
    }
    speaker.start(0, 0, "unknown", 2 * BLOCK).await;
    speaker.is_stopped(&pack(speaker.to(), 0, &[file(0, "unknown", b"unknown")])).await;
    // Bob never offered it: it is not known, and nothing is sent.
    speaker.say(Message::Answer(Answer::Accept { instance: 0, compares: false })).await;
    assert_eq!(speaker.hear_any().await, unknown(speaker.id));
    assert!(speaker.got.streams.try_recv().is_err());
    scene.finish().await;
}

#[tokio::test]
async fn a_stranger_who_waits_for_an_answer_cannot_send() {
    let mut scene = Scene::start().await;
    let mut speaker = Speaker::call(&mut scene.mallory).await;
    speaker.say(request(1)).await;
    assert_eq!(speaker.hear().await, Message::Answer(Answer::Waiting));
    speaker.is_stopped(&pack(speaker.to(), 0, &[file(0, "impatient", b"impatient")])).await;
    speaker.start(1, 0, "impatient", 2 * BLOCK).await;
    speaker.finish(1).await;
    assert_eq!(scene.bob.requests().await.len(), 1);
    scene.finish().await;
}

#[tokio::test]
async fn malformed_messages_end_the_session() {
    let mut scene = Scene::with_trusted_mallory().await;
    let id = [7; 16];
    let malformed: [Vec<u8>; 10] = [
        vec![],
        vec![16],
        [&[16][..], &id].concat(),
        // Entries that are not there, more than there may be, and of no kind.
        [&[16][..], &id, &[0; 17], &[0, 5]].concat(),
        [&[16][..], &id, &[0; 17], &[0xff, 0xff]].concat(),
        [&[16][..], &id, &[0; 17], &[0, 1], &[9; 40]].concat(),
        // Neither true nor false, no answer, a text beyond its end, bytes left over.
        [&[17][..], &id, &[2; 17]].concat(),
        [&[18][..], &id, &[77]].concat(),
        [&[26][..], &id, &[10, 0xff, 0xff], b"bye"].concat(),
        [&[24][..], &id, &[0; 8], b"more"].concat(),
    ];
    for bytes in malformed {
        let speaker = Speaker::accepted(&mut scene.mallory).await;
        speaker.say_bytes(bytes.clone()).await;
        assert_eq!(speaker.closed().await, CloseReason::Protocol, "{bytes:?}");
        assert_eq!(scene.bob.ended(speaker.id).await.state, TransferState::Failed);
    }
    scene.finish().await;
}

#[tokio::test]
async fn malformed_streams_end_session_and_transfer() {
    let mut scene = Scene::with_trusted_mallory().await;
    for kind in [0, 1, 2, 3, 0xff] {
        for len in [0, 1, 9, 10, 48, 512 * 1_024 + 1, u32::MAX] {
            let speaker = Speaker::accepted(&mut scene.mallory).await;
            // A table of 10 or 48 bytes is in order as such, but not that of a pack of 65,535 entries.
            let prefix = [&[kind][..], &speaker.id.0, &len.to_be_bytes(), &[0xff; 64]].concat();
            speaker.stream(&prefix).await;
            assert_eq!(speaker.closed().await, CloseReason::Protocol, "{kind} {len}");
            scene.bob.ended(speaker.id).await;
        }
    }
    scene.finish().await;
}

#[tokio::test]
async fn messages_of_a_later_version_are_skipped() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    for number in [0, 15, 99, 0xff] {
        speaker.say_bytes([&[number][..], &speaker.id.0, b"whatever"].concat()).await;
    }
    speaker.finish(0).await;
    speaker.complete().await;
    scene.finish().await;
}

#[tokio::test]
async fn a_request_that_is_said_twice_is_taken_once() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::call(&mut scene.mallory).await;
    for round in 0..20 {
        speaker.id = TransferId::random();
        for _ in 0..3 {
            speaker.say(request_of(Vec::new())).await;
        }
        let name = format!("letter {round}");
        scene.expect(&name, "dear bob");
        let transfer = speaker.id;
        let instance = loop {
            match speaker.hear_any().await {
                Envelope {
                    transfer: of,
                    message: Message::Answer(Answer::Accept { instance, .. }),
                } if of == transfer => {
                    break instance;
                }
                _ => {}
            }
        };
        speaker.begin(instance).await;
        speaker.pack(0, &[file(0, &name, b"dear bob")]).await;
        speaker.finish(1).await;
        assert_eq!(scene.bob.ended(transfer).await.state, TransferState::Done);
    }
    scene.finish().await;
}
