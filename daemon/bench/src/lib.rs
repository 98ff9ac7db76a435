//! What measuring FileFleet needs: machines that are network namespaces ([`lab`]), a long or lossy
//! link between two of them ([`wan`]), and bare quinn to compare with ([`bare`]).
//!
//! It knows no other crate of the workspace: the programs that it measures are the real ones. Linux
//! only, since it stands on namespaces and TUN devices; elsewhere the crate is empty.
#![cfg(target_os = "linux")]

pub mod bare;
pub mod lab;
pub mod tcp;
pub mod units;
pub mod wan;
