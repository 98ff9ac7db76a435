//! A client of the daemon: calls, one after the other, or events; or bytes that belong to a call.
//!
//! A connection serves either calls ([`Client::call`]) or a watcher ([`Client::watch`]); a program
//! that wants both at once opens two.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use crate::home::Home;
use crate::proto::chunk;
use crate::proto::frame::{self, FrameError, LineReader};
use crate::proto::{Call, ControlError, Event, Hello, Message, Reply, Request, VERSION};
use crate::socket::{self, ConnectError, Stream};

/// How long the daemon may take to say hello: it does so at once, or it is stuck.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no connection to the daemon.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The daemon speaks another version of the protocol.
    #[error("filefleetd {} (process {}) is of another version than this program", .0.daemon, .0.pid)]
    Version(Hello),
    /// The daemon accepted the connection and said nothing.
    #[error("filefleetd does not answer")]
    TimedOut,
    /// The daemon ended the connection.
    #[error("filefleetd ended the connection")]
    ClosedByDaemon,
    /// The call does not fit into one message, and was not sent.
    #[error("this is too much for one request")]
    TooLong,
    /// The connection failed.
    #[error("the connection to filefleetd failed")]
    Io(#[source] io::Error),
    /// The daemon said what cannot be understood.
    #[error("filefleetd sent what this program does not understand")]
    Protocol(#[source] FrameError),
    /// The daemon answered with something that does not belong to the call.
    #[error("filefleetd gave an answer that does not belong to the question")]
    UnexpectedReply,
    /// The daemon refused the call, or failed at it.
    #[error(transparent)]
    Refused(#[from] ControlError),
}

/// A connection for calls.
#[derive(Debug)]
pub struct Client {
    lines: LineReader<ReadHalf<Stream>>,
    stream: WriteHalf<Stream>,
    hello: Hello,
    last_id: u64,
}

impl Client {
    /// Connects to the daemon of `home` and checks that it speaks this version.
    pub async fn connect(home: &Home) -> Result<Self, ClientError> {
        let client = Self::connect_any(home).await?;
        match client.hello.version {
            VERSION => Ok(client),
            _ => Err(ClientError::Version(client.hello)),
        }
    }

    /// Connects to the daemon of `home`, whatever version it speaks: enough to learn its process
    /// id and to shut it down.
    pub async fn connect_any(home: &Home) -> Result<Self, ClientError> {
        Self::connect_within(home, HELLO_DEADLINE).await
    }

    async fn connect_within(home: &Home, deadline: Duration) -> Result<Self, ClientError> {
        let (read, write) = tokio::io::split(socket::connect(home).await?);
        let mut lines = LineReader::new(read, frame::MAX_MESSAGE);
        match tokio::time::timeout(deadline, next_message(&mut lines)).await {
            Ok(Ok(Message::Hello(hello))) => Ok(Self { lines, stream: write, hello, last_id: 0 }),
            Ok(Ok(_)) => Err(ClientError::UnexpectedReply),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ClientError::TimedOut),
        }
    }

    /// What the daemon said first.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Asks and waits for the answer. Some answers take as long as a server on the network does.
    ///
    /// Not cancel safe: after a call that was abandoned, connect again.
    pub async fn call(&mut self, call: Call) -> Result<Reply, ClientError> {
        self.last_id += 1;
        let line = frame::encode(&Request { id: self.last_id, call });
        if line.len() > frame::MAX_REQUEST {
            return Err(ClientError::TooLong);
        }
        self.stream.write_all(&line).await.map_err(io_error)?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Reply, ClientError> {
        match next_message(&mut self.lines).await? {
            Message::Response(response) if response.id == self.last_id => Ok(response.result?),
            _ => Err(ClientError::UnexpectedReply),
        }
    }

    /// Asks something that is followed by bytes, such as [`Call::SendStream`].
    pub async fn upload(mut self, call: Call) -> Result<Upload, ClientError> {
        match self.call(call).await? {
            Reply::Ready => Ok(Upload(self)),
            _ => Err(ClientError::UnexpectedReply),
        }
    }

    /// Turns the connection into a stream of events; the first is [`Event::State`].
    pub async fn watch(mut self) -> Result<Watch, ClientError> {
        match self.call(Call::Watch).await? {
            Reply::Done => Ok(Watch { lines: self.lines, _stream: self.stream }),
            _ => Err(ClientError::UnexpectedReply),
        }
    }
}

/// A connection on which bytes go to the daemon. Dropped before [`finish`](Self::finish), it lets the
/// daemon know that they broke off.
#[derive(Debug)]
pub struct Upload(Client);

impl Upload {
    /// Hands over the next bytes. Not cancel safe: after a call that was abandoned, drop it.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        for part in bytes.chunks(chunk::MAX_CHUNK) {
            self.put(part).await?;
        }
        Ok(())
    }

    /// Says that this is all, and waits for the answer; the connection may be used for other calls.
    pub async fn finish(mut self) -> Result<(Reply, Client), ClientError> {
        self.put(&[]).await?;
        let reply = self.0.answer().await?;
        Ok((reply, self.0))
    }

    /// A daemon that cannot take more says why and hangs up.
    async fn put(&mut self, part: &[u8]) -> Result<(), ClientError> {
        let Err(error) = self.0.stream.write_all(&chunk::encode(part)).await else { return Ok(()) };
        match self.0.answer().await {
            Err(refused @ ClientError::Refused(_)) => Err(refused),
            _ => Err(io_error(error)),
        }
    }
}

/// A connection for events.
#[derive(Debug)]
pub struct Watch {
    lines: LineReader<ReadHalf<Stream>>,
    /// The daemon takes the end of this half for the end of the client.
    _stream: WriteHalf<Stream>,
}

impl Watch {
    /// The next event. Read without long pauses: the daemon drops who does not read. Cancel safe.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        match next_message(&mut self.lines).await? {
            Message::Event(event) => Ok(event),
            _ => Err(ClientError::UnexpectedReply),
        }
    }
}

/// The next message of a kind that is known. Cancel safe.
async fn next_message(lines: &mut LineReader<ReadHalf<Stream>>) -> Result<Message, ClientError> {
    loop {
        match lines.next_line().await {
            Ok(Some(line)) => match Message::decode(line) {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => tracing::debug!("skipped a message of an unknown kind"),
                Err(error) => return Err(ClientError::Protocol(FrameError::Malformed(error))),
            },
            Ok(None) | Err(FrameError::Truncated) => return Err(ClientError::ClosedByDaemon),
            Err(FrameError::Io(error)) => return Err(io_error(error)),
            Err(error) => return Err(ClientError::Protocol(error)),
        }
    }
}

/// A daemon that dies resets its connections.
fn io_error(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => ClientError::ClosedByDaemon,
        _ => ClientError::Io(error),
    }
}

#[cfg(all(test, unix))]
mod tests;
