//! Links in words: why one is the relayed one, and what happens to them.

use filefleet_ctl::proto::{self, LinkEvent, LinkKind, RelayedCode, WhyRelayed};

use crate::connect::birthday::Mapping;
use crate::connect::obstacle::Obstacle;
use crate::peer::{self, LinkChange, LinkLoss};

pub(crate) fn kind(kind: peer::LinkKind) -> LinkKind {
    match kind {
        peer::LinkKind::Lan => LinkKind::Lan,
        peer::LinkKind::Direct => LinkKind::Direct,
        peer::LinkKind::Relayed => LinkKind::Relayed,
    }
}

/// Why what is exchanged with `peer` goes through the relay.
pub(crate) fn why_relayed(peer: &str, obstacle: Obstacle) -> WhyRelayed {
    let (code, message) = match obstacle {
        Obstacle::NotAcceptedYet => (
            RelayedCode::NotAcceptedYet,
            "relayed, since no address is told before the request is accepted".to_owned(),
        ),
        Obstacle::UdpBlocked => (
            RelayedCode::UdpBlocked,
            "relayed, since no UDP gets out of this computer's network".to_owned(),
        ),
        Obstacle::Searching => (
            RelayedCode::Searching,
            "relayed while a direct path is being looked for".to_owned(),
        ),
        Obstacle::GuessingPorts => (
            RelayedCode::GuessingPorts,
            "relayed while the ports of a strict NAT are being guessed".to_owned(),
        ),
        Obstacle::LanIsolated => (
            RelayedCode::LanIsolated,
            "relayed, since both computers are behind one router, which keeps them apart, as guest \
             networks do"
                .to_owned(),
        ),
        Obstacle::NoPath { ours, theirs } => (RelayedCode::NoPath, no_path(peer, ours, theirs)),
        Obstacle::DirectSlower => (
            RelayedCode::DirectSlower,
            "relayed, since that is faster than the direct link".to_owned(),
        ),
        Obstacle::DirectSilent => (
            RelayedCode::DirectSilent,
            "relayed, since nothing comes in over the direct link any more".to_owned(),
        ),
    };
    WhyRelayed { code, message }
}

fn no_path(peer: &str, ours: Option<Mapping>, theirs: Option<Mapping>) -> String {
    match (ours, theirs) {
        (Some(Mapping::Dependent), Some(Mapping::Dependent)) => {
            "relayed, since both computers are behind strict NATs; a router that opens ports, on \
             either side, would help"
                .to_owned()
        }
        (Some(Mapping::Dependent), _) => {
            "relayed, since this computer's NAT is strict, and no direct path was found".to_owned()
        }
        (_, Some(Mapping::Dependent)) => {
            format!("relayed, since the NAT of {peer} is strict, and no direct path was found")
        }
        _ => format!("relayed, since nothing gets through between {peer} and this computer"),
    }
}

/// What has happened to a link with `peer`.
pub(crate) fn event(peer: &str, change: LinkChange) -> LinkEvent {
    let said = |change, of| LinkEvent {
        peer: peer.to_owned(),
        change,
        kind: kind(of),
        loss: None,
        why_relayed: None,
    };
    match change {
        LinkChange::Joined(of) => said(proto::LinkChange::Joined, of),
        LinkChange::Lost(of, why) => {
            LinkEvent { loss: Some(loss(why)), ..said(proto::LinkChange::Lost, of) }
        }
        LinkChange::InUse(of, obstacle) => LinkEvent {
            why_relayed: obstacle.map(|obstacle| why_relayed(peer, obstacle)),
            ..said(proto::LinkChange::InUse, of)
        },
    }
}

fn loss(loss: LinkLoss) -> proto::LinkLoss {
    match loss {
        LinkLoss::Silent => proto::LinkLoss::Silent,
        LinkLoss::Surplus => proto::LinkLoss::Surplus,
        LinkLoss::ClosedByPeer => proto::LinkLoss::ClosedByPeer,
        LinkLoss::Broken => proto::LinkLoss::Broken,
        LinkLoss::SessionOver => proto::LinkLoss::SessionOver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strict_nat_is_named_with_whose_it_is() {
        let (strict, other) = (Some(Mapping::Dependent), Some(Mapping::Independent));
        let said = |ours, theirs| why_relayed("bob", Obstacle::NoPath { ours, theirs }).message;
        assert!(said(strict, strict).contains("both computers are behind strict NATs"));
        assert!(said(strict, other).contains("this computer's NAT is strict"));
        assert!(said(other, strict).contains("the NAT of bob is strict"));
        assert!(said(other, other).contains("nothing gets through between bob"));
        assert!(said(None, None).contains("nothing gets through between bob"));
    }

    #[test]
    fn a_change_is_shown_with_its_reason() {
        let lost = event("bob", LinkChange::Lost(peer::LinkKind::Lan, LinkLoss::Broken));
        assert_eq!((lost.kind, lost.loss), (LinkKind::Lan, Some(proto::LinkLoss::Broken)));
        let change = LinkChange::InUse(peer::LinkKind::Relayed, Some(Obstacle::Searching));
        let in_use = event("bob", change);
        assert_eq!(in_use.change, proto::LinkChange::InUse);
        assert_eq!(in_use.why_relayed.map(|why| why.code), Some(RelayedCode::Searching));
    }
}
