//! A bound on the buffers that all sending transfers together may have in use, that lets none of them
//! starve: a transfer that stands still keeps what it has, and the others still have their own.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Buffer, Pool};

/// So many buffers each transfer may have whatever the others have: one that is filled, and one on its
/// way.
const OWN: usize = 2;

/// The buffers of all. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Supply {
    pool: Pool,
    most: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Buffers in use.
    used: Mutex<usize>,
    returned: Condvar,
}

/// What one transfer takes from a supply. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Ration {
    supply: Supply,
    /// Buffers of this transfer in use; locked after those of all.
    own: Arc<Mutex<usize>>,
}

/// A place in the count of a ration, given back when dropped.
#[derive(Debug)]
pub(super) struct Held(Ration);

impl Supply {
    /// A supply of `most` buffers.
    pub(crate) fn new(most: usize) -> Self {
        Self { pool: Pool::new(most), most, shared: Arc::default() }
    }

    /// The part of one more transfer.
    pub(crate) fn ration(&self) -> Ration {
        Ration { supply: self.clone(), own: Arc::default() }
    }

    /// Frees the idle buffers.
    pub(crate) fn clear(&self) {
        self.pool.clear();
    }
}

impl Ration {
    /// A buffer of exactly `len` bytes, whose content is whatever it held before. Blocks until there
    /// is one for this transfer.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        let mut used = lock(&self.supply.shared.used);
        while *lock(&self.own) >= OWN && *used >= self.supply.most {
            let returned = self.supply.shared.returned.wait(used);
            used = returned.unwrap_or_else(PoisonError::into_inner);
        }
        *used += 1;
        *lock(&self.own) += 1;
        drop(used);
        let mut buffer = self.supply.pool.take(len);
        buffer.held = Some(Held(self.clone()));
        buffer
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Ration { supply, own } = &self.0;
        let mut used = lock(&supply.shared.used);
        *used -= 1;
        *lock(own) -= 1;
        drop(used);
        supply.shared.returned.notify_all();
    }
}

fn lock(count: &Mutex<usize>) -> MutexGuard<'_, usize> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_finds_all_in_use_has_its_own_and_waits_for_more() {
        let supply = Supply::new(4);
        let (greedy, late) = (supply.ration(), supply.ration());
        let mut held: Vec<_> = (0..4).map(|_| greedy.take(9)).collect();
        let own: Vec<_> = (0..OWN).map(|_| late.take(9)).collect();
        assert_eq!(*lock(&supply.shared.used), 6);
        let (taken_in, taken) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| taken_in.send(late.take(9).as_ref().len()));
            // Only what brings the sum below the bound helps.
            held.truncate(2);
            assert!(taken.try_recv().is_err());
            held.truncate(1);
            assert_eq!(taken.recv(), Ok(9));
        });
        drop((held, own));
        assert_eq!((*lock(&supply.shared.used), *lock(&late.own)), (0, 0));
    }
}
