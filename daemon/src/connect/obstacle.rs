//! Why two daemons talk through the relay: one pure function of what a session and its search know.

use std::time::Duration;

use super::birthday::{Mapping, Part};

/// Most paths are found in the first of these seconds; the rest is for lost packets and slow peers.
const SEARCH: Duration = Duration::from_secs(5);

/// A peer that has accepted says within this time where it is.
const OFFER: Duration = Duration::from_secs(1);

/// What a session knows while its best link is the relayed one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Situation {
    /// Whether this side allows direct links.
    pub allowed: bool,
    /// Whether this side reaches the server through a tunnel only.
    pub tunnelled: bool,
    /// The direct link that there is, although it is not the best.
    pub direct: Option<Behind>,
    /// What the search for paths has come to.
    pub search: Standing,
}

/// Why a direct link is not the best one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// Its round trip is so much longer.
    Slower,
    /// Nothing comes in over it.
    Silent,
}

/// How far the search for paths to a peer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// For how long the peer has been asked where it may be reached.
    pub asked: Duration,
    /// Whether it has said so.
    pub offered: bool,
    /// For how long nothing has answered, if nothing has.
    pub in_vain: Option<Duration>,
    /// Whether ports are being guessed.
    pub guessing: bool,
    /// Whether servers see both sides at one address.
    pub same_router: bool,
    /// What this side's NAT does.
    pub ours: Option<Mapping>,
    /// What the peer's does.
    pub theirs: Option<Mapping>,
}

/// Why two daemons talk through the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// One side has not accepted the other yet, and tells no address before.
    NotAcceptedYet,
    /// No UDP leaves this side's network.
    UdpBlocked,
    /// A path is being looked for.
    Searching,
    /// Ports are being guessed.
    GuessingPorts,
    /// Both are behind one router, and cannot reach each other there.
    LanIsolated,
    /// Nothing answered.
    NoPath {
        /// What this side's NAT does.
        ours: Option<Mapping>,
        /// What the peer's does.
        theirs: Option<Mapping>,
    },
    /// The direct link is there and worse.
    DirectSlower,
    /// The direct link is there and silent.
    DirectSilent,
}

impl Obstacle {
    /// What explains the situation best: what is known for sure comes before what is a guess.
    pub fn of(situation: &Situation) -> Self {
        let Situation { allowed, tunnelled, direct, search } = *situation;
        match direct {
            Some(Behind::Slower) => return Self::DirectSlower,
            Some(Behind::Silent) => return Self::DirectSilent,
            None => {}
        }
        match search {
            _ if tunnelled => Self::UdpBlocked,
            _ if !allowed || (!search.offered && search.asked >= OFFER) => Self::NotAcceptedYet,
            Standing { guessing: true, .. } => Self::GuessingPorts,
            Standing { in_vain: Some(time), .. } if time >= SEARCH => Self::none_found(search),
            _ => Self::Searching,
        }
    }

    fn none_found(Standing { same_router, ours, theirs, .. }: Standing) -> Self {
        match same_router {
            // Each NAT of its own may show one address: carriers have such routers.
            true if Part::of(ours, theirs).is_none() => Self::LanIsolated,
            _ => Self::NoPath { ours, theirs },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAIN: Standing = Standing {
        asked: OFFER,
        offered: true,
        in_vain: Some(SEARCH),
        guessing: false,
        same_router: false,
        ours: None,
        theirs: None,
    };

    fn of(search: Standing) -> Obstacle {
        Obstacle::of(&Situation { allowed: true, tunnelled: false, direct: None, search })
    }

    #[test]
    fn until_both_have_accepted_nobody_is_looked_for() {
        assert_eq!(Obstacle::of(&Situation::default()), Obstacle::NotAcceptedYet);
        assert_eq!(of(Standing { offered: false, ..VAIN }), Obstacle::NotAcceptedYet);
        // Whoever has accepted takes a moment to say so.
        assert_eq!(of(Standing::default()), Obstacle::Searching);
    }

    #[test]
    fn a_search_takes_its_time_and_then_has_found_nothing() {
        assert_eq!(of(Standing { in_vain: None, ..VAIN }), Obstacle::Searching);
        let almost = SEARCH.checked_sub(Duration::from_millis(1));
        assert_eq!(of(Standing { in_vain: almost, ..VAIN }), Obstacle::Searching);
        let (ours, theirs) = (Some(Mapping::Dependent), Some(Mapping::Dependent));
        assert_eq!(of(Standing { ours, theirs, ..VAIN }), Obstacle::NoPath { ours, theirs });
        assert_eq!(of(VAIN), Obstacle::NoPath { ours: None, theirs: None });
    }

    #[test]
    fn guessing_goes_on_after_the_search() {
        assert_eq!(of(Standing { guessing: true, ..VAIN }), Obstacle::GuessingPorts);
    }

    #[test]
    fn two_behind_one_router_are_kept_apart_by_it() {
        assert_eq!(of(Standing { same_router: true, ..VAIN }), Obstacle::LanIsolated);
        let early = Standing { same_router: true, in_vain: None, ..VAIN };
        assert_eq!(of(early), Obstacle::Searching);
        let (ours, theirs) = (Some(Mapping::Dependent), Some(Mapping::Independent));
        let two_nats = Standing { same_router: true, ours, theirs, ..VAIN };
        assert_eq!(of(two_nats), Obstacle::NoPath { ours, theirs });
    }

    #[test]
    fn blocked_udp_explains_everything_but_a_direct_link() {
        let blocked = Situation { tunnelled: true, ..Situation::default() };
        assert_eq!(Obstacle::of(&blocked), Obstacle::UdpBlocked);
        let slower = Situation { direct: Some(Behind::Slower), ..blocked };
        assert_eq!(Obstacle::of(&slower), Obstacle::DirectSlower);
        let silent = Situation { direct: Some(Behind::Silent), search: VAIN, ..blocked };
        assert_eq!(Obstacle::of(&silent), Obstacle::DirectSilent);
    }
}
