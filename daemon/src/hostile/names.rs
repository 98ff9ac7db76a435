//! Names that lead elsewhere, and links that are planted to be written through.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::{
    speaker::{Speaker, file, folder, pack_of, request, symlink},
    support::{Scene, link_to},
};
use crate::{
    peer::CloseReason,
    transfer::proto::{Answer, Message},
};

fn hostile_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "",
        "..",
        ".",
        "../x",
        "/etc/filefleet-was-here",
        "a/../../x",
        "a/./x",
        "a//x",
        "a/",
        "a/..",
        "nul\0x",
        "a/b\0/../../x",
        ".filefleet-partial-00000000000000000000000000000000/0.part",
    ]
    .map(Vec::from)
    .into();
    names.push([b"a/".repeat(10_000).as_slice(), b"x"].concat());
    names.push([b"a/".repeat(200).as_slice(), b"x"].concat());
    names.push(b"x".repeat(256));
    names.push([b"y".repeat(250), b"/".to_vec()].concat().repeat(20));
    names.push(b"x".repeat(60_000));
    names
}

fn put(out: &mut Vec<u8>, name: &[u8]) {
    out.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
    out.extend(name);
}

/// An entry of a file of no bytes, with any name.
fn entry_bytes(name: &[u8]) -> Vec<u8> {
    // Kind, permission bits, seconds and nanoseconds.
    let mut bytes = [&[0][..], &0o644_u16.to_be_bytes(), &[0; 12]].concat();
    put(&mut bytes, name);
    bytes.extend([0; 8]);
    bytes
}

#[tokio::test]
async fn a_request_with_a_hostile_name_ends_the_session() {
    let mut scene = Scene::with_trusted_mallory().await;
    for name in hostile_names() {
        let speaker = Speaker::call(&mut scene.mallory).await;
        // Totals, one entry, a file.
        let mut bytes = [&[16][..], &speaker.id.0, &[0; 17], &[0, 1], &[0], &[0; 8]].concat();
        put(&mut bytes, &name);
        if bytes.len() <= crate::peer::frame::MAX_MESSAGE {
            speaker.say_bytes(bytes).await;
            assert_eq!(speaker.closed().await, CloseReason::Protocol, "{:?}", name.escape_ascii());
        }
    }
    scene.finish().await;
}

#[tokio::test]
async fn a_file_with_a_hostile_name_that_comes_in_blocks_ends_session_and_transfer() {
    let mut scene = Scene::with_trusted_mallory().await;
    for name in hostile_names() {
        let speaker = Speaker::accepted(&mut scene.mallory).await;
        let mut bytes = [&[19][..], &speaker.id.0, &[0; 8], &[0]].concat();
        bytes.extend(entry_bytes(&name));
        if bytes.len() <= crate::peer::frame::MAX_MESSAGE {
            speaker.say_bytes(bytes).await;
            assert_eq!(speaker.closed().await, CloseReason::Protocol, "{:?}", name.escape_ascii());
            scene.bob.ended(speaker.id).await;
        }
    }
    scene.finish().await;
}

#[tokio::test]
async fn a_pack_with_a_hostile_name_ends_session_and_transfer() {
    let mut scene = Scene::with_trusted_mallory().await;
    for name in hostile_names() {
        let speaker = Speaker::accepted(&mut scene.mallory).await;
        // Number, count, index and hash.
        let hash = *blake3::hash(b"").as_bytes();
        let header = [&[0; 8][..], &[0, 1], &[0; 8], &hash, &entry_bytes(&name)].concat();
        speaker.stream(&pack_of(speaker.to(), &header, b"")).await;
        assert_eq!(speaker.closed().await, CloseReason::Protocol, "{:?}", name.escape_ascii());
        scene.bob.ended(speaker.id).await;
    }
    assert!(!Path::new("/etc/filefleet-was-here").exists());
    scene.finish().await;
}

