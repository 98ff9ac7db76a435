//! The table of a session's live links: which is best, which has gone quiet, which is surplus.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::Connection;
use tokio::sync::{Semaphore, mpsc, watch};

use super::super::{
    LinkId, LinkKind, LinkView,
    frame::{Frame, Message},
    link::{Opened, Wiring},
    mailbox::WINDOW,
};
use super::{direct::Taken, hearing::Hearing};
use crate::{connect::obstacle::Behind, transport::fit_send_window};

/// A link that has sent for this long without hearing anything is not used for anything new.
const QUIET: Duration = Duration::from_millis(1500);
/// A quiet link is given up after this if another one works, which then takes over what it was
/// given; alone, QUIC's idle time-out decides.
const DEAD: Duration = Duration::from_secs(3);
/// For a while after the network has changed, under either side, a link is quiet, and given up, much
/// sooner: so long after this many of its round trips.
const DOUBT: Duration = Duration::from_secs(5);
const QUIET_IN_DOUBT: (Duration, u32) = (Duration::from_millis(200), 2);
const DEAD_IN_DOUBT: (Duration, u32) = (Duration::from_millis(400), 3);
/// A link that has sent for this long without hearing anything, and as many of its round trips, is
/// reason to doubt: a NAT that forgets, and a network that changes further away, tell nobody.
const SUDDEN: (Duration, u32) = (Duration::from_millis(400), 4);
/// A direct link whose round trip is so much longer than the relayed one's ranks behind it. At first
/// both are taken at the same time: then the queue of a line that both share is in both. Later a
/// link can only prove to be better than that, by its shortest one: what it carries itself, and
/// what holds its packets up for a moment, is in its present one long after.
const CLEARLY_SLOWER: u32 = 4;
const SLOWER_SLACK: Duration = Duration::from_millis(50);
/// Round trips that differ by less are the same; the older link is used.
const SAME_RTT: Duration = Duration::from_millis(4);

/// The live links of one session.
#[derive(Debug, Default)]
pub(super) struct Links {
    live: BTreeMap<LinkId, Live>,
    /// Until when no link is trusted.
    doubt_until: Option<Instant>,
    hearing: Hearing,
}

#[derive(Debug)]
struct Live {
    view: LinkView,
    min_rtt: Duration,
    /// Whether it is still [`CLEARLY_SLOWER`].
    slower: bool,
    ours: bool,
    messages: mpsc::Sender<Message>,
    acks: watch::Sender<u64>,
    traffic: Traffic,
}

/// What was last seen of a link's packets.
#[derive(Debug, Default)]
struct Traffic {
    last: Counters,
    /// Since when packets have left without any coming in.
    unanswered_since: Option<Instant>,
    unanswered: Duration,
    is_quiet: bool,
}

#[derive(Debug, Default)]
struct Counters {
    sent: u64,
    heard: u64,
    /// Frames with data of streams, either way.
    streams: u64,
}

/// What [`Links::look`] found. While all links are quiet there is nothing better to turn to, and
/// the lists are empty.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Whether any stream or message moved since the last look.
    pub(super) active: bool,
    /// Whether the peer is to be asked to say something, for nothing comes in over any link.
    pub(super) silent: bool,
    /// Whether the best link, which was not in doubt, has gone quiet all of a sudden.
    pub(super) sudden: bool,
    /// Links that say nothing, though others do.
    pub(super) quiet: Vec<LinkId>,
    /// Those of them that are to be given up.
    pub(super) dead: Vec<LinkId>,
}

impl Links {
    /// Adds a link; the wiring is for [`Opened::run`].
    pub(super) fn add(
        &mut self,
        link: &Opened,
        acknowledged: u64,
        frames: mpsc::Sender<Frame>,
        streams: mpsc::Sender<super::super::IncomingStream>,
    ) -> Wiring {
        let (messages, messages_end) = mpsc::channel(WINDOW);
        let (acks, mut acks_end) = watch::channel(acknowledged);
        // An acknowledgement that died with another link is said again.
        if acknowledged > 0 {
            acks_end.mark_changed();
        }
        let view = LinkView {
            id: link.id,
            kind: link.kind,
            rtt: link.connection.rtt(),
            remote: link.remote(),
            connection: link.connection.clone(),
            turns: Arc::new(Semaphore::new(1)),
        };
        let traffic = Traffic::default();
        let slower = is_slower(view.rtt, self.relayed_rtt());
        let (min_rtt, ours) = (view.rtt, link.ours);
        self.live.insert(link.id, Live { view, min_rtt, slower, ours, messages, acks, traffic });
        Wiring { frames, messages: messages_end, acks: acks_end, streams }
    }

