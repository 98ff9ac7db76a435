//! Length-prefixed JSON over a byte stream.

use std::io;

use bytes::{Buf, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::MAX_FRAME;

const LENGTH_LEN: usize = 4;

/// Why no further frame can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The stream broke off.
    #[error("cannot read from the stream")]
    Read(#[from] io::Error),
    /// The other end announced a frame longer than allowed.
    #[error("a frame of {0} bytes is too long")]
    TooLong(u32),
    /// Not JSON, or a known type with wrong fields.
    #[error("malformed frame")]
    Malformed(#[from] serde_json::Error),
}

/// Writes a frame with its length.
///
/// # Panics
/// If the frame is longer than [`MAX_FRAME`]: our own frames never are.
pub fn encode<T: Serialize>(frame: &T) -> Vec<u8> {
    let mut bytes = vec![0; LENGTH_LEN];
    serde_json::to_writer(&mut bytes, frame).expect("frames are plain data with string keys");
    let length = bytes.len() - LENGTH_LEN;
    assert!(length <= MAX_FRAME, "a frame of {length} bytes is too long");
    let length = u32::try_from(length).expect("MAX_FRAME fits in 32 bits");
    bytes[..LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Reads frames from a stream, never holding more than one and a little of the next.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Nothing is read yet.
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The next frame; `None` when the stream ended between two frames.
    ///
    /// Cancel-safe: what was read stays for the next call.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        loop {
            if let Some(length) = self.announced()? {
                let end = LENGTH_LEN + length;
                if self.buffer.len() >= end {
                    let frame = serde_json::from_slice(&self.buffer[LENGTH_LEN..end]);
                    self.buffer.advance(end);
                    return Ok(Some(frame?));
                }
                self.buffer.reserve(end - self.buffer.len());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                };
            }
        }
    }

    fn announced(&self) -> Result<Option<usize>, FrameError> {
        let Some((length, _)) = self.buffer.split_first_chunk::<LENGTH_LEN>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length);
        match usize::try_from(length) {
            Ok(bounded) if bounded <= MAX_FRAME => Ok(Some(bounded)),
            _ => Err(FrameError::TooLong(length)),
        }
    }
}
