//! What a session tells of its links: what happens to them, and why none is better.

use std::mem;

use super::{
    super::{
        super::{LinkId, LinkKind},
        log::{LinkChange, LinkLoss},
    },
    SessionActor,
};
use crate::connect::obstacle::{Obstacle, Situation};

impl SessionActor {
    /// A link came up.
    pub(super) fn tell_joined(&self, kind: LinkKind) {
        self.ends.log.send_modify(|log| log.note(LinkChange::Joined(kind)));
    }

    /// A link is about to be taken out of the table.
    pub(super) fn tell_lost(&self, id: LinkId, loss: LinkLoss) {
        if let Some(kind) = self.links.kind(id) {
            self.ends.log.send_modify(|log| log.note(LinkChange::Lost(kind, loss)));
        }
    }

    /// All links that are left go with the session.
    pub(super) fn tell_over(&self) {
        for view in self.links.views() {
            self.tell_lost(view.id, LinkLoss::SessionOver);
        }
    }

    /// Which link is the best now, and what stands in the way of a better one.
    pub(super) fn tell_best(&self) {
        let obstacle = self.obstacle();
        self.ends.obstacle.send_if_modified(|told| mem::replace(told, obstacle) != obstacle);
        let links = self.ends.links.borrow();
        self.ends.log.send_if_modified(|log| log.note_best(links.first(), obstacle));
    }

    /// `None` while there is nothing to explain: no link, or a direct one.
    fn obstacle(&self) -> Option<Obstacle> {
        let best = self.ends.links.borrow().first().map(|view| view.kind)?;
        let tunnelled = || {
            let client = self.rendezvous.borrow();
            client.as_ref().is_some_and(|client| client.state().borrow().is_tunnelled())
        };
        (best == LinkKind::Relayed).then(|| {
            let search = self.direct.standing();
            Obstacle::of(&Situation {
                allowed: search.is_some(),
                tunnelled: tunnelled(),
                direct: self.links.behind(),
                search: search.unwrap_or_default(),
            })
        })
    }
}
