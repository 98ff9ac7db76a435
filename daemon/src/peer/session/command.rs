//! What the peers' actor tells a session's actor, and hears of it in the end.

use std::net::SocketAddr;

use filefleet_server::protos::{relay::SessionId, rendezvous::RefuseReason};
use tokio::sync::oneshot;

use super::{
    super::{CloseReason, ConnectError, link::Opened},
    Session,
};
use crate::transport::relayed::Ticket;

/// What the peers' actor tells a session.
#[derive(Debug)]
pub(in crate::peer) enum Command {
    /// Make the relayed link of a call.
    Call(Ticket),
    /// The callee refused a call.
    Refused(SessionId, RefuseReason),
    /// The other side of a call is observed at this address.
    Revealed(SessionId, SocketAddr),
    /// The peer answers at this address, on a network here.
    Dial(SocketAddr),
    /// The peer has connected to the main socket.
    Adopt(quinn::Connection),
    /// Tell when there is a link, or that there will be none.
    Wait(Waiter),
}

/// Who waits for a session.
pub(in crate::peer) type Waiter = oneshot::Sender<Result<Session, ConnectError>>;

/// How a session ended.
#[derive(Debug)]
pub(in crate::peer) enum Ending {
    /// It is over.
    Closed(CloseReason),
    /// The peer's device began a newer session, of which this is the first link.
    Replaced(Box<Opened>),
}
