//! Indices, numbers and counts that no honest sender has.

use filefleet_ctl::proto::TransferState;

use super::{
    speaker::{Speaker, all_there, block_of, file, folder, zeros},
    support::Scene,
};
use crate::transfer::{
    Reason,
    hash::BLOCK,
    proto::{Ack, MAX_ENTRIES, Message},
};

const SIZE: u64 = 2 * BLOCK;

async fn refused(scene: &Scene, speaker: &mut Speaker) {
    speaker.refused(Reason::Protocol).await;
    assert_eq!(scene.bob.ended(speaker.id).await.state, TransferState::Failed);
}

#[tokio::test]
async fn more_entries_than_a_transfer_may_have_are_refused() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::call(&mut scene.mallory).await;
    for index in [MAX_ENTRIES, MAX_ENTRIES + 1, 11_000_000, u64::MAX - 1, u64::MAX] {
        speaker.ask().await;
        speaker.start(index, 0, "beyond", SIZE).await;
        refused(&scene, &mut speaker).await;
        speaker.ask().await;
        speaker.pack(0, &[file(index, "beyond", b"beyond")]).await;
        refused(&scene, &mut speaker).await;
    }
    for entries in [MAX_ENTRIES + 1, 11_000_000, u64::MAX] {
        speaker.ask().await;
        speaker.finish(entries).await;
        refused(&scene, &mut speaker).await;
    }
    scene.finish().await;
}

#[tokio::test]
async fn an_index_that_comes_twice_is_refused() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    speaker.pack(0, &[file(0, "one", b"one"), file(0, "two", b"two")]).await;
    refused(&scene, &mut speaker).await;

    speaker.ask().await;
    speaker.pack(0, &[file(0, "first", b"first")]).await;
    speaker.hear_until(|m| matches!(m, Message::Delivered { files: 1, .. })).await;
    speaker.pack(1, &[file(0, "first", b"second")]).await;
    refused(&scene, &mut speaker).await;
    scene.expect("first", "first");

    speaker.ask().await;
    speaker.start(0, 0, "open", SIZE).await;
    let (header, content) = zeros(0, 0, 0, SIZE);
    speaker.stream(&block_of(speaker.to(), &header, &content)).await;
    speaker.hear_until(|m| matches!(m, Message::Acked(_))).await;
    speaker.pack(0, &[file(0, "open", b"in a pack too")]).await;
    refused(&scene, &mut speaker).await;
    scene.finish().await;
}

#[tokio::test]
async fn a_file_that_is_delivered_cannot_be_started_again() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    speaker.pack(0, &[file(0, "first", b"first")]).await;
    speaker.hear_until(|m| matches!(m, Message::Delivered { files: 1, .. })).await;
    speaker.start(0, 200, "first", SIZE).await;
    let (header, content) = zeros(0, 200, 0, SIZE);
    speaker.stream(&block_of(speaker.to(), &header, &content)).await;
    speaker.hear_until(|m| matches!(m, Message::Acked(_))).await;
    speaker.finish(1).await;
    assert_eq!(speaker.complete().await.last(), Some(&all_there(1, 5)));
    scene.expect("first", "first");
    scene.finish().await;
}

#[tokio::test]
async fn a_pack_whose_number_was_there_already_changes_nothing() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    for (index, name) in [(0, "first"), (1, "second")] {
        speaker.pack(5, &[file(index, name, name.as_bytes())]).await;
        let pack = |message: &Message| *message == Message::Acked(vec![Ack::Pack { number: 5 }]);
        speaker.hear_until(pack).await;
    }
    speaker.finish(1).await;
    assert_eq!(speaker.complete().await.last(), Some(&all_there(1, 5)));
    scene.expect("first", "first");
    scene.finish().await;
}

#[tokio::test]
async fn indices_and_packs_in_no_order_at_all_are_refused_before_they_take_much_memory() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    // 65,536 ranges at most: one more entry with gaps on both sides is refused.
    for number in 0..65_u64 {
        let entries: Vec<_> = (0..1_024).map(|n| folder(2 * (1_024 * number + n), "d")).collect();
        speaker.pack(number, &entries).await;
    }
    refused(&scene, &mut speaker).await;
    scene.finish().await;
}

#[tokio::test]
async fn more_folders_than_memory_is_meant_for_are_refused() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    // 120 names of 33 bytes each: 32 MiB are reached with fewer than 9,000 of them.
    let long = vec!["x".repeat(33); 120].join("/");
    for number in 0..90_u64 {
        let entries: Vec<_> = (0..100).map(|n| folder(100 * number + n, &long)).collect();
        speaker.pack(number, &entries).await;
    }
    refused(&scene, &mut speaker).await;
    scene.finish().await;
}

#[tokio::test]
async fn blocks_of_files_that_were_never_announced_are_bounded() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    // Of one byte each, so that they do not fill the budget before.
    for file in 0..33 {
        let (header, content) = zeros(file, 0, 1, BLOCK + 1);
        speaker.stream(&block_of(speaker.to(), &header, &content)).await;
    }
    refused(&scene, &mut speaker).await;
    // A revision that was never announced, of a file that was.
    speaker.ask().await;
    speaker.start(0, 0, "open", BLOCK + 1).await;
    for revision in 1..=33 {
        let (header, content) = zeros(0, revision, 1, BLOCK + 1);
        speaker.stream(&block_of(speaker.to(), &header, &content)).await;
    }
    refused(&scene, &mut speaker).await;
    scene.finish().await;
}

#[tokio::test]
async fn files_that_are_started_and_never_ended_are_bounded() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    for file in 0..=256 {
        speaker.start(file, 0, &format!("open {file}"), SIZE).await;
    }
    refused(&scene, &mut speaker).await;
    scene.finish().await;
}
