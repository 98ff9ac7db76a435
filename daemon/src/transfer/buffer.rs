//! Block-sized buffers that are used again instead of being allocated (and their pages zeroed by the
//! kernel) for every block.

mod ration;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use self::ration::Held;
pub(crate) use self::ration::{Ration, Supply};

/// A pool of byte buffers. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    keep: usize,
}

/// A buffer that goes back to its pool when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    pool: Pool,
    /// Its place in the count of those in use, where they are counted.
    held: Option<Held>,
}

impl Pool {
    /// A pool that keeps at most `keep` idle buffers.
    pub(crate) fn new(keep: usize) -> Self {
        Self { free: Arc::default(), keep }
    }

    /// A buffer of exactly `len` bytes, whose content is whatever it held before.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bytes = free.unwrap_or_default();
        bytes.resize(len, 0);
        Buffer { bytes, pool: self.clone(), held: None }
    }

    /// Frees the idle buffers.
    pub(crate) fn clear(&self) {
        std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Buffer {
    /// Shortens the buffer to `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Hands the buffer on without copying it; the pool has it back when the last `Bytes` is gone.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.pool.keep {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again_and_no_more_than_asked_are_kept() {
        let pool = Pool::new(1);
        let first = pool.take(1_000);
        let address = first.as_ref().as_ptr();
        let second = pool.take(1_000);
        drop(first.freeze());
        drop(second);
        let again = pool.take(500);
        assert_eq!((again.as_ref().as_ptr(), again.as_ref().len()), (address, 500));
        assert!(pool.free.lock().is_ok_and(|free| free.is_empty()));
    }
}
