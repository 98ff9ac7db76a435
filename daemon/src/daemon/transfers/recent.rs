//! Which of the transfers that have ended stay in memory.

use crate::control::view;
use crate::store::TransferRecord;
use crate::transfer::TransferId;

/// Finished transfers that stay in memory, to be shown without asking the store.
pub(super) const MAX_RECENT: usize = 200;
/// The most bytes of names and texts in these.
const MAX_RECENT_BYTES: usize = 1 << 20;

/// Of transfers that ended, those that find no room in memory. Those whose receiver is still to hear of
/// it have room of their own.
pub(super) fn forgettable<'a>(ended: impl Iterator<Item = &'a TransferRecord>) -> Vec<TransferId> {
    let is_untold =
        |record: &&TransferRecord| record.plan.outgoing().is_some_and(|plan| plan.untold);
    let (untold, told): (Vec<_>, Vec<_>) = ended.partition(is_untold);
    let weighed = |record: &TransferRecord| (record.at, record.id, view::weight(&record.view));
    let beyond =
        |records: Vec<&TransferRecord>| beyond_bounds(records.into_iter().map(weighed).collect());
    [beyond(told), beyond(untold)].concat()
}

/// Of transfers that ended, by when and with so many bytes of texts, those that find no room behind the
/// later ones.
fn beyond_bounds(mut ended: Vec<(u64, TransferId, usize)>) -> Vec<TransferId> {
    ended.sort_unstable_by(|one, other| other.cmp(one));
    let mut bytes = 0_usize;
    let has_room = |(_, _, weight): &&(u64, TransferId, usize)| {
        bytes = bytes.saturating_add(*weight);
        bytes <= MAX_RECENT_BYTES
    };
    let kept = ended.iter().take(MAX_RECENT).take_while(has_room).count();
    ended.drain(kept..).map(|(_, id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use filefleet_ctl::proto::Direction;

    use super::super::new_record;
    use super::*;
    use crate::store::{Outgoing, Plan};

    fn ended(weights: &[usize]) -> Vec<(u64, TransferId, usize)> {
        let one =
            |(number, weight): (u8, &usize)| (number.into(), TransferId([number; 16]), *weight);
        (0..=u8::MAX).zip(weights).map(one).collect()
    }

    #[test]
    fn what_a_receiver_is_still_to_hear_is_not_forgotten_for_what_ended_later() {
        let record = |number: u8, untold| {
            let plan = Plan::Outgoing(Outgoing { untold, ..Outgoing::default() });
            let (id, name) = (TransferId([number; 16]), "bob".parse().expect("that is a name"));
            let new = new_record(id, Direction::Outgoing, &name, None, String::new(), plan);
            TransferRecord { at: number.into(), is_final: true, ..new }
        };
        let ended: Vec<_> = (0..=MAX_RECENT as u8 + 1).map(|n| record(n, n == 0)).collect();
        assert_eq!(forgettable(ended.iter()), [TransferId([1; 16])]);
        let ended: Vec<_> = (0..=MAX_RECENT as u8).map(|n| record(n, true)).collect();
        assert_eq!(forgettable(ended.iter()), [TransferId([0; 16])], "it is bounded, too");
    }

    fn forgotten(weights: &[usize]) -> Vec<u8> {
        beyond_bounds(ended(weights)).iter().map(|id| id.0[0]).collect()
    }

    #[test]
    fn the_latest_stay_in_memory_as_long_as_they_are_few_and_say_little() {
        assert_eq!(forgotten(&[100; MAX_RECENT]), [0; 0]);
        assert_eq!(forgotten(&[0; MAX_RECENT + 2]), [1, 0]);
        assert_eq!(forgotten(&[1, MAX_RECENT_BYTES, 0]), [0]);
        assert_eq!(forgotten(&[1, MAX_RECENT_BYTES, 1]), [1, 0]);
        // One that is too large alone is told once, when it ends, and is in the store.
        assert_eq!(forgotten(&[usize::MAX, usize::MAX]), [1, 0]);
    }
}
