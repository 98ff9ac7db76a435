//! What the tests are made of: machines and what connects them, a server, two users, and somebody
//! who listens.

mod capture;
#[path = "../e2e/support/content.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod content;
#[path = "../e2e/support/ffctl.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod ffctl;
mod machine;
mod network;
#[path = "../e2e/support/program.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod program;
mod user;

use serde_json::Value;

pub(crate) use capture::{Capture, Runs};
use content::Scratch;
pub(crate) use content::{hash_of, write_random};
pub(crate) use ffctl::Sending;
use machine::Machine;
pub(crate) use network::{Network, lacks_namespaces};
use program::{Outcome, PATIENCE, Program, program};
use user::{Server, User};

/// Alice and Bob, registered at one server; Bob takes whatever Alice sends.
pub(crate) struct Pair<'a> {
    pub(crate) alice: User<'a>,
    pub(crate) bob: User<'a>,
    #[expect(dead_code, reason = "it has to live as long as they do")]
    server: Server,
}

impl<'a> Pair<'a> {
    pub(crate) fn on(network: &'a Network) -> Self {
        let server = Server::start(&network.server, network.server_ip);
        let alice = User::registered("alice", &network.alice, &server);
        let bob = User::registered("bob", &network.bob, &server);
        bob.ffctl(&["contacts", "set", "alice", "--accept", "always"]).done();
        Self { alice, bob, server }
    }

    /// Alice sends a new file of `len` bytes, and it arrives as it was; the last event.
    #[track_caller]
    pub(crate) fn send(&self, name: &str, len: u64) -> Value {
        write_random(&self.alice.file(name), len);
        self.arrives(self.alice.send("bob", name), name, len)
    }

    /// Waits until a file that is being sent has arrived as it was; the last event.
    #[track_caller]
    pub(crate) fn arrives(&self, sending: Sending, name: &str, len: u64) -> Value {
        let done = sending.done();
        assert_eq!(hash_of(&self.bob.received(name)), hash_of(&self.alice.file(name)));
        let links = done["links"].as_object().unwrap();
        let carried: u64 = links.values().filter_map(Value::as_u64).sum();
        assert_eq!(carried, len, "{done}");
        done
    }
}
