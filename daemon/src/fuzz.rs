//! Fuzzing: arbitrary and damaged bytes against every decoder that stands between a stranger and us,
//! and arbitrary names against the file system.
//!
//! Each test is one target. It mutates valid messages, keeps what is still accepted to mutate it
//! further, and checks that nothing panics, that no input makes its decoder allocate more than a bound
//! that grows with the input alone, and that what was accepted survives being written and read again.
//!
//! A plain `cargo test` makes each target run a fixed number of executions, the same ones every time.
//! To fuzz for longer, with other random numbers each time, give the seconds per target:
//!
//! ```sh
//! FILEFLEET_FUZZ_SECONDS=300 cargo test -p filefleet-daemon --lib fuzz:: -- --nocapture
//! ```
//!
//! `FILEFLEET_FUZZ_NAMES=1000000` sets how many names are tried (see [`names`]). An input that breaks
//! something is printed, to become a test of its own.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod engine;
mod lan;
mod local;
mod names;
mod peer;
mod rendezvous;
