//! What the machine's own network tells: when it changes, mappings that its router grants, and who
//! else announces themselves on it. It knows no sessions.

pub mod changes;
pub mod mdns;
pub mod portmap;
