//! Sizes and hashes that are not what they say.

use filefleet_ctl::proto::{Change, TransferState};

use super::{
    speaker::{Speaker, all_there, block_of, entry, file, pack, pack_of, zeros},
    support::Scene,
};
use crate::{
    peer::CloseReason,
    transfer::{
        Reason,
        entry::EntryKind,
        hash::{self, BLOCK},
        proto::{Ack, BlockHeader, Message, PackEntry, PackHeader},
    },
};

const MIB: u64 = BLOCK;

fn acked(message: &Message) -> bool {
    matches!(message, Message::Acked(_))
}

#[tokio::test]
async fn a_block_beyond_the_announced_size_ends_the_transfer() {
    let mut scene = Scene::with_trusted_mallory().await;
    let size = 2 * MIB + 5;
    let (last, _) = zeros(0, 0, 2, size);
    let whole = vec![0; usize::try_from(MIB).unwrap()];
    let len = u32::try_from(MIB).unwrap();
    let beyond = [
        // A block after the last, one far out, and a last one that is longer or shorter than it should be.
        (BlockHeader { block: 3, ..last }, vec![0; 5]),
        (BlockHeader { block: u32::MAX, len, ..last }, whole.clone()),
        (BlockHeader { len, ..last }, whole),
        (BlockHeader { len: 4, ..last }, vec![0; 4]),
    ];
    let mut speaker = Speaker::call(&mut scene.mallory).await;
    for (header, content) in beyond {
        speaker.ask().await;
        speaker.start(0, 0, "beyond", size).await;
        speaker.stream(&block_of(speaker.to(), &header, &content)).await;
        speaker.refused(Reason::Protocol).await;
        assert_eq!(scene.bob.ended(speaker.id).await.state, TransferState::Failed);
    }
    scene.finish().await;
}

#[tokio::test]
async fn a_block_longer_than_a_block_ends_session_and_transfer() {
    let mut scene = Scene::with_trusted_mallory().await;
    for len in [0, u32::try_from(MIB).unwrap() + 1, u32::MAX] {
        let speaker = Speaker::accepted(&mut scene.mallory).await;
        speaker.start(0, 0, "long", 8 * MIB).await;
        let (header, content) = zeros(0, 0, 0, 8 * MIB);
        let header = BlockHeader { len, ..header };
        speaker.stream(&block_of(speaker.to(), &header, &content)).await;
        assert_eq!(speaker.closed().await, CloseReason::Protocol);
        scene.bob.ended(speaker.id).await;
    }
    scene.finish().await;
}

#[tokio::test]
async fn a_pack_shorter_than_its_entries_is_not_taken() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    let short = pack(speaker.to(), 0, &[file(0, "short", b"0123456789")]);
    speaker.stream(&short[..short.len() - 1]).await;
    let (header, content) = zeros(1, 0, 0, 3 * MIB);
    speaker.start(1, 0, "cut", 3 * MIB).await;
    let short = block_of(speaker.to(), &header, &content);
    speaker.stream(&short[..short.len() - 1]).await;
    // Neither was acknowledged before this one is.
    speaker.pack(7, &[file(2, "right", b"right")]).await;
    let heard = speaker.hear_until(acked).await;
    assert_eq!(heard.last(), Some(&Message::Acked(vec![Ack::Pack { number: 7 }])), "{heard:?}");
    speaker.hear_until(|message| matches!(message, Message::Delivered { files: 1, .. })).await;
    speaker.say(Message::Cancel { reason: Reason::Cancelled, text: String::new() }).await;
    scene.bob.ended(speaker.id).await;
    scene.expect("right", "right");
    scene.finish().await;
}

#[tokio::test]
async fn what_a_stream_has_beyond_its_pack_or_block_is_never_read() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    let mut long = pack(speaker.to(), 0, &[file(0, "exact", b"exact")]);
    long.extend([7; 100_000]);
    speaker.stream(&long).await;
    let size = MIB + 1;
    speaker.start(1, 0, "zeros", size).await;
    let mut cvs = Vec::new();
    for block in 0..2 {
        let (header, content) = zeros(1, 0, block, size);
        cvs.push(header.cv);
        let mut long = block_of(speaker.to(), &header, &content);
        long.extend([7; 100_000]);
        speaker.stream(&long).await;
    }
    let root = hash::root(size, &cvs).unwrap();
    speaker.say(Message::End { file: 1, revision: 0, root }).await;
    speaker.finish(2).await;
    speaker.complete().await;
    scene.expect("exact", "exact");
    scene.expect("zeros", vec![0; usize::try_from(size).unwrap()]);
    scene.finish().await;
}