    pub(super) fn remove(&mut self, id: LinkId) {
        self.live.remove(&id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether there is another link to turn to when one does not work.
    pub(super) fn are_several(&self) -> bool {
        self.live.len() > 1
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.live.values().map(|live| &live.view.connection)
    }

    pub(super) fn kind(&self, id: LinkId) -> Option<LinkKind> {
        self.live.get(&id).map(|live| live.view.kind)
    }

    /// Whether there is a relayed link that has not gone quiet.
    pub(super) fn has_working_relayed(&self) -> bool {
        let mut relayed = self.live.values().filter(|live| live.view.kind == LinkKind::Relayed);
        relayed.any(|live| !live.traffic.is_quiet())
    }

    /// Whether links have to show that they work.
    pub(super) fn are_in_doubt(&self, now: Instant) -> bool {
        self.doubt_until.is_some_and(|until| now < until)
    }

    /// The network has changed: links have to show that they work. (Each is to be given something
    /// to say.)
    pub(super) fn doubt(&mut self, now: Instant) {
        self.doubt_until = Some(now + DOUBT);
        self.hearing.doubt();
        for live in self.live.values_mut() {
            live.traffic.unanswered_since.get_or_insert(now);
        }
    }

    /// The links that do not go through the relay and have not gone quiet.
    pub(super) fn direct(&self) -> Vec<Taken> {
        let working = self.live.values().filter(|live| !live.traffic.is_quiet());
        let views = working.map(|live| &live.view);
        let direct = views.filter(|view| view.kind != LinkKind::Relayed);
        direct.map(|view| (view.remote, view.kind == LinkKind::Lan)).collect()
    }

    /// Why the best direct link is not the best link, if there is one.
    pub(super) fn behind(&self) -> Option<Behind> {
        let ranked = self.ranked();
        let direct = ranked.iter().find(|live| live.view.kind != LinkKind::Relayed)?;
        Some(if direct.traffic.is_quiet() { Behind::Silent } else { Behind::Slower })
    }

    /// Direct links beyond `most`, worst first.
    pub(super) fn excess(&self, most: usize) -> Vec<LinkId> {
        let direct = |live: &&&Live| live.view.kind != LinkKind::Relayed;
        let ranked = self.ranked();
        let excess: Vec<_> = ranked.iter().filter(direct).skip(most).collect();
        excess.into_iter().rev().map(|live| live.view.id).collect()
    }

    /// Gives a message to the best link; `None` if there is no link or its queue is full. While
    /// links are in doubt the others get it, too: the peer takes it once, from whichever works.
    pub(super) fn send(&self, message: &Message, now: Instant) -> Option<LinkId> {
        let ranked = self.ranked();
        let (best, others) = ranked.split_first()?;
        // The queue holds a whole window: a link that is so far behind is about to die.
        best.messages.try_send(message.clone()).ok()?;
        for other in others.iter().filter(|_| self.are_in_doubt(now)) {
            // One whose queue is full is no help.
            let _ = other.messages.try_send(message.clone());
        }
        Some(best.view.id)
    }

    /// Acknowledges on the best link, or on every one while links are in doubt.
    pub(super) fn acknowledge(&self, next: u64, now: Instant) {
        let most = if self.are_in_doubt(now) { usize::MAX } else { 1 };
        for live in self.ranked().into_iter().take(most) {
            live.acks.send_replace(next);
        }
    }

    /// Acknowledges on the links on which it has not been said yet: whichever is alive tells the peer.
    pub(super) fn acknowledge_on_others(&self, next: u64) {
        for live in self.live.values() {
            live.acks.send_if_modified(|said| std::mem::replace(said, next) != next);
        }
    }

    /// Acknowledges on every link, said or not: the answers show which of them are alive.
    pub(super) fn prove(&self, next: u64) {
        for live in self.live.values() {
            live.acks.send_replace(next);
        }
    }

    /// The links as others see them, best first.
    pub(super) fn views(&self) -> Vec<LinkView> {
        self.ranked().into_iter().map(|live| live.view.clone()).collect()
    }

    /// Best first. Only the shortest round trips count: the present one of a link that carries data
    /// says how full its queue is.
    fn ranked(&self) -> Vec<&Live> {
        let mut ranked: Vec<_> = self.live.values().collect();
        ranked.sort_by_key(|live| {
            let rtt = live.min_rtt.as_millis() / SAME_RTT.as_millis();
            (live.traffic.is_quiet(), live.slower, live.view.kind, rtt, live.view.id)
        });
        ranked
    }

    /// The present round trip of the relayed link.
    fn relayed_rtt(&self) -> Option<Duration> {
        let relayed = self.live.values().filter(|live| live.view.kind == LinkKind::Relayed);
        relayed.map(|live| live.view.connection.rtt()).min()
    }

    /// Looks at the counters.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        let mut look = Look::default();
        let in_doubt = self.are_in_doubt(now);
        let quiet_after =
            |rtt| if in_doubt { QUIET.min(after(QUIET_IN_DOUBT, rtt)) } else { QUIET };
        let dead_after = |rtt| if in_doubt { DEAD.min(after(DEAD_IN_DOUBT, rtt)) } else { DEAD };
        let relayed = self.relayed_rtt();
        for live in self.live.values_mut() {
            let rtt = live.view.connection.rtt();
            (live.view.rtt, live.min_rtt) = (rtt, live.min_rtt.min(rtt));
            live.slower &= is_slower(live.min_rtt, relayed);
            let counters = Counters::of(&live.view.connection);
            if counters.heard != live.traffic.last.heard {
                self.hearing.heard(now);
            }
            look.active |= live.traffic.look(counters, now, quiet_after(rtt));
            fit_send_window(&live.view.connection);
        }
        let best = self.ranked().into_iter().next();
        look.sudden = best.is_some_and(|best| {
            !in_doubt && best.traffic.unanswered > after(SUDDEN, best.view.rtt)
        });
        look.silent = self.hearing.is_to_be_asked(now);
        let is_steady = self.hearing.is_steady(now);
        if self.live.values().any(|live| !live.traffic.is_quiet()) {
            let quiet = self.live.values().filter(|live| live.traffic.is_quiet());
            look.quiet = quiet.clone().map(|live| live.view.id).collect();
            let is_dead = |live: &&Live| live.traffic.unanswered > dead_after(live.view.rtt);
            let dead = quiet.filter(|live| is_steady && is_dead(live));
            look.dead = dead.map(|live| live.view.id).collect();
        }
        look
    }

    /// The relayed links that crossing calls made too many: all but one that is not quiet, that we
    /// called for, and that is newest.
    pub(super) fn surplus(&self) -> Vec<LinkId> {
        let relayed = self.live.values().filter(|live| live.view.kind == LinkKind::Relayed);
        let mut relayed: Vec<_> = relayed.collect();
        relayed.sort_by_key(|live| (!live.traffic.is_quiet(), live.ours, live.view.id));
        relayed.pop();
        relayed.into_iter().map(|live| live.view.id).collect()
    }

    /// The links on shared networks that two calls at the same time made too many: all but one to
    /// the same address, if possible one that we made.
    pub(super) fn twins(&self) -> Vec<LinkId> {
        let on_link = self.live.values().filter(|live| live.view.kind == LinkKind::Lan);
        let mut on_link: Vec<_> = on_link.collect();
        on_link.sort_by_key(|live| (live.view.remote, !live.traffic.is_quiet(), live.ours));
        let twins = on_link.windows(2).filter_map(|pair| match pair {
            [worse, better] if worse.view.remote == better.view.remote => Some(worse.view.id),
            _ => None,
        });
        twins.collect()
    }

    pub(super) fn connection(&self, id: LinkId) -> Option<&Connection> {
        self.live.get(&id).map(|live| &live.view.connection)
    }
}

/// A time, and so many round trips more.
fn after((time, trips): (Duration, u32), rtt: Duration) -> Duration {
    time + rtt * trips
}

/// Whether a direct link's round trip is so much longer than the relayed one's.
fn is_slower(direct: Duration, relayed: Option<Duration>) -> bool {
    relayed.is_some_and(|relayed| direct > relayed * CLEARLY_SLOWER + SLOWER_SLACK)
}

impl Traffic {
    /// Notes the counters; whether anything but QUIC's own housekeeping was among what moved.
    fn look(&mut self, counters: Counters, now: Instant, quiet: Duration) -> bool {
        if counters.heard != self.last.heard {
            self.unanswered_since = None;
        } else if counters.sent != self.last.sent {
            self.unanswered_since.get_or_insert(now);
        }
        let since = self.unanswered_since.unwrap_or(now);
        self.unanswered = now.saturating_duration_since(since);
        self.is_quiet = self.unanswered > quiet;
        let active = counters.streams != self.last.streams;
        self.last = counters;
        active
    }

    fn is_quiet(&self) -> bool {
        self.is_quiet
    }
}

impl Counters {
    fn of(connection: &Connection) -> Self {
        let stats = connection.stats();
        Self {
            sent: stats.udp_tx.datagrams,
            heard: stats.udp_rx.datagrams,
            streams: stats.frame_tx.stream + stats.frame_rx.stream,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_quiet_when_what_it_sends_stays_unanswered() {
        let start = Instant::now();
        let mut traffic = Traffic::default();
        let mut look = |millis, sent, heard| {
            let now = start + Duration::from_millis(millis);
            traffic.look(Counters { sent, heard, streams: 0 }, now, QUIET);
            traffic.is_quiet()
        };
        assert!(!look(0, 1, 1));
        // Idle for long: nobody can tell.
        assert!(!look(60_000, 1, 1));
        assert!(!look(60_500, 5, 1));
        assert!(!look(61_500, 6, 1));
        assert!(look(62_500, 6, 1));
        assert!(!look(63_000, 6, 2));
    }
}
