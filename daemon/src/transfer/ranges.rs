//! A set of numbers kept as ranges: what a receiver has seen, in few bytes when it comes roughly in
//! order, and never in more than a fixed number of ranges.

use std::collections::BTreeMap;

/// The most separate ranges a set may have; an honest peer has a handful.
const MAX_RANGES: usize = 65_536;

/// A set of `u64`.
#[derive(Debug, Default)]
pub(crate) struct RangeSet {
    /// start → end (exclusive), never touching each other.
    ranges: BTreeMap<u64, u64>,
}

/// What came of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    New,
    Present,
    /// The set would need more ranges than it may have; nothing was inserted.
    Scattered,
}

impl RangeSet {
    pub(crate) fn contains(&self, value: u64) -> bool {
        self.ranges.range(..=value).next_back().is_some_and(|(_, end)| value < *end)
    }

    pub(crate) fn insert(&mut self, value: u64) -> Inserted {
        if self.contains(value) || value == u64::MAX {
            return Inserted::Present;
        }
        let before = self.ranges.range(..value).next_back().filter(|(_, end)| **end == value);
        let start = before.map_or(value, |(start, _)| *start);
        if before.is_none() && self.ranges.len() >= MAX_RANGES {
            return Inserted::Scattered;
        }
        let end = self.ranges.remove(&(value + 1)).unwrap_or(value + 1);
        self.ranges.insert(start, end);
        Inserted::New
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_in_as_few_ranges_as_can_be(values in prop::collection::vec(0_u64..64, 0..200)) {
            let mut set = RangeSet::default();
            let mut model = std::collections::BTreeSet::new();
            for value in values {
                prop_assert_eq!(set.insert(value) == Inserted::New, model.insert(value));
            }
            for value in 0..64 {
                prop_assert_eq!(set.contains(value), model.contains(&value));
            }
            let starts = model.iter().filter(|v| **v == 0 || !model.contains(&(**v - 1))).count();
            prop_assert_eq!(set.ranges.len(), starts);
        }
    }

    #[test]
    fn a_scattered_set_is_bounded() {
        let mut set = RangeSet::default();
        let scattered =
            (0..200_000_u64).map(|n| set.insert(2 * n)).filter(|i| *i == Inserted::Scattered);
        assert_eq!(scattered.count(), 200_000 - MAX_RANGES);
    }
}
