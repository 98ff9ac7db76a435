//! Lines: how messages are cut out of a stream, and how long one may be; and chunks, where bytes follow.

use std::io;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::chunk::{HEADER, MAX_CHUNK};

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
    /// The stream ended in the middle of a line, or before the end of a stream of bytes.
    #[error("the connection ended too early")]
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
        Self { stream, max, buffer: Vec::new(), taken: 0, searched: 0 }
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
            if (&mut self.stream).take(READ_SIZE as u64).read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
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

/// Streams of bytes.
impl<R: AsyncRead + Unpin> LineReader<R> {
    /// The next chunk of a stream of bytes that follows on a line, or `None` at its end; after it come
    /// lines again.
    ///
    /// Cancel safe, as [`next_line`](Self::next_line) is.
    pub async fn next_chunk(&mut self) -> Result<Option<&[u8]>, FrameError> {
        self.buffer.drain(..std::mem::take(&mut self.taken));
        self.searched = 0;
        self.fill(HEADER).await?;
        let mut header = [0; HEADER];
        header.copy_from_slice(&self.buffer[..HEADER]);
        let len = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
        if len > MAX_CHUNK {
            return Err(FrameError::TooLong(MAX_CHUNK));
        }
        self.fill(HEADER + len).await?;
        self.taken = HEADER + len;
        Ok((len > 0).then(|| &self.buffer[HEADER..HEADER + len]))
    }

    /// Reads until the buffer holds `len` bytes.
    async fn fill(&mut self, len: usize) -> Result<(), FrameError> {
        while self.buffer.len() < len {
            let missing = (len - self.buffer.len()) as u64;
            self.buffer.reserve(len - self.buffer.len());
            if (&mut self.stream).take(missing).read_buf(&mut self.buffer).await? == 0 {
                return Err(FrameError::Truncated);
            }
        }
        Ok(())
    }
}

/// A message as the line that goes out. JSON escapes line feeds, so that it is one line.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("string keys and finite numbers only");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::proto::chunk;

    async fn lines(bytes: &[u8], max: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let mut reader = LineReader::new(bytes, max);
        let mut lines = Vec::new();
        loop {
            match reader.next_line().await {
                Ok(Some(line)) => lines.push(line.to_vec()),
                Ok(None) => return (lines, None),
                Err(error) => return (lines, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn a_stream_is_cut_at_its_line_feeds() {
        let (lines, error) = lines(b"one\n\ntwo\n", 3).await;
        assert_eq!(lines, [&b"one"[..], b"", b"two"]);
        assert!(error.is_none());
    }

    #[tokio::test]
    async fn half_a_line_is_an_error() {
        let (lines, error) = lines(b"one\ntw", 3).await;
        assert_eq!(lines, [b"one"]);
        assert!(matches!(error, Some(FrameError::Truncated)));
    }

    #[tokio::test]
    async fn a_line_may_be_as_long_as_the_bound_and_no_longer() {
        for max in [READ_SIZE - 1, READ_SIZE, READ_SIZE + 1, 3 * READ_SIZE] {
            let mut line = vec![b'x'; max];
            line.push(b'\n');
            let (read, error) = lines(&line, max).await;
            assert_eq!((read.len(), error.is_none()), (1, true));
            line.insert(0, b'x');
            let (read, error) = lines(&line, max).await;
            assert!(read.is_empty());
            assert!(matches!(error, Some(FrameError::TooLong(bound)) if bound == max));
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_given_up_at_the_bound() {
        let mut reader = LineReader::new(tokio::io::repeat(b'x'), 1 << 16);
        assert!(matches!(reader.next_line().await, Err(FrameError::TooLong(_))));
        assert!(reader.buffer.len() <= (1 << 16) + READ_SIZE);
    }

    #[tokio::test]
    async fn between_lines_there_may_be_chunks() {
        let large = vec![b'\n'; MAX_CHUNK];
        let chunks = [&b"one"[..], &large, b""].map(chunk::encode).concat();
        let bytes = [&b"before\n"[..], &chunks, b"after\n"].concat();
        let mut reader = LineReader::new(&bytes[..], 64);
        assert_eq!(reader.next_line().await.unwrap().unwrap(), b"before");
        assert_eq!(reader.next_chunk().await.unwrap().unwrap(), b"one");
        assert_eq!(reader.next_chunk().await.unwrap().unwrap(), large);
        assert_eq!(reader.next_chunk().await.unwrap(), None);
        assert_eq!(reader.next_line().await.unwrap().unwrap(), b"after");
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_or_exceeds_the_bound_is_an_error() {
        for cut in [&b""[..], b"\0\0\0", b"\0\0\0\x05four"] {
            let next = LineReader::new(cut, 64).next_chunk().await.map(drop);
            assert!(matches!(next, Err(FrameError::Truncated)), "{cut:?}");
        }
        let mut reader = LineReader::new(&b"\0\x01\0\x01..."[..], 64);
        assert!(matches!(reader.next_chunk().await, Err(FrameError::TooLong(MAX_CHUNK))));
        assert!(reader.buffer.capacity() <= READ_SIZE);
    }

    #[tokio::test]
    async fn bytes_read_by_a_cancelled_read_are_not_lost() {
        let (mut near, far) = tokio::io::duplex(64);
        let mut reader = LineReader::new(far, 64);
        near.write_all(b"hel").await.unwrap();
        tokio::select! {
            biased;
            _ = reader.next_line() => unreachable!("the line has no end yet"),
            () = std::future::ready(()) => {}
        }
        near.write_all(b"lo\n").await.unwrap();
        assert_eq!(reader.next_line().await.unwrap().unwrap(), b"hello");
    }
}
