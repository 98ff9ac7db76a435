//! Streams that bring nothing.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    speaker::{Speaker, all_there, block_of, zeros},
    support::Scene,
};
use crate::{
    peer::{CloseReason, SessionClosed},
    transfer::{
        hash::{self, BLOCK},
        proto::Message,
    },
};

/// Twice as long as Bob waits for the next part of a stream.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_stream_that_brings_no_more_ends_the_session_and_the_transfer_goes_on_in_another() {
    let mut scene = Scene::with_trusted_mallory().await;
    let speaker = Speaker::accepted(&mut scene.mallory).await;
    let size = 2 * BLOCK;
    let sent = |block| zeros(0, 0, block, size);
    let bytes_of = |speaker: &Speaker, block| {
        let (header, content) = sent(block);
        block_of(speaker.to(), &header, &content)
    };
    speaker.start(0, 0, "film", size).await;
    let whole = bytes_of(&speaker, 0);
    let closed = loop {
        let (mut half, _turn) = match speaker.got.session.open_stream().await {
            Ok((_, _, stream, turn)) => (stream, turn),
            Err(SessionClosed(reason)) => break reason,
        };
        let _ = half.write_all(&whole[..whole.len() / 2]).await;
        // Where the machine is busy a link may be given up for another, and its streams with it.
        let _ = timeout(LIMIT, half.stopped()).await.expect("it is not waited for so long");
    };
    assert_eq!(closed, CloseReason::Idle);

    let mut speaker = speaker.again(&mut scene.mallory).await;
    speaker.start(0, 0, "film", size).await;
    let mut cvs = Vec::new();
    for block in 0..2 {
        cvs.push(sent(block).0.cv);
        speaker.stream(&bytes_of(&speaker, block)).await;
    }
    let root = hash::root(size, &cvs).unwrap();
    speaker.say(Message::End { file: 0, revision: 0, root }).await;
    speaker.finish(1).await;
    assert_eq!(speaker.complete().await.last(), Some(&all_there(1, size)));
    scene.expect("film", vec![0; usize::try_from(size).unwrap()]);
    scene.finish().await;
}
