//! Hostile peers: the real daemon at one end, and at the other somebody who speaks the peer protocol
//! by hand and breaks it. After each attempt the daemon still serves others, nothing lies under a real
//! name that was not verified, nothing was written outside the destination, and nothing panicked.

#![allow(clippy::unwrap_used)]

mod bystanders;
mod consent;
mod frames;
mod impostors;
mod last_word;
mod lengths;
mod memory;
mod names;
mod numbers;
mod others;
mod privacy;
#[cfg(target_os = "linux")]
mod races;
mod raw;
mod speaker;
mod stalling;
mod support;
