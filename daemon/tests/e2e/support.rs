//! What the tests are made of: a server, users with homes and daemons, files and trees to send.

mod content;
#[cfg(target_os = "linux")]
mod disk;
mod ffctl;
mod program;
mod server;
mod tree;
mod user;

pub(crate) use content::{Scratch, hash_of, write_random, write_zeros};
#[cfg(target_os = "linux")]
pub(crate) use disk::Disk;
pub(crate) use ffctl::{Sending, Watching};
pub(crate) use program::{Outcome, PATIENCE, Program, program};
pub(crate) use server::Server;
pub(crate) use tree::Tree;
pub(crate) use user::{User, names_in};

/// Alice and Bob, registered at one server.
pub(crate) struct Pair {
    pub(crate) alice: User,
    pub(crate) bob: User,
    pub(crate) server: Server,
}

impl Pair {
    /// They have never met.
    pub(crate) fn strangers() -> Self {
        let server = Server::start();
        let alice = User::registered("alice", &server);
        let bob = User::registered("bob", &server);
        Self { alice, bob, server }
    }

    /// Bob takes whatever Alice sends.
    pub(crate) fn trusting() -> Self {
        let pair = Self::strangers();
        pair.bob.accept("alice", "always");
        pair
    }

    /// Bob takes whatever Alice sends, into this file system.
    #[cfg(target_os = "linux")]
    pub(crate) fn storing_on(disk: &Disk) -> Self {
        let server = Server::start();
        let alice = User::registered("alice", &server);
        let mut bob = User::new();
        bob.start_by(|command| disk.within(command));
        bob.register("bob", &server).done();
        bob.accept("alice", "always");
        let set_dir = ["contacts", "set", "alice", "--dir", disk.dir().to_str().unwrap()];
        bob.ffctl(&set_dir).done();
        Self { alice, bob, server }
    }
}
