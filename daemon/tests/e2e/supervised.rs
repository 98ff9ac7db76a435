//! The daemon under a service manager that speaks systemd's protocol, `sd_notify(3)`.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::{PATIENCE, User};

/// Often enough for a test, and seldom enough for a busy machine.
const WATCHDOG: Duration = Duration::from_millis(200);

/// The manager's end.
struct Manager {
    socket: UnixDatagram,
    socket_path: PathBuf,
}

impl Manager {
    fn of(user: &User) -> Self {
        let socket_path = user.file("notify");
        let socket = UnixDatagram::bind(&socket_path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, socket_path }
    }

    /// The next thing it is told.
    #[track_caller]
    fn hears(&self) -> String {
        let mut told = [0; 512];
        let length = self.socket.recv(&mut told).expect("the daemon says something");
        String::from_utf8(told[..length].to_vec()).unwrap()
    }

    #[track_caller]
    fn hears_at_last(&self, news: &str) {
        while self.hears() != news {}
    }
}

#[test]
fn the_manager_hears_that_it_serves_lives_and_ends() {
    let mut user = User::new();
    let manager = Manager::of(&user);
    user.start_supervised(&manager.socket_path, WATCHDOG);
    manager.hears_at_last("READY=1\n");
    user.status();
    for _ in 0..3 {
        manager.hears_at_last("WATCHDOG=1\n");
    }
    user.stop().done();
    manager.hears_at_last("STOPPING=1\n");
}

#[test]
fn a_daemon_that_cannot_serve_never_says_that_it_does() {
    let mut user = User::new();
    let manager = Manager::of(&user);
    let config = user.home().join("config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("settings.toml"), "no settings").unwrap();
    let mut command = user.command("filefleetd");
    crate::support::Program::start(command.env("NOTIFY_SOCKET", &manager.socket_path))
        .end()
        .failed(1);
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 64]).is_err(), "it said something");
    // The same home with settings that can be used.
    fs::remove_file(config.join("settings.toml")).unwrap();
    manager.socket.set_nonblocking(false).unwrap();
    user.start_supervised(&manager.socket_path, WATCHDOG);
    manager.hears_at_last("READY=1\n");
}