#[tokio::test]
async fn a_pack_that_claims_more_than_a_block_ends_session_and_transfer() {
    let mut scene = Scene::with_trusted_mallory().await;
    for size in [MIB + 1, u64::MAX] {
        let speaker = Speaker::accepted(&mut scene.mallory).await;
        let mut table = Vec::new();
        for index in 0..2 {
            let entry = entry("much", EntryKind::File { size });
            PackEntry { index, entry, hash: [0; 32] }.put(&mut table);
        }
        let header = PackHeader::encode_table(0, 2, &table);
        speaker.stream(&pack_of(speaker.to(), &header, b"much")).await;
        assert_eq!(speaker.closed().await, CloseReason::Protocol);
        scene.bob.ended(speaker.id).await;
    }
    scene.finish().await;
}

#[tokio::test]
async fn a_huge_file_that_never_comes_takes_nothing() {
    let mut scene = Scene::with_trusted_mallory().await;
    for size in [u64::MAX, i64::MAX.unsigned_abs(), 1 << 42] {
        // Bob may have much or nothing to say about it; then it is over.
        let speaker = Speaker::accepted(&mut scene.mallory).await;
        speaker.start(0, 0, "huge", size).await;
        scene.still_serves().await;
        speaker.say(Message::Cancel { reason: Reason::Cancelled, text: String::new() }).await;
        scene.bob.ended(speaker.id).await;
        speaker.got.session.close(CloseReason::Idle);
        speaker.closed().await;
    }
    scene.finish().await;
}

#[tokio::test]
async fn a_file_whose_blocks_do_not_make_up_its_hash_is_not_delivered() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    let size = 2 * MIB;
    speaker.start(0, 0, "forged", size).await;
    for block in 0..2 {
        let (header, content) = zeros(0, 0, block, size);
        speaker.stream(&block_of(speaker.to(), &header, &content)).await;
    }
    speaker.say(Message::End { file: 0, revision: 0, root: [9; 32] }).await;
    let heard = speaker.hear_until(|m| matches!(m, Message::FileFailed { .. })).await;
    let last = heard.last();
    let corrupt =
        |m: &Message| matches!(m, Message::FileFailed { file: 0, reason: Reason::Corrupt, .. });
    assert!(last.is_some_and(corrupt), "{heard:?}");
    speaker.finish(1).await;
    speaker.complete().await;
    assert_eq!(scene.bob.ended(speaker.id).await.state, TransferState::Failed);
    scene.finish().await;
}

#[tokio::test]
async fn a_small_file_with_a_wrong_hash_is_not_delivered() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    let mut table = Vec::new();
    for (index, name, hash) in
        [(0, "forged", [9; 32]), (1, "right", *blake3::hash(b"two").as_bytes())]
    {
        let entry = entry(name, EntryKind::File { size: 3 });
        PackEntry { index, entry, hash }.put(&mut table);
    }
    let header = PackHeader::encode_table(0, 2, &table);
    speaker.stream(&pack_of(speaker.to(), &header, b"onetwo")).await;
    speaker.finish(2).await;
    let heard = speaker.complete().await;
    let corrupt =
        |m: &Message| matches!(m, Message::FileFailed { file: 0, reason: Reason::Corrupt, .. });
    assert!(heard.iter().any(corrupt), "{heard:?}");
    assert_eq!(heard.last(), Some(&all_there(1, 3)));
    scene.expect("right", "two");
    scene.finish().await;
}

#[tokio::test]
async fn a_block_with_a_wrong_chaining_value_is_not_kept() {
    let mut scene = Scene::with_trusted_mallory().await;
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    let size = 2 * MIB;
    speaker.start(0, 0, "forged", size).await;
    let (header, content) = zeros(0, 0, 0, size);
    let lie = BlockHeader { cv: [9; 32], ..header };
    speaker.stream(&block_of(speaker.to(), &lie, &content)).await;
    let heard = speaker.hear_until(acked).await;
    let truth = Ack::Block { file: 0, revision: 0, block: 0, cv: header.cv };
    assert_eq!(heard.last(), Some(&Message::Acked(vec![truth])));
    let (other, content) = zeros(0, 0, 1, size);
    speaker.stream(&block_of(speaker.to(), &other, &content)).await;
    speaker.hear_until(acked).await;
    // A root that only the lie leads to, then one that leaves the block out.
    for cvs in [[lie.cv, other.cv], [header.cv, other.cv]] {
        let root = hash::root(size, &cvs).unwrap();
        speaker.say(Message::End { file: 0, revision: 0, root }).await;
    }
    speaker.pack(0, &[file(1, "right", b"right")]).await;
    let heard = speaker.hear_until(acked).await;
    let whole = |m: &Message| matches!(m, Message::Acked(acks) if acks.iter().any(|a| matches!(a, Ack::File { .. })));
    assert!(!heard.iter().any(whole), "{heard:?}");
    speaker.hear_until(|message| matches!(message, Message::Delivered { .. })).await;
    speaker.say(Message::Cancel { reason: Reason::Cancelled, text: String::new() }).await;
    scene.bob.ended(speaker.id).await;
    scene.expect("right", "right");
    scene.finish().await;
}

