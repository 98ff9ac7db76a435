//! Direct links beside the relayed one: offers go out and come in, paths that work are dialled.
//! Until direct links are allowed, no candidate leaves and none that came is used.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use filefleet_server::protos::certificate::DeviceKey;

use crate::connect::{
    driver::{Attempt, Connector, Event, Reachable},
    obstacle::Standing,
    offer::{Offer, Tag},
};

/// Direct links at a time: one to use, one to turn to.
pub(super) const MAX_DIRECT: usize = 2;
/// While a direct link is wanted and there is none, everybody is asked again after pauses that
/// double from the first to the last.
const PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The remote address of a direct link, and whether it is on a shared network.
pub(super) type Taken = (SocketAddr, bool);

/// The search for direct paths to the session's peer.
#[derive(Debug, Default)]
pub(super) struct Direct {
    attempt: Option<Attempt>,
    /// Came before direct links were allowed.
    early: Option<Offer>,
    /// Of the peer's last offer.
    generation: Option<(Tag, u32)>,
    reachable: Vec<Reachable>,
    dialling: Vec<Taken>,
    looked_at: Option<Instant>,
    /// How often in vain.
    looks: u32,
}

impl Direct {
    /// Direct links are allowed from now on.
    pub(super) fn allow(&mut self, connector: &Connector, device: DeviceKey) {
        if self.attempt.is_none() {
            let attempt = connector.open(device);
            if let Some(offer) = self.early.take() {
                attempt.theirs(offer);
            }
            self.attempt = Some(attempt);
            self.looked_at = Some(Instant::now());
        }
    }

    /// The peer says where it is; whether it looks at everything again, as when its network has
    /// changed. Then what was reachable has to answer again.
    pub(super) fn on_offer(&mut self, offer: Offer) -> bool {
        let generation = (offer.tag, offer.generation);
        let anew = self.generation.replace(generation).is_some_and(|old| old != generation);
        if anew {
            self.reachable.clear();
            self.dialling.clear();
        }
        match &self.attempt {
            Some(attempt) => attempt.theirs(offer),
            None => self.early = Some(offer),
        }
        anew
    }

    /// The peer has let the server say where it is.
    pub(super) fn on_revealed(&self, observed: SocketAddr) {
        if let Some(attempt) = &self.attempt {
            attempt.revealed(observed);
        }
    }

    /// Ports may be guessed, if need be: the relay carries data, and nothing else does.
    pub(super) fn guess(&self) {
        if let Some(attempt) = &self.attempt {
            attempt.guess();
        }
    }

    /// How the search stands; `None` while direct links are not allowed.
    pub(super) fn standing(&self) -> Option<Standing> {
        self.attempt.as_ref().map(Attempt::standing)
    }

    /// The next finding. Cancel-safe.
    pub(super) async fn next(&mut self) -> Event {
        match &mut self.attempt {
            Some(attempt) => attempt.next().await,
            None => std::future::pending().await,
        }
    }

    /// A path works.
    pub(super) fn on_reachable(&mut self, path: Reachable) {
        self.reachable.retain(|known| known.remote != path.remote);
        self.reachable.push(path);
        self.reachable.sort_by_key(|known| (!known.on_link, known.rtt));
    }

    /// Everybody is asked again, as when a direct link died; what is being dialled counts no more.
    pub(super) fn restart(&mut self) {
        self.reachable.clear();
        self.dialling.clear();
        self.looked_at = Some(Instant::now());
        if let Some(attempt) = &self.attempt {
            attempt.restart();
        }
    }

    /// Whether it is time to look again, as it is now and then while a direct link is wanted.
    pub(super) fn tick(&mut self, now: Instant, wanted: bool) -> bool {
        if !wanted || self.attempt.is_none() {
            (self.looked_at, self.looks) = (Some(now), 0);
            return false;
        }
        let pause = (PAUSE * 2_u32.saturating_pow(self.looks)).min(MAX_PAUSE);
        let is_time = self.looked_at.is_some_and(|at| now.duration_since(at) > pause);
        self.looks += u32::from(is_time);
        is_time
    }

    /// Which path to dial next, given the direct links that there are: one that is better than
    /// those, or one to spare.
    pub(super) fn choose(&mut self, links: Vec<Taken>, spare: bool) -> Option<SocketAddr> {
        let mut taken = links;
        taken.extend(&self.dialling);
        let is_free = |path: &&Reachable| taken.iter().all(|(remote, _)| *remote != path.remote);
        let best = self.reachable.iter().find(is_free)?;
        let better = taken.iter().all(|(_, on_link)| best.on_link && !on_link);
        let welcome = better || (spare && taken.len() < MAX_DIRECT);
        if !welcome {
            return None;
        }
        self.dialling.push((best.remote, best.on_link));
        Some(best.remote)
    }

    /// The peer has answered on a shared network; whether to dial, which nobody else does yet.
    pub(super) fn dial_nearby(&mut self, links: Vec<Taken>, remote: SocketAddr) -> bool {
        let free = links.iter().chain(&self.dialling).all(|(taken, _)| *taken != remote);
        if free {
            self.dialling.push((remote, true));
        }
        free
    }

    /// A dial has ended; a path that failed is not tried before it answers again.
    pub(super) fn dialled(&mut self, remote: SocketAddr, succeeded: bool) {
        self.dialling.retain(|(dialling, _)| *dialling != remote);
        if !succeeded {
            self.reachable.retain(|path| path.remote != remote);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn path(address: &str, on_link: bool, millis: u64) -> Reachable {
        let rtt = Duration::from_millis(millis);
        Reachable { remote: address.parse().unwrap(), on_link, rtt }
    }

    #[test]
    fn the_first_path_is_dialled_then_only_a_better_one_or_one_to_spare() {
        let far = path("192.0.2.1:1", false, 9);
        let near = path("10.0.0.1:1", true, 20);
        let spare = path("10.0.1.1:1", true, 30);
        let mut direct = Direct::default();
        direct.on_reachable(far);
        assert_eq!(direct.choose(vec![], false), Some(far.remote));
        assert_eq!(direct.choose(vec![], false), None);
        direct.dialled(far.remote, true);
        let linked = vec![(far.remote, false)];
        direct.on_reachable(near);
        assert_eq!(direct.choose(linked.clone(), false), Some(near.remote));
        direct.dialled(near.remote, true);
        direct.on_reachable(spare);
        let linked = vec![(near.remote, true)];
        assert_eq!(direct.choose(linked.clone(), false), None);
        assert_eq!(direct.choose(linked, true), Some(spare.remote));
        direct.dialled(spare.remote, true);
        let linked = vec![(near.remote, true), (spare.remote, true)];
        assert_eq!(direct.choose(linked, true), None);
    }

    #[test]
    fn a_path_that_failed_waits_until_it_answers_again() {
        let one = path("10.0.0.1:1", true, 1);
        let mut direct = Direct::default();
        direct.on_reachable(one);
        assert_eq!(direct.choose(vec![], false), Some(one.remote));
        direct.dialled(one.remote, false);
        assert_eq!(direct.choose(vec![], true), None);
        direct.on_reachable(one);
        assert_eq!(direct.choose(vec![], true), Some(one.remote));
    }
}
