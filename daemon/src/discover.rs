//! What the machine's own network tells: when it changes, and mappings that its router grants. It
//! knows no peers.

pub mod changes;
pub mod portmap;
