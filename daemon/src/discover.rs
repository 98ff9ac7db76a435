//! What the machine's own network tells: mappings that its router grants. It knows no peers.

pub mod portmap;
