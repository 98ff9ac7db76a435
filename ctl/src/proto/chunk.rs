//! Bytes instead of lines: what follows on a call that carries a stream.
//!
//! A chunk is `u32 length ‖ bytes`, the length big-endian. An empty one ends the stream; a connection
//! that ends without it has broken off, and what came counts for nothing.

/// The most bytes of one chunk.
pub const MAX_CHUNK: usize = 64 << 10;

/// Bytes of a chunk's length.
pub(crate) const HEADER: usize = 4;

/// The chunk that holds `bytes`, of which there may be [`MAX_CHUNK`]; without any, the end.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    debug_assert!(bytes.len() <= MAX_CHUNK, "whoever splits the stream knows the bound");
    let len = u32::try_from(bytes.len()).expect("a chunk is small");
    [&len.to_be_bytes(), bytes].concat()
}
