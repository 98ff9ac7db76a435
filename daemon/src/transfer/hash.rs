//! BLAKE3 by blocks: every aligned 1 MiB of a file is one subtree of its BLAKE3 tree.
//!
//! Each end computes the chaining values of the blocks it reads or receives, in any order and on
//! any thread; merged, they give the file's ordinary BLAKE3, what `b3sum` prints. A file of at
//! most one block has no tree of blocks: its single "chaining value" is its plain hash.
//! Nothing here reads a file or the network.

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// The length of every block but a file's last, in bytes. A power of two, as subtrees must be.
pub const BLOCK: u64 = 1 << 20;

/// A block's chaining value, or a whole file's hash.
pub type Digest = [u8; 32];

/// How many blocks a file has. An empty file has one, which is empty.
#[must_use]
pub const fn block_count(file_size: u64) -> u64 {
    let count = file_size.div_ceil(BLOCK);
    if count == 0 { 1 } else { count }
}

/// The length of block `index` of a file of `file_size` bytes; `None` if there is no such block.
#[must_use]
pub fn block_len(file_size: u64, index: u64) -> Option<usize> {
    if index >= block_count(file_size) {
        return None;
    }
    let rest = file_size - index * BLOCK;
    usize::try_from(rest.min(BLOCK)).ok()
}

/// The chaining value of block `index`; `None` unless `bytes` has exactly that block's length.
#[must_use]
pub fn block_cv(file_size: u64, index: u64, bytes: &[u8]) -> Option<Digest> {
    let mut hasher = BlockHasher::new(file_size, index)?;
    hasher.update(bytes);
    hasher.finish()
}

/// The chaining value of one block whose bytes come in pieces. Of use where they are read: a piece
/// that is still in the processor's cache takes two thirds of the time of one that no longer is.
#[derive(Debug)]
pub(crate) struct BlockHasher {
    hasher: blake3::Hasher,
    /// The block is the whole file.
    is_file: bool,
    /// Bytes to come; `None` after more than the block has.
    left: Option<usize>,
}

impl BlockHasher {
    /// For block `index`; `None` if there is no such block.
    pub(crate) fn new(file_size: u64, index: u64) -> Option<Self> {
        let left = Some(block_len(file_size, index)?);
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(index * BLOCK);
        Some(Self { hasher, is_file: file_size <= BLOCK, left })
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.left = self.left.and_then(|left| left.checked_sub(bytes.len()));
        if self.left.is_some() {
            self.hasher.update(bytes);
        }
    }

    /// The chaining value; `None` unless exactly the block's length has come.
    pub(crate) fn finish(self) -> Option<Digest> {
        let Self { hasher, is_file, left } = self;
        if left != Some(0) {
            return None;
        }
        Some(if is_file { *hasher.finalize().as_bytes() } else { hasher.finalize_non_root() })
    }
}

/// The file's BLAKE3 from the chaining values of all its blocks in order; `None` if their number
/// does not fit `file_size`.
#[must_use]
pub fn root(file_size: u64, cvs: &[Digest]) -> Option<Digest> {
    if u64::try_from(cvs.len()) != Ok(block_count(file_size)) {
        return None;
    }
    let mut merger = RootHasher::new();
    cvs.iter().for_each(|cv| merger.push(cv));
    merger.finish()
}

/// Merges chaining values that come in order, in memory logarithmic in their number.
#[derive(Debug, Clone, Default)]
pub struct RootHasher {
    /// Complete subtrees from the left, each larger than the next: one for every bit of `pushed`,
    /// except that the newest block waits unmerged, for it may turn out to be the last.
    subtrees: Vec<Digest>,
    pushed: u64,
}

impl RootHasher {
    /// No blocks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next block's chaining value.
    pub fn push(&mut self, cv: &Digest) {
        while self.subtrees.len() > self.pushed.count_ones() as usize {
            self.merge_last_two(merge_subtrees_non_root);
        }
        self.subtrees.push(*cv);
        self.pushed += 1;
    }

