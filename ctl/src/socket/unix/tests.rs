//! Who may use the socket, and who may serve it.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::os::unix::net::UnixListener;

use super::*;
use crate::socket::{ListenError, connect, listen};

fn mode(file_path: &Path) -> u32 {
    fs::symlink_metadata(file_path).unwrap().mode() & 0o7777
}

fn home() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("home")).unwrap();
    (dir, home)
}

#[tokio::test]
async fn socket_and_folders_are_for_their_owner_only() {
    let (_dir, home) = home();
    fs::create_dir_all(home.state_dir()).unwrap();
    fs::set_permissions(home.state_dir(), Permissions::from_mode(0o755)).unwrap();
    let listener = listen(&home).unwrap();
    assert_eq!(mode(home.state_dir()), 0o700);
    assert_eq!(mode(home.run_dir()), 0o700);
    assert_eq!(mode(&home.run_dir().join(SOCKET_NAME)), 0o600);
    let (near, far) = tokio::join!(connect(&home), listener.accept());
    assert!(near.is_ok() && far.is_ok());
}

#[tokio::test]
async fn the_socket_goes_with_its_listener() {
    let (_dir, home) = home();
    assert!(matches!(connect(&home).await, Err(ConnectError::NotRunning)));
    drop(listen(&home).unwrap());
    assert!(!home.run_dir().join(SOCKET_NAME).exists());
    assert!(matches!(connect(&home).await, Err(ConnectError::NotRunning)));
    listen(&home).unwrap();
}

#[tokio::test]
async fn a_second_daemon_learns_who_runs() {
    let (_dir, home) = home();
    let _first = listen(&home).unwrap();
    let error = listen(&home).unwrap_err();
    let own = std::process::id();
    assert!(matches!(error, ListenError::AlreadyRunning { pid: Some(pid) } if pid == own));
    assert_eq!(error.to_string(), format!("filefleetd runs already (process {own})"));
}

#[tokio::test]
async fn the_socket_of_a_killed_daemon_is_replaced() {
    let (_dir, home) = home();
    fs::create_dir_all(home.run_dir()).unwrap();
    // The standard library leaves the file behind, as a killed process does.
    drop(UnixListener::bind(home.run_dir().join(SOCKET_NAME)).unwrap());
    assert!(matches!(connect(&home).await, Err(ConnectError::NotRunning)));
    listen(&home).unwrap();
}

#[tokio::test]
async fn a_socket_at_which_somebody_answers_stays() {
    let (_dir, home) = home();
    fs::create_dir_all(home.run_dir()).unwrap();
    let _other = UnixListener::bind(home.run_dir().join(SOCKET_NAME)).unwrap();
    assert!(matches!(listen(&home), Err(ListenError::AlreadyRunning { pid: None })));
}

#[tokio::test]
async fn what_is_no_socket_stays() {
    let (_dir, home) = home();
    fs::create_dir_all(home.run_dir()).unwrap();
    let file_path = home.run_dir().join(SOCKET_NAME);
    fs::File::create(&file_path).unwrap().write_all(b"precious").unwrap();
    assert!(matches!(listen(&home), Err(ListenError::Bind(..))));
    assert_eq!(fs::read(&file_path).unwrap(), b"precious");
}

#[tokio::test]
async fn a_folder_that_is_a_link_is_refused() {
    let (dir, home) = home();
    fs::create_dir_all(home.root().unwrap()).unwrap();
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), home.run_dir()).unwrap();
    assert!(matches!(listen(&home), Err(ListenError::Unusable(..))));
    assert!(matches!(connect(&home).await, Err(ConnectError::Foreign(_))));
}

#[tokio::test]
async fn a_home_too_deep_for_a_socket_has_a_short_one() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("d".repeat(200))).unwrap();
    let other = Home::at(dir.path().join("e".repeat(200))).unwrap();
    let short = socket_path(&home);
    assert!(short.as_os_str().len() <= MAX_SOCKET_PATH);
    assert_ne!(short, socket_path(&other));
    let listener = listen(&home).unwrap();
    assert_eq!(mode(short.parent().unwrap()), 0o700);
    let (near, far) = tokio::join!(connect(&home), listener.accept());
    assert!(near.is_ok() && far.is_ok());
    drop(listener);
    fs::remove_dir(short.parent().unwrap()).unwrap();
}

/// The folder keeps others out; even if it did not, they are dropped as soon as they are accepted.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_from_another_user_is_dropped() {
    use std::io::Read;

    use rustix::thread::set_thread_res_uid;

    if own_uid() != 0 {
        // Past the test harness, which would keep it to itself.
        writeln!(io::stdout(), "skipped: needs root, to be another user").unwrap();
        assert!(std::env::var_os("FILEFLEET_TEST_NO_SKIP").is_none(), "skipped: needs root");
        return;
    }
    let (dir, home) = home();
    let listener = listen(&home).unwrap();
    let socket_path = socket_path(&home);
    for (file_path, mode) in [
        (dir.path(), 0o755),
        (home.root().unwrap(), 0o755),
        (home.run_dir(), 0o755),
        (&socket_path, 0o666),
    ] {
        fs::set_permissions(file_path, Permissions::from_mode(mode)).unwrap();
    }
    let stranger = std::thread::spawn(move || {
        // On Linux each thread has its own user, and this one has no other work.
        let nobody = rustix::process::Uid::from_raw(65534);
        set_thread_res_uid(nobody, nobody, nobody).unwrap();
        let mut stream = UnixStream::connect(socket_path).unwrap();
        let mut heard = Vec::new();
        // Dropped: the end of the stream, and not a byte before it.
        stream.read_to_end(&mut heard).map(|_| heard)
    });
    let stranger = tokio::task::spawn_blocking(move || stranger.join().unwrap());
    tokio::select! {
        heard = stranger => assert_eq!(heard.unwrap().unwrap(), b""),
        accepted = listener.accept() => panic!("accepted a stranger: {accepted:?}"),
    }
    let (near, far) = tokio::join!(connect(&home), listener.accept());
    assert!(near.is_ok() && far.is_ok());
}