#[tokio::test]
async fn no_file_is_written_through_a_link_of_the_same_transfer() {
    let mut scene = Scene::with_trusted_mallory().await;
    let outside = scene.bob.outside();
    let target = outside.to_str().unwrap().as_bytes();
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    // The links first, so that whoever makes them at once writes outside.
    let links = [symlink(0, "d/inner", target), symlink(1, "top", target)];
    speaker.pack(0, &links).await;
    speaker.hear_until(|message| matches!(message, Message::Acked(_))).await;
    let files = [
        file(2, "d/inner/evil", b"evil"),
        file(3, "top/evil", b"evil"),
        file(4, "top/precious", b"evil"),
    ];
    speaker.pack(1, &files).await;
    speaker.hear_until(|message| matches!(message, Message::Delivered { files: 3, .. })).await;
    speaker.finish(5).await;
    speaker.complete().await;
    // The links stand beside the real folders that took their names.
    scene.expect_folder("d");
    scene.expect_folder("d/inner");
    scene.expect("d/inner/evil", "evil");
    scene.expect("d/inner (2)", link_to(&outside));
    scene.expect_folder("top");
    scene.expect("top/evil", "evil");
    scene.expect("top/precious", "evil");
    scene.expect("top (2)", link_to(&outside));
    scene.finish().await;
}

#[tokio::test]
async fn no_file_is_written_through_a_link_of_an_earlier_transfer() {
    let mut scene = Scene::with_trusted_mallory().await;
    let outside = scene.bob.outside();
    let target = outside.to_str().unwrap().as_bytes();
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    let links = [folder(0, "d"), symlink(1, "d/inner", target), symlink(2, "top", target)];
    speaker.pack(0, &links).await;
    speaker.finish(3).await;
    speaker.complete().await;

    speaker.ask().await;
    let files = [
        file(0, "d/inner/evil", b"evil"),
        file(1, "top/evil", b"evil"),
        file(2, "top", b"evil"),
        file(3, "d/inner", b"evil"),
    ];
    speaker.pack(0, &files).await;
    speaker.finish(4).await;
    let heard = speaker.complete().await;
    let failed = |message: &Message| matches!(message, Message::FileFailed { file: 0, .. });
    assert!(heard.iter().any(failed), "{heard:?}");
    scene.expect_folder("d");
    scene.expect("d/inner", link_to(&outside));
    scene.expect("top", link_to(&outside));
    // The folder is still hers to add to; what would lead through the link is given up.
    scene.expect("d/inner (2)", "evil");
    scene.expect_folder("top (2)");
    scene.expect("top (2)/evil", "evil");
    scene.expect("top (3)", "evil");
    scene.finish().await;
}

#[tokio::test]
async fn permission_bits_and_times_are_not_given_through_a_link() {
    let mut scene = Scene::with_trusted_mallory().await;
    let outside = scene.bob.outside();
    let before = fs::metadata(&outside).unwrap();
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    let target = outside.to_str().unwrap().as_bytes();
    // Links are made before folders, so the folder finds a link in its place.
    let mut seized = folder(1, "d/inner");
    seized.1.mode = 0o777;
    speaker.pack(0, &[symlink(0, "d/inner", target), seized]).await;
    speaker.finish(2).await;
    let heard = speaker.complete().await;
    let failed = |message: &Message| matches!(message, Message::FileFailed { file: 1, .. });
    assert!(heard.iter().any(failed), "{heard:?}");
    let after = fs::metadata(&outside).unwrap();
    assert_eq!(before.permissions().mode(), after.permissions().mode());
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    scene.expect_folder("d");
    scene.expect("d/inner", link_to(&outside));
    scene.finish().await;
}

#[tokio::test]
async fn a_waiting_request_with_hostile_totals_is_only_shown() {
    let mut scene = Scene::start().await;
    let mut speaker = Speaker::call(&mut scene.mallory).await;
    speaker.say(request(u64::MAX)).await;
    assert_eq!(speaker.hear().await, Message::Answer(Answer::Waiting));
    let requests = scene.bob.requests().await;
    assert_eq!((requests.len(), requests[0].bytes), (1, u64::MAX));
    scene.finish().await;
}
