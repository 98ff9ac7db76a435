//! The control socket: one task per client, which turns requests into events for the daemon's loop
//! and the loop's answers into responses.

pub(crate) mod calls;
pub(crate) mod doctor;
pub(crate) mod error;
pub(crate) mod invite;
pub(crate) mod link;
mod upload;
pub(crate) mod view;

use filefleet_ctl::proto::{Call, Hello, Reply, Request, VERSION};
use filefleet_ctl::server::ServerConnection;
use filefleet_ctl::socket::{Listener, Stream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::daemon::Event;
use crate::spool::Spool;

/// Clients that may be connected at once. They are the user's own programs; more are a mistake.
const MAX_CLIENTS: usize = 128;
/// The pause after a connection could not be taken (out of file descriptors, above all).
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Serves the control socket until `stop` is cancelled; gives it back with whoever waits there.
pub(crate) async fn serve(
    listener: Listener,
    events: mpsc::Sender<Event>,
    spool: Spool,
    stop: CancellationToken,
) -> Listener {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = clients.join_next() => {}
            accepted = listener.accept(), if clients.len() < MAX_CLIENTS => match accepted {
                Ok(stream) => {
                    let (events, spool, stop) = (events.clone(), spool.clone(), stop.clone());
                    clients.spawn(serve_client(stream, events, spool, stop));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take a control connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // Answers that are under way are still delivered.
    while clients.join_next().await.is_some() {}
    listener
}

async fn serve_client(
    stream: Stream,
    events: mpsc::Sender<Event>,
    spool: Spool,
    stop: CancellationToken,
) {
    let hello = Hello {
        version: VERSION,
        daemon: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
    };
    let mut connection = ServerConnection::new(stream, &hello);
    loop {
        let request = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            request = connection.next() => request,
        };
        match request {
            Ok(Some(request)) => {
                let goes_on = tokio::select! {
                    biased;
                    () = stop.cancelled(), if matches!(request.call, Call::SendStream { .. }) => false,
                    goes_on = answer(&mut connection, request.clone(), &events, &spool) => goes_on,
                };
                if !goes_on {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "a control client sent nonsense");
                break;
            }
        }
    }
    connection.close().await;
}

/// Answers one request; false when the daemon ends, or the connection is of no more use.
async fn answer(
    connection: &mut ServerConnection<Stream>,
    Request { id, call }: Request,
    events: &mpsc::Sender<Event>,
    spool: &Spool,
) -> bool {
    let responder = connection.responder();
    if matches!(call, Call::Watch) {
        responder.respond(id, Ok(Reply::Done));
        return events.send(Event::Watch { responder }).await.is_ok();
    }
    let (answer, answered) = oneshot::channel();
    if events.send(Event::Call { call: call.clone(), answer }).await.is_err() {
        return false;
    }
    let result = answered.await.unwrap_or_else(|_| Err(error::stopping()));
    if matches!(result, Ok(Reply::Ready)) {
        return upload::take(connection, (id, call), spool, events).await;
    }
    responder.respond(id, result);
    true
}
