//! Bytes that a client sends to be sent on: they go to the spool as they come, and the transfer begins
//! when all are there and on the disk.

use std::fs::File;
use std::io::{self, Write};

use filefleet_ctl::proto::frame::FrameError;
use filefleet_ctl::proto::{Call, ControlError, Reply};
use filefleet_ctl::server::ServerConnection;
use filefleet_ctl::socket::Stream;
use tokio::sync::{mpsc, oneshot};

use super::error;
use crate::daemon::{Event, Spooled};
use crate::spool::{Draft, Spool};

/// Chunks that may wait for the disk. Full: the client's writes wait.
const WAITING_CHUNKS: usize = 8;

/// Why an upload came to nothing.
enum Failed {
    /// The client learns why.
    Refused(ControlError),
    /// The client is gone, or speaks nonsense.
    Gone(FrameError),
}

/// Takes what follows on a [`Call::SendStream`] that the daemon has agreed to; false when the connection
/// is of no more use.
pub(super) async fn take(
    connection: &mut ServerConnection<Stream>,
    (id, call): (u64, Call),
    spool: &Spool,
    events: &mpsc::Sender<Event>,
) -> bool {
    let Call::SendStream { to, name, no_queue, options } = call else { return false };
    let responder = connection.responder();
    let (answer, answered) = oneshot::channel();
    let draft = match receive(connection, id, spool.clone(), name).await {
        Ok(draft) => draft,
        Err(Failed::Refused(error)) => {
            responder.respond(id, Err(error));
            // It would go on to send.
            return false;
        }
        Err(Failed::Gone(error)) => {
            tracing::debug!(%error, "a stream of bytes broke off");
            return false;
        }
    };
    let spooled = Spooled { to, draft, queue: !no_queue, options, text: None };
    if events.send(Event::Spooled { spooled, answer }).await.is_err() {
        return false;
    }
    responder.respond(id, answered.await.unwrap_or_else(|_| Err(error::stopping())));
    true
}

/// Says that the bytes may come, and writes them to a new draft.
async fn receive(
    connection: &mut ServerConnection<Stream>,
    id: u64,
    spool: Spool,
    name: String,
) -> Result<Draft, Failed> {
    let refused = |failure: io::Error| Failed::Refused(error::cannot_spool(&failure));
    let made = tokio::task::spawn_blocking(move || spool.draft(&name)).await;
    let (draft, file) = made.map_err(|_| Failed::Refused(error::stopping()))?.map_err(refused)?;
    connection.responder().respond(id, Ok(Reply::Ready));
    let (chunks, waiting) = mpsc::channel(WAITING_CHUNKS);
    let written = tokio::task::spawn_blocking(move || write(draft, file, waiting));
    let end = loop {
        match connection.next_chunk().await {
            Ok(Some(bytes)) => {
                if chunks.send(Some(bytes.to_vec())).await.is_err() {
                    // The disk has failed; why, the writer says.
                    break Ok(());
                }
            }
            Ok(None) => {
                // A writer that has ended says why.
                let _ = chunks.send(None).await;
                break Ok(());
            }
            Err(error) => break Err(Failed::Gone(error)),
        }
    };
    drop(chunks);
    let written = written.await.map_err(|_| Failed::Refused(error::stopping()))?;
    end.and_then(|()| written.map_err(refused))
}

/// Writes chunks until `None` says that these were all; a channel that closes before is an error.
fn write(
    draft: Draft,
    mut file: File,
    mut chunks: mpsc::Receiver<Option<Vec<u8>>>,
) -> io::Result<Draft> {
    while let Some(bytes) = chunks.blocking_recv().ok_or(io::ErrorKind::UnexpectedEof)? {
        file.write_all(&bytes)?;
    }
    draft.seal(&file)?;
    Ok(draft)
}
