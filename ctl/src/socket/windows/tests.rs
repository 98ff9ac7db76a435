//! Who serves the pipe, and that clients find it.
#![allow(clippy::unwrap_used)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::socket::{ListenError, connect, listen};

fn home() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("home")).unwrap();
    (dir, home)
}

#[tokio::test]
async fn clients_reach_the_daemon_one_after_the_other_and_at_once() {
    let (_dir, home) = home();
    let listener = listen(&home).unwrap();
    let mut kept = Vec::new();
    for number in 0..3 {
        let (near, far) = tokio::join!(connect(&home), listener.accept());
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        near.write_all(&[number; 3]).await.unwrap();
        let mut heard = [0; 3];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [number; 3]);
        kept.push((near, far));
    }
}

#[tokio::test]
async fn the_pipe_goes_with_its_listener() {
    let (_dir, home) = home();
    assert!(matches!(connect(&home).await, Err(ConnectError::NotRunning)));
    drop(listen(&home).unwrap());
    assert!(matches!(connect(&home).await, Err(ConnectError::NotRunning)));
    listen(&home).unwrap();
}

#[tokio::test]
async fn a_second_daemon_learns_that_one_runs() {
    let (_dir, home) = home();
    let _first = listen(&home).unwrap();
    assert!(matches!(listen(&home), Err(ListenError::AlreadyRunning { .. })));
}

/// Not the administrators', of whom an elevated daemon's user is one: neither is a stranger then to the
/// other.
#[tokio::test]
async fn the_pipe_belongs_to_the_user() {
    let (_dir, home) = home();
    let _listener = listen(&home).unwrap();
    let pipe = open(&address(&home)).unwrap();
    let user = User::of_this_process().unwrap();
    assert!(user.name().unwrap().starts_with("S-1-5-"));
    assert!(user.owns(pipe.as_handle()).unwrap());
}

/// Made by somebody else, or by nobody in particular.
#[tokio::test]
async fn a_pipe_of_another_owner_is_not_spoken_to() {
    let (_dir, home) = home();
    let administrators =
        SecurityDescriptor::deserialize(widestring::u16cstr!("O:BAD:(A;;GA;;;WD)"));
    let name = pipe_name(&home);
    let _stranger = ListenerOptions::new()
        .name(name.to_ns_name::<GenericNamespaced>().unwrap())
        .security_descriptor(administrators.unwrap())
        .create_tokio()
        .unwrap();
    assert!(matches!(connect(&home).await, Err(ConnectError::Foreign(_))));
}
