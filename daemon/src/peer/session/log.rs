//! What has happened to a session's links lately, for those who tell the user.

use std::collections::VecDeque;

use super::super::{LinkId, LinkKind, LinkView};
use crate::connect::obstacle::Obstacle;

/// Changes that are kept until they are read; of more, the oldest are lost.
const MAX_RECENT: usize = 16;

/// Something that has happened to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkChange {
    /// It came up.
    Joined(LinkKind),
    /// It is no more.
    Lost(LinkKind, LinkLoss),
    /// It is the best one from now on; if it is the relayed one, for this reason.
    InUse(LinkKind, Option<Obstacle>),
}

/// Why a link is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkLoss {
    /// Nothing came in over it, and others work.
    Silent,
    /// Others are better.
    Surplus,
    /// The peer closed it.
    ClosedByPeer,
    /// It broke.
    Broken,
    /// The session is over.
    SessionOver,
}

/// The last changes, numbered.
#[derive(Debug, Clone, Default)]
pub struct LinkLog {
    /// The number of the change that comes next.
    next: u64,
    recent: VecDeque<LinkChange>,
    in_use: Option<(LinkId, LinkKind)>,
}

impl LinkLog {
    /// Notes a change.
    pub(super) fn note(&mut self, change: LinkChange) {
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(change);
        self.next += 1;
    }

    /// Notes which link is the best; whether that is news. That there is none is not: it was lost.
    pub(super) fn note_best(&mut self, best: Option<&LinkView>, why: Option<Obstacle>) -> bool {
        let best = best.map(|view| (view.id, view.kind));
        if std::mem::replace(&mut self.in_use, best) == best {
            return false;
        }
        let Some((_, kind)) = best else { return false };
        self.note(LinkChange::InUse(kind, why));
        true
    }

    /// What has happened since the last call with the same `seen`, which begins with 0.
    pub fn since(&self, seen: &mut u64) -> Vec<LinkChange> {
        let unseen = self.next - *seen;
        let unseen = usize::try_from(unseen).unwrap_or(usize::MAX).min(self.recent.len());
        *seen = self.next;
        self.recent.iter().skip(self.recent.len() - unseen).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once_and_of_too_many_the_last() {
        let (mut log, mut seen) = (LinkLog::default(), 0);
        assert_eq!(log.since(&mut seen), []);
        log.note(LinkChange::Joined(LinkKind::Relayed));
        log.note(LinkChange::Lost(LinkKind::Relayed, LinkLoss::Broken));
        let expected = [
            LinkChange::Joined(LinkKind::Relayed),
            LinkChange::Lost(LinkKind::Relayed, LinkLoss::Broken),
        ];
        assert_eq!(log.since(&mut seen), expected);
        assert_eq!(log.since(&mut seen), []);
        for _ in 0..1000 {
            log.note(LinkChange::Joined(LinkKind::Lan));
        }
        log.note(LinkChange::Joined(LinkKind::Direct));
        let told = log.since(&mut seen);
        assert_eq!(
            (told.len(), told.last()),
            (MAX_RECENT, Some(&LinkChange::Joined(LinkKind::Direct)))
        );
    }

    #[test]
    fn that_no_link_is_left_is_no_news() {
        let in_use = Some((LinkId(1), LinkKind::Lan));
        let mut log = LinkLog { in_use, ..LinkLog::default() };
        assert!(!log.note_best(None, None));
        assert_eq!(log.since(&mut 0), []);
    }
}
