//! `ffctl` while it runs: the events of `send --json` and of `watch --json`.

use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::Signal;
use serde_json::Value;

use super::program::parse;
use super::{Outcome, PATIENCE, Program};

/// `ffctl send --json` under way.
pub(crate) struct Sending(Program);

impl Sending {
    pub(super) fn new(program: Program) -> Self {
        Self(program)
    }

    /// The next event; `None` after the last.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Option<Value> {
        self.0.line().map(|line| parse(&line))
    }

    /// Waits for the transfer's id.
    #[track_caller]
    pub(crate) fn id(&mut self) -> String {
        let event = self.event().unwrap();
        assert_eq!(event["event"], "started", "{event}");
        text(&event["transfer"])
    }

    /// Waits for progress of which `wanted` holds; the transfer must not end before.
    #[track_caller]
    pub(crate) fn progress(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.event().expect("the transfer goes on");
            match event["event"].as_str() {
                Some("started" | "link") => {}
                Some("progress") if wanted(&event) => return event,
                Some("progress") => {}
                _ => panic!("it ended too early: {event}"),
            }
        }
    }

    /// Waits until content has arrived, but not all of it.
    #[track_caller]
    pub(crate) fn halfway(&mut self) -> Value {
        let moved = |event: &Value| event["bytes_done"].as_u64() > Some(0);
        let event = self.progress(moved);
        assert!(event["bytes_done"].as_u64() < event["bytes"].as_u64(), "{event}");
        event
    }

    /// Waits until the other side has the request and has not answered yet.
    #[track_caller]
    pub(crate) fn waiting(&mut self) {
        self.progress(|event| event["state"] == "waiting");
    }

    /// Ctrl-C. On Windows nobody but the console can send it.
    #[cfg(unix)]
    pub(crate) fn interrupt(&self) {
        self.0.signal(Signal::INT);
    }

    #[track_caller]
    pub(crate) fn kill(self) {
        self.0.kill();
    }

    #[track_caller]
    pub(crate) fn end(self) -> Outcome {
        self.0.end()
    }

    /// Waits until everything has arrived; the last event.
    #[track_caller]
    pub(crate) fn done(self) -> Value {
        let last = self.end().done().last();
        assert_eq!(last["event"], "done", "{last}");
        last
    }

    /// Waits until the daemon has queued it for this reason; the transfer's id.
    #[track_caller]
    pub(crate) fn queued(self, reason: &str) -> String {
        let last = self.end().failed(6).last();
        assert_eq!((&last["event"], &last["reason"]["code"]), (&"queued".into(), &reason.into()));
        text(&last["transfer"])
    }

    /// Waits until it has failed with this exit code and this code of an error.
    #[track_caller]
    pub(crate) fn failed(self, exit_code: i32, code: &str) -> Outcome {
        let outcome = self.end().failed(exit_code);
        let last = outcome.last();
        assert_eq!(last["event"], "failed", "{last}");
        assert_eq!(last["error"]["code"], code, "{last}");
        outcome
    }
}

/// `ffctl watch --json` under way.
pub(crate) struct Watching(Program);

impl Watching {
    /// Has read the state of things; what happens from now on is not missed.
    pub(super) fn new(mut program: Program) -> Self {
        let state = parse(&program.line().unwrap());
        assert_eq!(state["event"], "state", "{state}");
        Self(program)
    }

    /// Waits for an event of this kind of which `wanted` holds; what it says.
    #[track_caller]
    pub(crate) fn until(&mut self, kind: &str, wanted: impl FnMut(&Value) -> bool) -> Value {
        self.until_within(PATIENCE, kind, wanted)
    }

    /// The same, when the product promises a time.
    #[track_caller]
    pub(crate) fn until_within(
        &mut self,
        time: Duration,
        kind: &str,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.0.line_within(left).expect("the daemon runs on");
            let event = parse(&line);
            if event["event"] == kind && wanted(&event["data"]) {
                return event["data"].clone();
            }
        }
    }

    /// What all further events of this kind say, when the daemon has ended.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn rest(mut self, kind: &str) -> Vec<Value> {
        let events = std::iter::from_fn(|| self.0.line()).map(|line| parse(&line));
        let wanted = events.filter(|event| event["event"] == kind);
        wanted.map(|event| event["data"].clone()).collect()
    }

    /// Waits for a request; its id.
    #[track_caller]
    pub(crate) fn request(&mut self) -> String {
        text(&self.until("request", |_| true)["id"])
    }

    /// Waits until a transfer has ended in this state.
    #[track_caller]
    pub(crate) fn ended(&mut self, id: &str, state: &str) -> Value {
        self.until("transfer", |transfer| transfer["id"] == id && transfer["state"] == state)
    }
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}
