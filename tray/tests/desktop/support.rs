//! What the tests are made of: a desktop, the tray on it, and the users, daemons and server of the
//! daemon's own end-to-end tests.
//!
//! [`bus`], [`desktop`] and [`screen`] know nothing of the tray: whatever else shows something on a
//! desktop can be tested with them.

mod bus;
#[path = "../../../daemon/tests/e2e/support/content.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod content;
mod desktop;
#[path = "../../../daemon/tests/e2e/support/ffctl.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod ffctl;
mod menu;
mod notices;
#[path = "../../../daemon/tests/e2e/support/program.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod program;
mod screen;
#[path = "../../../daemon/tests/e2e/support/server.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod server;
mod tray;
#[path = "../../../daemon/tests/e2e/support/user.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod user;

pub(crate) use content::Scratch;
pub(crate) use desktop::Desktop;
pub(crate) use ffctl::{Sending, Watching};
pub(crate) use notices::{FileManager, Notices};
pub(crate) use program::{Outcome, PATIENCE, Program, program};
pub(crate) use server::Server;
pub(crate) use tray::Tray;
pub(crate) use user::User;

/// Alice and Bob, registered at one server; Alice has a desktop, and Bob takes what she sends.
pub(crate) struct Scene {
    pub(crate) desktop: Desktop,
    pub(crate) alice: User,
    pub(crate) bob: User,
    #[expect(dead_code, reason = "it has to live as long as they do")]
    server: Server,
}

impl Scene {
    /// Both have each other as contacts, so that each sees whether the other is online.
    pub(crate) fn new() -> Self {
        let server = Server::start();
        let alice = User::registered("alice", &server);
        let bob = User::registered("bob", &server);
        alice.accept("bob", "ask");
        bob.accept("alice", "always");
        Self { desktop: Desktop::start(), alice, bob, server }
    }

    /// Alice's tray, which knows of Bob.
    #[track_caller]
    pub(crate) fn tray(&self) -> Tray<'_> {
        let tray = Tray::start(&self.desktop, &self.alice);
        tray.line(&["Send to", "● bob"]);
        tray
    }
}
