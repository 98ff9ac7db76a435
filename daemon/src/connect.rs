//! Finding direct paths between two daemons, beside the relayed link that they already share.
//!
//! Each side tells the other, inside the authenticated session, where it may be reached: an
//! [`offer::Offer`] of [`candidate::Candidate`]s. Both then send keyed STUN Binding requests to all
//! of them ([`checks::Checks`]); whatever answers is a path. Nothing is nominated: a QUIC
//! connection over a path is the nomination.
//!
//! Where one NAT maps every destination to another port, ports are guessed ([`birthday`]).
//!
//! Only [`driver`] touches sockets and the clock; it knows nothing of sessions or messages.

pub mod allowance;
pub mod birthday;
pub mod candidate;
pub mod checks;
pub mod driver;
pub mod obstacle;
pub mod offer;
