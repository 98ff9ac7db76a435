//! The daemon's life, what it tells about itself, and where it keeps things.

use crate::support::{Pair, Program, Server, User, names_in, program};

#[test]
fn the_status_says_who_and_where_one_is() {
    let pair = Pair::strangers();
    let status = pair.alice.status();
    assert_eq!((&status["name"], &status["registered"]), (&"alice".into(), &true.into()));
    assert_eq!(status["server"], pair.server.address.as_str());
    assert_eq!(status["pid"], pair.alice.pid());
    assert_eq!(status["received_dir"], pair.alice.received().to_str().unwrap());
    assert!(!status["identity"].as_str().unwrap().is_empty());
    assert!(!status["device"].as_str().unwrap().is_empty());
    assert_ne!(status["identity"], pair.bob.status()["identity"]);
    for list in ["transfers", "warnings"] {
        assert_eq!(status[list], serde_json::json!([]), "{status}");
    }
}

#[test]
fn finished_transfers_are_listed_and_survive_a_restart() {
    let mut pair = Pair::trusting();
    let mut sending = pair.alice.send("bob", &[&pair.alice.note("letter")]);
    let id = sending.id();
    sending.done();
    assert_eq!(pair.alice.json(&["transfers"])["transfers"], serde_json::json!([]));
    for direction in ["outgoing", "incoming"] {
        let user = if direction == "outgoing" { &mut pair.alice } else { &mut pair.bob };
        for _ in 0..2 {
            let listed = &user.json(&["transfers", "--all"])["transfers"];
            assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
            let transfer = &listed[0];
            assert_eq!(
                (&transfer["id"], &transfer["state"]),
                (&id.as_str().into(), &"done".into())
            );
            assert_eq!(
                (&transfer["direction"], &transfer["label"]),
                (&direction.into(), &"letter".into())
            );
            assert_eq!(transfer["bytes"], "a note: letter\n".len());
            user.stop().done();
            user.start();
        }
    }
}

#[test]
fn settings_are_kept() {
    let mut user = User::started();
    let get = |user: &User| user.ffctl(&["config", "get", "accept-strangers"]).done().stdout;
    assert_eq!(get(&user), ["ask"]);
    user.ffctl(&["config", "set", "accept-strangers", "never"]).done();
    assert_eq!(get(&user), ["never"]);
    user.stop().done();
    user.start();
    assert_eq!(get(&user), ["never"]);
    let all = user.json(&["config", "list"]);
    let settings = all["settings"].as_array().unwrap();
    let set: Vec<_> = settings.iter().filter(|setting| setting["is_default"] == false).collect();
    assert_eq!(set.len(), 1, "{all}");
    user.ffctl(&["config", "set", "accept-strangers", "perhaps"]).failed(2).told("perhaps");
    user.ffctl(&["config", "get", "colour"]).failed(2).told("colour");
    assert_eq!(get(&user), ["never"]);
}

#[test]
fn a_second_daemon_of_one_home_says_who_runs_already() {
    let user = User::started();
    let second = Program::start(&user.command("filefleetd")).end().failed(1);
    // Windows lets nobody read what it says in a locked file.
    let who = if cfg!(windows) { String::new() } else { format!(" (process {})", user.pid()) };
    second.told(&format!("runs already{who}"));
    assert_eq!(user.status()["pid"], user.pid());
}

#[test]
fn ffctl_says_how_to_start_a_daemon_then_starts_and_stops_it() {
    let user = User::new();
    user.ffctl(&["status"]).failed(3).told("hint: start it: ffctl daemon start");
    let started = user.json(&["daemon", "start"]);
    assert_eq!(started["started"], true);
    assert_eq!(user.status()["pid"], started["pid"]);
    assert_eq!(user.json(&["daemon", "start"])["started"], false);
    assert_eq!(user.json(&["daemon", "stop"])["stopped"], true);
    assert_eq!(user.json(&["daemon", "stop"])["stopped"], false);
    user.ffctl(&["status"]).failed(3);
    #[cfg(target_os = "linux")]
    nobody_is(&started["pid"]);
}

/// It has ended: nobody has this process id, or somebody else.
#[cfg(target_os = "linux")]
#[track_caller]
fn nobody_is(daemon: &serde_json::Value) {
    let program = std::fs::read_link(format!("/proc/{daemon}/exe")).unwrap_or_default();
    assert_ne!(program, crate::support::program("filefleetd"));
}

#[test]
fn a_daemon_that_was_killed_starts_again() {
    let mut user = User::started();
    let identity = user.status()["identity"].clone();
    user.kill();
    user.ffctl(&["status"]).failed(3);
    user.start();
    assert_eq!(user.status()["identity"], identity);
}

#[cfg(unix)] // a signal
#[test]
fn sigterm_ends_daemon_and_server_in_order() {
    use rustix::process::{Pid, Signal, kill_process};
    let mut pair = Pair::strangers();
    pair.alice.stop().done();
    let daemon = pair.bob.pid();
    let daemon = Pid::from_raw(i32::try_from(daemon).unwrap()).unwrap();
    kill_process(daemon, Signal::INT).unwrap();
    pair.bob.stop().done();
    let stopped = pair.server.stop().done();
    assert!(stopped.stdout.is_empty(), "{stopped:?}");
}

#[test]
fn everything_of_a_user_stays_below_the_home() {
    let pair = Pair::trusting();
    let Pair { alice, bob, .. } = &pair;
    alice.send("bob", &[&alice.note("letter")]).done();
    for user in [alice, bob] {
        assert_eq!(names_in(&user.outside()), [""; 0]);
        let files = if user.status()["name"] == "alice" { &["letter"][..] } else { &[] };
        assert_eq!(names_in(&user.file("")), files);
        for dir in names_in(&user.home()) {
            assert!(["config", "received", "run", "state"].contains(&&*dir), "{dir}");
        }
    }
}

#[cfg(unix)] // permission bits
#[test]
fn keys_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let user = User::started();
    let mode = |path: &str| std::fs::metadata(user.home().join(path)).unwrap().permissions().mode();
    for dir in ["state", "run"] {
        assert_eq!(mode(dir) & 0o777, 0o700, "{dir}");
    }
    let keys = names_in(&user.home().join("state/keys"));
    assert!(!keys.is_empty());
    for key in keys {
        assert_eq!(mode(&format!("state/keys/{key}")) & 0o777, 0o600, "{key}");
    }
}

#[test]
fn the_server_tells_its_fingerprint_and_its_names() {
    let server = Server::start();
    let alice = User::registered("alice", &server);
    let fingerprint = server.tend(&["fingerprint"]).done().stdout;
    assert_eq!(server.address.split('#').nth(1), fingerprint.first().map(String::as_str));
    let names = server.tend(&["names", "list"]).done().stdout;
    assert!(matches!(&names[..], [line] if line.starts_with("alice\t")), "{names:?}");
    drop(alice);
    server.tend(&["names", "remove", "nobody"]).failed(1).told("nobody");
}

#[test]
fn a_server_that_is_not_the_pinned_one_is_refused() {
    let (server, other) = (Server::start(), Server::start());
    let user = User::started();
    let (place, _) = server.address.split_once('#').unwrap();
    let (_, wrong_pin) = other.address.split_once('#').unwrap();
    let register = |address: &str| user.ffctl(&["register", "alice", "--server", address]);
    register(&format!("{place}#{wrong_pin}")).failed(1).told("its key does not match");
    register(place).failed(1).told("the server is not the one that it should be");
    register("nonsense:nonsense").failed(2);
    assert_eq!(user.status()["name"], serde_json::Value::Null);
    assert!(program("filefleetd").is_file());
}
