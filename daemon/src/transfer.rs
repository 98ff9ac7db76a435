//! Transfers: what is sent, what arrives, and how both ends know that it is the same.

pub mod dest;
pub mod entry;
mod folder;
pub mod hash;
pub mod source;

#[cfg(all(test, target_os = "linux"))]
mod testing;