    /// The file's hash; `None` if nothing was pushed.
    #[must_use]
    pub fn finish(mut self) -> Option<Digest> {
        while self.subtrees.len() > 2 {
            self.merge_last_two(merge_subtrees_non_root);
        }
        if self.subtrees.len() == 2 {
            self.merge_last_two(|left, right, mode| {
                *merge_subtrees_root(left, right, mode).as_bytes()
            });
        }
        self.subtrees.pop()
    }

    fn merge_last_two(&mut self, merge: impl Fn(&Digest, &Digest, Mode<'_>) -> Digest) {
        if let (Some(right), Some(left)) = (self.subtrees.pop(), self.subtrees.pop()) {
            self.subtrees.push(merge(&left, &right, Mode::Hash));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn merged(content: &[u8]) -> Digest {
        let size = content.len() as u64;
        let cvs: Vec<Digest> = (0..block_count(size))
            .map(|index| {
                let start = (index * BLOCK) as usize;
                let end = start + block_len(size, index).unwrap();
                block_cv(size, index, &content[start..end]).unwrap()
            })
            .collect();
        root(size, &cvs).unwrap()
    }

    fn content(size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn merged_root_is_the_plain_hash_at_every_boundary() {
        let block = BLOCK as usize;
        let mut sizes = vec![0, 1, 63, 64, 65, 1023, 1024, 1025];
        for blocks in [1, 2, 3, 4, 5, 7, 8, 9, 16, 17] {
            let edge = blocks * block;
            sizes.extend([edge - 1024, edge - 1, edge, edge + 1, edge + 1024, edge + 1025]);
        }
        let all = content(18 * block);
        for size in sizes {
            let hash = blake3::hash(&all[..size]);
            assert_eq!(merged(&all[..size]), *hash.as_bytes(), "{size} bytes");
        }
    }

    #[test]
    fn a_file_of_one_block_has_its_hash_as_chaining_value() {
        for size in [0, 1, BLOCK as usize] {
            let bytes = content(size);
            let cv = block_cv(size as u64, 0, &bytes);
            assert_eq!(cv, Some(*blake3::hash(&bytes).as_bytes()));
        }
    }

    #[test]
    fn a_block_in_pieces_has_the_chaining_value_of_the_whole() {
        let all = content(2 * BLOCK as usize + 5_000);
        for size in [1, 1_000, BLOCK as usize, BLOCK as usize + 1, all.len()] {
            let blocks = all[..size].chunks(BLOCK as usize);
            for (index, block) in (0..).zip(blocks) {
                for piece in [64, 1_000, 1 << 18] {
                    let mut hasher = BlockHasher::new(size as u64, index).unwrap();
                    block.chunks(piece).for_each(|piece| hasher.update(piece));
                    assert_eq!(hasher.finish(), block_cv(size as u64, index, block));
                }
            }
        }
    }

    #[test]
    fn wrong_lengths_and_counts_give_nothing() {
        let bytes = content(BLOCK as usize + 1);
        assert_eq!(block_cv(BLOCK + 1, 0, &bytes), None);
        assert_eq!(block_cv(BLOCK + 1, 1, &[]), None);
        assert_eq!(block_cv(BLOCK + 1, 2, &[0]), None);
        assert_eq!(block_cv(BLOCK + 1, u64::MAX, &[0]), None);
        assert_eq!(block_cv(0, 0, &[0]), None);
        let mut more = BlockHasher::new(BLOCK + 1, 1).unwrap();
        more.update(&bytes);
        more.update(&[]);
        assert_eq!(more.finish(), None);
        assert_eq!(block_len(u64::MAX, u64::MAX / BLOCK), Some(BLOCK as usize - 1));
        assert_eq!(root(BLOCK + 1, &[[0; 32]]), None);
        assert_eq!(root(0, &[]), None);
        assert_eq!(RootHasher::new().finish(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn merged_root_is_the_plain_hash_for_any_size(size in 0_usize..12 << 20) {
            let bytes = content(size);
            prop_assert_eq!(merged(&bytes), *blake3::hash(&bytes).as_bytes());
        }

        #[test]
        fn any_input_is_answered_without_panic(
            size: u64, index: u64, bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = block_cv(size, index, &bytes);
            let _ = root(size, &[[0; 32], [1; 32]]);
        }
    }
}
