//! Floods, and streams that claim much and bring nothing: one peer alone holds up nobody else.

use tokio::task::JoinSet;

use super::{
    speaker::{Speaker, block_of, entry, pack_of, request, request_of, zeros},
    support::Scene,
};
use crate::{
    peer::CloseReason,
    transfer::{
        Reason, TransferId,
        entry::{EntryKind, RelPath},
        hash::BLOCK,
        proto::{Answer, Message, PackEntry, PackHeader, Preview, PreviewKind, Totals},
    },
};

/// More tasks than the daemon may have for one peer's messages.
const MANY_TASKS: usize = 400;

#[tokio::test]
async fn streams_that_bring_no_content_hold_up_nobody_else() {
    let mut scene = Scene::with_trusted_mallory().await;
    let speaker = Speaker::accepted(&mut scene.mallory).await;
    speaker.start(0, 0, "nothing", 64 * BLOCK).await;
    let mut open = Vec::new();
    for block in 0..16 {
        let (header, _) = zeros(0, 0, block, 64 * BLOCK);
        open.push(speaker.open(&block_of(speaker.to(), &header, b"")).await);
    }
    // Packs whose table alone takes half of what their content may.
    let long = vec!["x".repeat(250); 16].join("/");
    for number in 0..16 {
        let mut table = Vec::new();
        for n in 0..124 {
            let size = if n == 0 { BLOCK } else { 0 };
            let entry = entry(&long, EntryKind::File { size });
            PackEntry { index: 1 + 124 * number + n, entry, hash: [0; 32] }.put(&mut table);
        }
        let header = PackHeader::encode_table(number, 124, &table);
        open.push(speaker.open(&pack_of(speaker.to(), &header, b"")).await);
    }
    scene.still_serves().await;
    scene.still_serves().await;
    assert_eq!(open.len(), 32);
    scene.finish().await;
}

/// Sends 31 blocks of files that were never announced.
fn park_blocks(speaker: &Speaker, sending: &mut JoinSet<Option<()>>) {
    for file in 0..31 {
        let (header, content) = zeros(file, 0, 0, 2 * BLOCK);
        let (session, id) = (speaker.got.session.clone(), speaker.to());
        sending.spawn(async move {
            let (_, _, mut stream, _) = session.open_stream().await.ok()?;
            stream.write_all(&block_of(id, &header, &content)).await.ok()?;
            stream.finish().ok()?;
            stream.stopped().await.ok().map(drop)
        });
    }
}

#[tokio::test]
async fn blocks_that_wait_for_their_file_hold_up_nobody_else_and_not_for_long() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    let first = speaker.id;
    let mut sending = JoinSet::new();
    park_blocks(&speaker, &mut sending);
    // So many at least are there now; those for which there is no room wait.
    for _ in 0..15 {
        sending.join_next().await;
    }
    speaker.ask().await;
    park_blocks(&speaker, &mut sending);
    scene.still_serves().await;
    scene.still_serves().await;
    let of_first = async {
        loop {
            let heard = speaker.hear_any().await;
            if let (true, Message::Cancel { reason, .. }) = (heard.transfer == first, heard.message)
            {
                return reason;
            }
        }
    };
    assert_eq!(of_first.await, Reason::Protocol);
    scene.finish().await;
}

#[tokio::test]
async fn totals_that_change_all_the_time_pile_up_nowhere() {
    let mut scene = Scene::start().await;
    let mut speaker = Speaker::call(&mut scene.mallory).await;
    let preview = |n| Preview {
        path: RelPath::decode(format!("{n}").as_bytes()).unwrap(),
        kind: PreviewKind::File,
        size: n,
    };
    speaker.say(request_of((0..1_000).map(preview).collect())).await;
    assert_eq!(speaker.hear().await, Message::Answer(Answer::Waiting));
    let mut most = 0;
    for files in 0..3_000 {
        let totals = Totals { files, bytes: files, exact: true };
        speaker.say(Message::Totals(totals)).await;
        most = most.max(scene.bob.tasks());
    }
    assert!(most < MANY_TASKS, "{most} tasks");
    // The last word counts.
    speaker.say(Message::Answer(Answer::Accept { instance: 0, compares: false })).await;
    speaker.hear().await;
    assert_eq!(scene.bob.requests().await[0].files, 2_999);
    scene.finish().await;
}

#[tokio::test]
async fn who_asks_and_does_not_listen_is_hung_up_on() {
    let mut scene = Scene::with_trusted_mallory().await;
    let speaker = Speaker::call(&mut scene.mallory).await;
    let mut most = 0;
    for _ in 0..5_000 {
        if speaker.got.session.close_reason().is_some() {
            break;
        }
        // Each draws an answer.
        let message = Message::Answer(Answer::Accept { instance: 0, compares: false });
        speaker.say_of(TransferId::random(), message).await;
        most = most.max(scene.bob.tasks());
    }
    assert_eq!(speaker.closed().await, CloseReason::Protocol);
    assert!(most < MANY_TASKS, "{most} tasks");
    scene.finish().await;
}

#[tokio::test]
async fn the_fourth_request_of_a_stranger_is_refused_and_so_are_all_that_follow() {
    let mut scene = Scene::start().await;
    let mut speaker = Speaker::call(&mut scene.mallory).await;
    let busy = Answer::Decline { reason: Reason::Busy, text: String::new() };
    for n in 0..300 {
        speaker.id = TransferId::random();
        speaker.say(request(1)).await;
        let expected = if n < 3 { Answer::Waiting } else { busy.clone() };
        assert_eq!(speaker.hear().await, Message::Answer(expected), "{n}");
    }
    assert_eq!(scene.bob.requests().await.len(), 3);
    scene.finish().await;
}

#[tokio::test]
async fn a_flood_of_requests_that_are_taken_leaves_room_for_others() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::call(&mut scene.mallory).await;
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..150 {
        speaker.id = TransferId::random();
        speaker.say(request(1)).await;
        match speaker.hear().await {
            Message::Answer(Answer::Accept { .. }) => taken += 1,
            Message::Answer(Answer::Decline { reason: Reason::Busy, .. }) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} {refused}");
    scene.finish().await;
}
