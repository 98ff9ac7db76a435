//! The real programs in network namespaces: which kind of link two daemons find, and what the
//! server gets to see. Needs root. Every namespace belongs to its test and goes with it; every wait
//! is for an event: a line that a program prints, or its end.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod blocked;
mod bystanders;
mod changing;
mod doctor;
mod failing;
mod lan;
mod matrix;
mod mdns;
mod nat;
mod portmap;
mod relayed;
mod routed;
mod serverless;
mod slow;
mod support;
mod topologies;
mod upgrading;
