//! Zeros: content that need neither travel nor occupy a disk.

use std::ops::Range;

/// File systems allocate in pages of at least this size.
const PAGE: usize = 4 << 10;
/// Shorter runs of zeros are written: a hole costs about as much as it saves.
const MIN_HOLE: usize = 32 << 10;

/// Whether there is nothing but zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; PAGE] = [0; PAGE];
    bytes.chunks(PAGE).all(|page| page == &ZEROS[..page.len()])
}

/// Cuts `bytes`, which lie at a page's start in their file, into runs of whole pages, in order: such
/// as are zeros for long enough to be a hole (`true`), and the others.
pub(super) fn runs(bytes: &[u8]) -> Vec<(Range<usize>, bool)> {
    let mut runs: Vec<(Range<usize>, bool)> = Vec::new();
    let mut start = 0;
    for page in bytes.chunks(PAGE) {
        let (zero, end) = (is_zero(page), start + page.len());
        match runs.last_mut() {
            Some((range, kind)) if *kind == zero => range.end = end,
            _ => runs.push((start..end, zero)),
        }
        start = end;
    }
    let mut merged: Vec<(Range<usize>, bool)> = Vec::new();
    for (range, zero) in runs {
        let hole = zero && range.len() >= MIN_HOLE;
        match merged.last_mut() {
            Some((before, false)) if !hole => before.end = range.end,
            _ => merged.push((range, hole)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_of_zeros_are_holes_and_short_ones_are_not() {
        let mut bytes = vec![0; 200 << 10];
        assert_eq!(runs(&bytes), [(0..200 << 10, true)]);
        bytes[64 << 10] = 1;
        bytes[80 << 10] = 1;
        let (first, last) = (64 << 10, 84 << 10);
        assert_eq!(runs(&bytes), [(0..first, true), (first..last, false), (last..200 << 10, true)]);
        assert_eq!(runs(&bytes[..70 << 10]), [(0..first, true), (first..70 << 10, false)]);
        assert_eq!(runs(&[7; 10]), [(0..10, false)]);
        assert_eq!(runs(&[]), []);
    }

    #[test]
    fn one_byte_makes_it_something() {
        let mut bytes = [0; 3 * PAGE + 5];
        assert!(is_zero(&bytes) && is_zero(&[]));
        for at in [0, PAGE - 1, PAGE, 3 * PAGE + 4] {
            bytes[at] = 1;
            assert!(!is_zero(&bytes));
            bytes[at] = 0;
        }
    }
}