/// A chaining value is only that of a block of one length, in a file of more than one block.
#[tokio::test]
async fn a_later_revision_of_another_size_takes_no_block_that_has_another_hash_now() {
    let mut scene = Scene::with_trusted_mallory().await;
    // The last block grows; the only block left was one of several.
    let mut speaker = Speaker::call(&mut scene.mallory).await;
    for (before, after) in [(MIB + 5, 2 * MIB), (2 * MIB, MIB)] {
        speaker.ask().await;
        speaker.start(0, 0, "grown", before).await;
        let mut cvs = Vec::new();
        for block in 0..2 {
            let (header, content) = zeros(0, 0, block, before);
            cvs.push(header.cv);
            speaker.stream(&block_of(speaker.to(), &header, &content)).await;
            speaker.hear_until(acked).await;
        }
        speaker.start(0, 1, "grown", after).await;
        cvs.truncate(usize::try_from(hash::block_count(after)).unwrap());
        let root = hash::root(after, &cvs).unwrap();
        let truth = blake3::hash(&vec![0; usize::try_from(after).unwrap()]);
        assert_ne!(root, *truth.as_bytes());
        speaker.say(Message::End { file: 0, revision: 1, root }).await;
        // Messages and streams may cross: this one is for the thread that has the end already.
        speaker.start(1, 0, "other", 2 * MIB).await;
        let (header, content) = zeros(1, 0, 0, 2 * MIB);
        speaker.stream(&block_of(speaker.to(), &header, &content)).await;
        let other = |ack: &Ack| matches!(ack, Ack::Block { file: 1, .. });
        let heard = speaker
            .hear_until(|m| matches!(m, Message::Acked(acks) if acks.iter().any(other)))
            .await;
        let file = |ack: &Ack| matches!(ack, Ack::File { file: 0, .. });
        let whole = |m: &Message| matches!(m, Message::Acked(acks) if acks.iter().any(file));
        assert!(!heard.iter().any(whole), "{heard:?}");
        speaker.say(Message::Cancel { reason: Reason::Cancelled, text: String::new() }).await;
        scene.bob.ended(speaker.id).await;
    }
    scene.finish().await;
}

#[tokio::test]
async fn more_bytes_than_the_bound_are_refused_when_they_arrive_whatever_the_request_said() {
    let mut scene = Scene::start().await;
    scene.bob.trust_up_to("mallory", Change::Set(1_000)).await;
    // The request said one byte: small files one by one, then a large one.
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    speaker.pack(0, &[file(0, "within", &[1; 1_000])]).await;
    speaker.hear_until(|m| matches!(m, Message::Delivered { files: 1, .. })).await;
    speaker.pack(1, &[file(1, "beyond", &[1])]).await;
    speaker.refused(Reason::TooLarge).await;
    scene.expect("within", [1; 1_000]);

    speaker.ask().await;
    speaker.start(0, 0, "large", 2 * MIB).await;
    let (header, content) = zeros(0, 0, 0, 2 * MIB);
    speaker.stream(&block_of(speaker.to(), &header, &content)).await;
    speaker.refused(Reason::TooLarge).await;

    // The same block again and again, each time with other content.
    scene.bob.trust_up_to("mallory", Change::Set(3 * MIB)).await;
    speaker.ask().await;
    speaker.start(0, 0, "again", 2 * MIB).await;
    for round in 0..4_u8 {
        let content = vec![round; usize::try_from(MIB).unwrap()];
        let cv = hash::block_cv(2 * MIB, 0, &content).unwrap();
        let header = BlockHeader { cv, ..header };
        speaker.stream(&block_of(speaker.to(), &header, &content)).await;
        if round < 3 {
            speaker.hear_until(acked).await;
        }
    }
    speaker.refused(Reason::TooLarge).await;
    scene.finish().await;
}
