//! Chance that comes out the same for the same seed.

use blake3::OutputReader;

use super::Victim;

pub(super) struct Chance(OutputReader);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof())
    }

    fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A part of one.
    pub(super) fn part(&mut self) -> f64 {
        f64::from(u32::try_from(self.below(1 << 32)).unwrap()) / f64::from(u32::MAX)
    }

    /// Some of the three, in any order, and at least one.
    pub(super) fn victims(&mut self) -> Vec<Victim> {
        let mut left = vec![Victim::Sender, Victim::Receiver, Victim::Server];
        // One alone more often than all together.
        let count = [1, 1, 1, 2, 2, 3][usize::try_from(self.below(6)).unwrap()];
        let mut take = || left.swap_remove(usize::try_from(self.below(left.len() as u64)).unwrap());
        std::iter::repeat_with(&mut take).take(count).collect()
    }
}
