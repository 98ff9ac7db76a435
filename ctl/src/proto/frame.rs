//! Lines: how messages are cut out of a stream, and how long one may be.

use std::io;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest line that the daemon reads from a client. The longest honest one is a `send` with
/// thousands of paths.
pub const MAX_REQUEST: usize = 1 << 20;

/// Longest line that a client reads from the daemon: a page of [`MAX_PAGE`](super::MAX_PAGE)
/// entries whose names are of the longest and need escapes everywhere.
pub const MAX_MESSAGE: usize = 16 << 20;

/// Bytes asked of the stream at a time.
const READ_SIZE: usize = 4 << 10;

/// Why no line could be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The line did not end within the bound.
    #[error("a line is longer than {0} bytes")]
    TooLong(usize),
    /// The line is no message.
    #[error("a line cannot be understood: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The stream ended in the middle of a line.
    #[error("the connection ended in the middle of a line")]
    Truncated,
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Cuts a stream into lines, without ever holding more than `max` bytes and one read.
#[derive(Debug)]
pub struct LineReader<R> {
    stream: R,
    max: usize,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that belong to the line handed out last.
    taken: usize,
    /// Bytes of `buffer` known to hold no line feed.
    searched: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines of at most `max` bytes from `stream`.
    pub fn new(stream: R, max: usize) -> Self {
        Self {
            stream,
            max,
            buffer: Vec::new(),
            taken: 0,
            searched: 0,
        }
    }

    /// The next line without its line feed, or `None` at the stream's end.
    ///
    /// Cancel safe: bytes that were read stay in the buffer.
    pub async fn next_line(&mut self) -> Result<Option<&[u8]>, FrameError> {
        self.buffer.drain(..std::mem::take(&mut self.taken));
        let end = loop {
            let unsearched = &self.buffer[self.searched..];
            if let Some(offset) = unsearched.iter().position(|byte| *byte == b'\n') {
                break self.searched + offset;
            }
            self.searched = self.buffer.len();
            if self.searched > self.max {
                return Err(FrameError::TooLong(self.max));
            }
            self.buffer.reserve(READ_SIZE);
            if (&mut self.stream)
                .take(READ_SIZE as u64)
                .read_buf(&mut self.buffer)
                .await?
                == 0
            {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameError::Truncated)
                };
            }
        };
        self.searched = 0;
        self.taken = end + 1;
        if end > self.max {
            return Err(FrameError::TooLong(self.max));
        }
        Ok(Some(&self.buffer[..end]))
    }
}

/// A message as the line that goes out. JSON escapes line feeds, so that it is one line.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("string keys and finite numbers only");
    line.push(b'\n');
    line
}
