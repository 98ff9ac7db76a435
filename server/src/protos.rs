//! What daemon and server say to each other, as types with a codec each.
//!
//! Everything here is free of sockets and clocks. Decoders take bytes from strangers: they bound
//! every length before they allocate and never panic.

pub mod address;
pub mod certificate;
pub mod hex;
pub mod name;
pub mod relay;
pub mod rendezvous;
pub mod stun;
pub mod tls;
pub mod tunnel;
