//! Frames of a link that break its rules.

use bytes::Bytes;

use super::{raw::RawLink, support::Scene};
use crate::peer::{
    close::CloseCode,
    frame::{Frame, Hello, Kind, Message},
    tests::support::keys,
};

/// Bytes that end a link, and with it the session.
fn breaches() -> Vec<Vec<u8>> {
    let (_, certificate) = keys("mallory", 66);
    let message = |seq, body: &[u8]| {
        let body = Bytes::copy_from_slice(body);
        Frame::Message(Message { seq, kind: Kind::ENGINE, body }).encode().concat()
    };
    let hello = Frame::Hello(Hello { incarnation: 2, certificate }).encode().concat();
    vec![
        // 4 GiB, and one byte too many.
        vec![2, 0xff, 0xff, 0xff, 0xff, 0],
        vec![2, 0, 1, 0, 1, 0],
        // A length of an unknown type is bounded too.
        vec![99, 0xff, 0xff, 0xff, 0xff, 0],
        // Cut short.
        vec![2, 0, 0, 0, 3, 1, 2, 3],
        vec![3, 0, 0, 0, 0],
        vec![1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1],
        // A greeting in the middle.
        hello,
        // What was never said is acknowledged.
        Frame::Ack(u64::MAX).encode().concat(),
        Frame::Ack(1_000).encode().concat(),
        // Numbers from far ahead.
        message(512, b"far"),
        message(u64::MAX, b"far"),
        // In its turn, but no message.
        message(0, b""),
    ]
}

#[tokio::test]
async fn a_frame_that_breaks_the_rules_ends_the_session() {
    let scene = Scene::start().await;
    let (device_key, certificate) = keys("mallory", 66);
    for bytes in breaches() {
        let mut link = RawLink::greeted(&scene.mallory, &device_key, &certificate).await;
        link.write(&bytes).await;
        assert_eq!(link.closed().await, Some(CloseCode::Protocol), "{bytes:?}");
    }
    scene.finish().await;
}

#[tokio::test]
async fn messages_that_leave_a_gap_are_bounded() {
    let scene = Scene::start().await;
    let (device_key, certificate) = keys("mallory", 66);
    let mut link = RawLink::greeted(&scene.mallory, &device_key, &certificate).await;
    // Number 0 never comes: 1 MiB and a little is kept.
    let body = Bytes::from(vec![0xee; 60 * 1_024]);
    for seq in 1..400 {
        link.frame(&Frame::Message(Message { seq, kind: Kind::ENGINE, body: body.clone() })).await;
        if link.connection.close_reason().is_some() {
            break;
        }
    }
    assert_eq!(link.closed().await, Some(CloseCode::Protocol));
    scene.finish().await;
}

#[tokio::test]
async fn who_does_not_greet_first_gets_nothing() {
    let scene = Scene::start().await;
    let (device_key, _) = keys("mallory", 66);
    let message = Message { seq: 0, kind: Kind::ENGINE, body: Bytes::from_static(b"hi") };
    for bytes in [Frame::Message(message), Frame::Ack(0)].map(|frame| frame.encode().concat()) {
        let mut link = RawLink::open(&scene.mallory, &device_key).await;
        link.write(&bytes).await;
        assert_eq!(link.closed().await, Some(CloseCode::Protocol), "{bytes:?}");
    }
    scene.finish().await;
}
