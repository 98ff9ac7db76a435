//! The daemon's end of a control connection: requests in, responses and events out.
//!
//! Reading and writing are apart. Whatever is sent goes into a bounded queue which a task of the
//! connection writes out, so that nobody in the daemon ever waits for a client: one that does not
//! read is dropped.
//!
//! ```no_run
//! # use filefleet_ctl::{proto::{Hello, Reply}, server::ServerConnection, socket};
//! # async fn serve(stream: socket::Stream) {
//! let mut connection = ServerConnection::new(stream, &Hello::new("0.1.0"));
//! let responder = connection.responder();
//! while let Ok(Some(request)) = connection.next().await {
//!     responder.respond(request.id, Ok(Reply::Done));
//! }
//! connection.close().await;
//! # }
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::proto::frame::{self, FrameError, LineReader};
use crate::proto::{ControlError, ErrorCode, Event, Hello, Message, Reply, Request, Response};

/// Most lines that wait for one client: a burst of events while it is not scheduled.
const MAX_QUEUED_LINES: usize = 1024;

/// Most bytes that wait for one client, before the line that is added last.
const MAX_QUEUED_BYTES: usize = 4 << 20;

/// How long the last lines may take at [`ServerConnection::close`]: a client reads at once or is
/// stuck.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// One client, as the daemon sees it. Dropping it closes the connection at once.
#[derive(Debug)]
pub struct ServerConnection<S> {
    lines: LineReader<ReadHalf<S>>,
    responder: Responder,
    writer: Writer,
}

/// Answers one client. Cheap to clone; all clones write to the same connection.
#[derive(Debug, Clone)]
pub struct Responder {
    queue: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queued_bytes: AtomicUsize,
    /// Tells the writing task to end at once: the client does not read.
    overflow: Notify,
    /// Tells the writing task to end when what is queued is written.
    finish: Notify,
}

/// Ends the writing task when it is dropped.
#[derive(Debug)]
struct Writer(JoinHandle<()>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> ServerConnection<S> {
    /// Serves a client that has just connected, and says hello. Needs a tokio runtime.
    pub fn new(stream: S, hello: &Hello) -> Self {
        let (read, write) = tokio::io::split(stream);
        // Full means that the client does not read: it is dropped, see `Responder::send`.
        let (queue, queued) = mpsc::channel(MAX_QUEUED_LINES);
        let shared = Arc::new(Shared::default());
        let writer = Writer(tokio::spawn(write_lines(write, queued, Arc::clone(&shared))));
        let responder = Responder { queue, shared };
        responder.send(frame::encode(&Message::Hello(hello.clone())));
        Self { lines: LineReader::new(read, frame::MAX_REQUEST), responder, writer }
    }

    /// A handle to answer with, from anywhere.
    pub fn responder(&self) -> Responder {
        self.responder.clone()
    }

    /// The next request; `None` when the client is gone or was dropped for not reading.
    ///
    /// A request that cannot be understood is answered here, and skipped. A line that is no request
    /// at all is answered and is an error, after which nothing more comes. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Request>, FrameError> {
        loop {
            let line = tokio::select! {
                biased;
                () = self.responder.queue.closed() => return Ok(None),
                line = self.lines.next_line() => line,
            };
            let (id, error) = match line {
                Ok(None) => return Ok(None),
                Ok(Some(line)) => match serde_json::from_slice(line) {
                    Ok(request) => return Ok(Some(request)),
                    Err(error) => (id_of(line), FrameError::Malformed(error)),
                },
                Err(error) => (None, error),
            };
            let code = match error {
                FrameError::TooLong(_) => ErrorCode::TooLarge,
                _ => ErrorCode::BadArgument,
            };
            let answer = ControlError::new(code, error.to_string());
            self.responder.respond(id.unwrap_or(0), Err(answer));
            if id.is_none() {
                return Err(error);
            }
        }
    }

    /// The next bytes of the stream that follows on a call; `None` at its end. That the client is gone
    /// before is an error. Cancel safe.
    pub async fn next_chunk(&mut self) -> Result<Option<&[u8]>, FrameError> {
        tokio::select! {
            biased;
            () = self.responder.queue.closed() => Err(FrameError::Truncated),
            chunk = self.lines.next_chunk() => chunk,
        }
    }

    /// Writes out what was answered so far, then closes the connection. From then on, nobody hears
    /// what a [`Responder`] of it says.
    pub async fn close(mut self) {
        self.responder.shared.finish.notify_one();
        let _too_slow = tokio::time::timeout(CLOSE_DEADLINE, &mut self.writer.0).await;
    }
}

impl Responder {
    /// Answers the request `id`. A client that does not read is dropped instead.
    pub fn respond(&self, id: u64, result: Result<Reply, ControlError>) {
        let mut line = frame::encode(&Message::Response(Response { id, result }));
        if line.len() > frame::MAX_MESSAGE {
            let error = ControlError::new(ErrorCode::TooLarge, "the answer is too long");
            line = frame::encode(&Message::Response(Response { id, result: Err(error) }));
        }
        self.send(line);
    }

    /// Tells a client that watches. A client that does not read is dropped instead.
    pub fn event(&self, event: Event) {
        let mut line = frame::encode(&Message::Event(event));
        if line.len() > frame::MAX_MESSAGE {
            let message = "something happened that is too long to be told".to_owned();
            line = frame::encode(&Message::Event(Event::Warning { message }));
        }
        self.send(line);
    }

    /// Whether the client is gone, so that nobody hears what is said here.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    fn send(&self, line: Vec<u8>) {
        let queued = self.shared.queued_bytes.fetch_add(line.len(), Ordering::Relaxed);
        if queued > MAX_QUEUED_BYTES || self.queue.try_send(line).is_err() {
            self.shared.overflow.notify_one();
        }
    }
}

/// The id of a request that cannot be understood otherwise.
fn id_of(line: &[u8]) -> Option<u64> {
    let request: serde_json::Value = serde_json::from_slice(line).ok()?;
    request.get("id")?.as_u64()
}

/// Owns the sending half; its end closes the connection.
async fn write_lines<W>(mut stream: W, mut queued: mpsc::Receiver<Vec<u8>>, shared: Arc<Shared>)
where
    W: AsyncWrite + Unpin,
{
    let write_all = async {
        loop {
            let line = tokio::select! {
                biased;
                () = shared.finish.notified() => {
                    queued.close();
                    continue;
                }
                line = queued.recv() => line,
            };
            let Some(line) = line else { break };
            stream.write_all(&line).await?;
            shared.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
        }
        stream.shutdown().await
    };
    tokio::select! {
        biased;
        () = shared.overflow.notified() => tracing::debug!("dropped a client that does not read"),
        result = write_all => {
            if let Err(error) = result {
                tracing::debug!(%error, "a client went away");
            }
        }
    }
}

#[cfg(test)]
mod tests;
