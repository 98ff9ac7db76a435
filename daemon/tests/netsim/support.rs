//! What the tests are made of: machines and what connects them, a server, two users, and somebody
//! who listens.

mod arrivals;
mod capture;
#[path = "../e2e/support/content.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod content;
#[path = "../e2e/support/ffctl.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod ffctl;
mod machine;
mod network;
mod probe;
#[path = "../e2e/support/program.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod program;
mod user;

use serde_json::Value;

pub(crate) use arrivals::{Arrivals, longest_pause};
pub(crate) use capture::{Capture, Runs};
pub(crate) use content::hash_of;
use content::{Scratch, write_random};
pub(crate) use ffctl::{Sending, Watching};
pub(crate) use machine::Machine;
pub(crate) use network::{
    Asking, MappingNetwork, MovingNetwork, Nat, Network, TranslatedNetwork, lacks_namespaces,
};
pub(crate) use probe::{Behaviour, turns_around};
pub(crate) use program::PATIENCE;
use program::{Outcome, Program, program};
use user::{Server, User};

/// Whether bytes of the file have arrived otherwise than through the relay.
pub(crate) fn is_direct(transfer: &Value) -> bool {
    transfer["links"].get("direct").or(transfer["links"].get("lan")).is_some()
}

const FILM: &str = "film.bin";
/// Takes seconds over [`network::UPLINK`], while the way that carries most is found in milliseconds.
const FILM_LEN: u64 = 32 << 20;
const LONG_FILM_LEN: u64 = 128 << 20;

/// Alice and Bob, registered at one server; Bob takes whatever Alice sends.
pub(crate) struct Pair<'a> {
    pub(crate) alice: User<'a>,
    pub(crate) bob: User<'a>,
    pub(crate) server: Server<'a>,
}

impl<'a> Pair<'a> {
    pub(crate) fn on(network: &'a Network) -> Self {
        let server = Server::start(&network.server, network.server_ip);
        let alice = User::registered("alice", &network.alice, &server);
        let bob = User::registered("bob", &network.bob, &server);
        bob.ffctl(&["contacts", "set", "alice", "--accept", "always"]).done();
        Self { alice, bob, server }
    }

    /// The two meet, then there is no server any more, and both daemons are started anew.
    #[track_caller]
    pub(crate) fn meet_and_lose_server(&mut self) {
        let note = self.alice.file("note");
        write_random(&note, 1_000);
        self.alice.send("bob", "note").done();
        self.server.kill();
        for user in [&mut self.alice, &mut self.bob] {
            user.stop();
            user.start();
        }
    }

    /// Alice begins to send a new file.
    pub(crate) fn send_film(&self) -> Sending {
        self.send_film_of(FILM_LEN)
    }

    /// Alice begins to send a new file of so many bytes.
    pub(crate) fn send_film_of(&self, len: u64) -> Sending {
        write_random(&self.alice.file(FILM), len);
        self.alice.send("bob", FILM)
    }

    /// Writes a file of Alice's that takes longer to send than any search for a path, on the slow
    /// uplinks of [`Network::between`]; its name.
    pub(crate) fn long_film(&self) -> &'static str {
        write_random(&self.alice.file(FILM), LONG_FILM_LEN);
        FILM
    }

    /// Waits until the file has arrived as it was; the last event.
    #[track_caller]
    pub(crate) fn film_arrives(&self, sending: Sending) -> Value {
        let done = sending.done();
        self.film_is_there(&done);
        done
    }

    /// Checks that the file is there as it was, and who brought it.
    #[track_caller]
    pub(crate) fn film_is_there(&self, done: &Value) {
        let source = self.alice.file(FILM);
        assert_eq!(hash_of(&self.bob.received(FILM)), hash_of(&source));
        let links = done["links"].as_object().unwrap();
        let carried: u64 = links.values().filter_map(Value::as_u64).sum();
        assert_eq!(carried, source.metadata().unwrap().len(), "{done}");
    }
}
