//! Links of a session coming and going.

use std::{net::SocketAddr, ops::ControlFlow, time::Instant};

use filefleet_server::{
    client::{self, Call},
    protos::certificate::DeviceCertificate,
};
use tokio::task::JoinSet;

use super::{
    super::{
        super::{
            CloseReason, ConnectError, LinkId, LinkKind,
            close::CloseCode,
            frame::Kind,
            link::{LinkEnd, LinkError, Opened},
        },
        command::Ending,
        direct::{Direct, MAX_DIRECT},
        log::LinkLoss,
        recall::Recall,
    },
    Flow, HOPEFUL, SessionActor, TICKETS, ticket_of,
};
use crate::{connect::driver, transport::relayed::Ticket};

impl SessionActor {
    pub(super) fn open_relayed(&mut self, ticket: Ticket) {
        self.tickets.push_back(ticket.session);
        if self.tickets.len() > TICKETS {
            self.tickets.pop_front();
        }
        self.hopeful_until = Instant::now() + HOPEFUL;
        let (local, peer, incarnation) = self.for_link();
        self.opening.spawn(async move { local.relayed(&peer, incarnation, ticket).await });
    }

    pub(super) fn on_opened(&mut self, link: Opened) -> Flow {
        // What the peer has given up by now says nothing of the session that it has now.
        if let Some(error) = link.connection.close_reason() {
            return self.on_failed(&error.into());
        }
        match self.their_incarnation {
            Some(theirs) if theirs != link.incarnation => {
                return ControlFlow::Break(Ending::Replaced(Box::new(link)));
            }
            _ => self.their_incarnation = Some(link.incarnation),
        }
        if link.kind == LinkKind::Relayed {
            self.recall.succeeded();
        }
        self.add_link(link);
        self.close_surplus();
        self.flush();
        self.answer_waiters()
    }

    pub(super) fn add_link(&mut self, link: Opened) {
        tracing::info!(peer = %self.peer.name, link = ?link.id, kind = ?link.kind, "link up");
        let (next, link_kind) = (self.inbox.acknowledged(), link.kind);
        let wiring = self.links.add(&link, next, self.frames_in.clone(), self.streams.clone());
        self.running.spawn(link.run(wiring));
        self.active_at = Instant::now();
        self.tell_joined(link_kind);
        self.show_links();
    }

    /// Whether this side calls again first, dials direct links and closes what is too much.
    fn is_controlling(&self) -> bool {
        self.local.certificate.device() < self.peer.device()
    }

    /// Of two crossing calls, the one of the lower device key wins; it closes the other one.
    fn close_surplus(&mut self) {
        if self.is_controlling() {
            let excess = self.links.excess(MAX_DIRECT);
            let surplus = self.links.surplus().into_iter().chain(self.links.twins());
            for id in surplus.chain(excess) {
                self.tell_lost(id, LinkLoss::Surplus);
                self.close_link(id, CloseCode::Redundant);
            }
        }
    }

    pub(super) fn on_found(&mut self, found: driver::Event) -> Flow {
        match found {
            driver::Event::Offer(offer) => return self.say(Kind::SIGNAL, offer.encode()),
            driver::Event::Reachable(path) => {
                self.direct.on_reachable(path);
                self.dial(false);
            }
            driver::Event::Reveal => self.reveal(),
            driver::Event::Scattered(scattered) => {
                let (local, peer, incarnation) = self.for_link();
                let dial = self.is_controlling();
                self.opening.spawn(async move {
                    local.scattered(&peer, incarnation, scattered, dial).await
                });
            }
        }
        ControlFlow::Continue(())
    }

    /// Lets the peer learn from the server where we are observed.
    fn reveal(&self) {
        let client = self.rendezvous.borrow();
        let client = client.as_ref().filter(|_| self.local.guess_ports);
        if let (Some(client), Some(session)) = (client, self.tickets.back()) {
            client.reveal(*session);
        }
    }

    /// Connects over the best path that answers, if it is better than what there is.
    pub(super) fn dial(&mut self, spare: bool) {
        // A peer that has not spoken on the relayed link yet has no session to join.
        if !self.is_controlling() || self.their_incarnation.is_none() {
            return;
        }
        if let Some(remote) = self.direct.choose(self.links.direct(), spare) {
            self.spawn_dial(remote);
        }
    }

    /// Connects to where the peer has answered on a network here, unless there is such a link. The
    /// server is asked at the same time, by whoever has looked there.
    pub(super) fn dial_nearby(&mut self, remote: SocketAddr) {
        self.recall.put_off(Instant::now() + HOPEFUL);
        if self.direct.dial_nearby(self.links.direct(), remote) {
            self.spawn_dial(remote);
        }
    }

    fn spawn_dial(&mut self, remote: SocketAddr) {
        let (local, peer, incarnation) = self.for_link();
        self.dialling.spawn(async move { (remote, local.dial(&peer, incarnation, remote).await) });
    }

    pub(super) fn on_dialled(
        &mut self,
        remote: SocketAddr,
        opened: Result<Opened, LinkError>,
    ) -> Flow {
        self.direct.dialled(remote, opened.is_ok());
        match opened {
            Ok(link) => self.on_opened(link),
            Err(error) => self.on_failed(&error),
        }
    }

    pub(super) fn close_link(&mut self, id: LinkId, code: CloseCode) {
        if let Some(connection) = self.links.connection(id) {
            connection.close(code.wire(), b"");
        }
        self.drop_link(id);
    }

    fn drop_link(&mut self, id: LinkId) {
        self.links.remove(id);
        self.outbox.link_lost(id);
        self.flush();
        self.show_links();
        if self.links.is_empty() {
            self.unlinked_at = Instant::now();
        }
    }

    pub(super) fn on_failed(&mut self, error: &LinkError) -> Flow {
        tracing::debug!(peer = %self.peer.name, %error, "no link");
        let reason = match error {
            LinkError::WrongIdentity => Some(CloseReason::IdentityChanged),
            error => error.of_peer().and_then(CloseReason::of_peer),
        };
        match reason {
            Some(reason) if self.links.is_empty() => {
                self.failure = Some(ConnectError::Failed(reason));
                ControlFlow::Break(Ending::Closed(reason))
            }
            _ => {
                if self.their_incarnation.is_none() {
                    self.unlinked_at = Instant::now();
                }
                self.end_if_hopeless()
            }
        }
    }

    /// Leaves nothing that could still become a link of this session.
    pub(super) fn give_up_linking(&mut self) {
        (self.opening, self.dialling) = (JoinSet::new(), JoinSet::new());
        self.recall = Recall::default();
        self.direct = Direct::default();
    }

    pub(super) fn on_called(&mut self, called: Result<Call, client::Error>) -> Flow {
        match called {
            Ok(call) if is_same(&call.certificate, &self.peer.certificate) => {
                self.open_relayed(ticket_of(&call));
            }
            Ok(_) => tracing::debug!(peer = %self.peer.name, "called again, another device came"),
            Err(error) => tracing::debug!(peer = %self.peer.name, %error, "could not call again"),
        }
        ControlFlow::Continue(())
    }

    pub(super) fn on_link_end(&mut self, end: LinkEnd) -> Flow {
        let LinkEnd { id, code, violation, .. } = end;
        self.goodbyes.spawn(end.say_goodbye());
        if violation {
            return ControlFlow::Break(Ending::Closed(CloseReason::Protocol));
        }
        let kind = self.links.kind(id);
        let loss = if code.is_some() { LinkLoss::ClosedByPeer } else { LinkLoss::Broken };
        self.tell_lost(id, loss);
        self.drop_link(id);
        match (code, code.and_then(CloseReason::of_peer)) {
            (_, Some(reason)) => return ControlFlow::Break(Ending::Closed(reason)),
            (Some(_), None) => {}
            (None, None) if kind.is_some_and(|kind| kind != LinkKind::Relayed) => {
                self.look_for_paths();
            }
            (None, None) => {}
        }
        self.call_again();
        ControlFlow::Continue(())
    }

    /// Calls for a new relayed link when none works, if anybody needs the session.
    pub(super) fn call_again(&mut self) {
        let hopeful = !self.opening.is_empty() && Instant::now() < self.hopeful_until;
        if hopeful || self.links.has_working_relayed() || !self.is_needed() {
            return;
        }
        if let Some(client) = &*self.rendezvous.borrow() {
            self.recall.start(client, &self.peer.name, self.is_controlling());
        }
    }

    /// What came to nothing may be possible now.
    pub(super) fn on_network_changed(&mut self) -> Flow {
        // What has been under way since before is not waited for.
        self.hopeful_until = Instant::now();
        self.recall.hurry();
        self.doubt_links();
        ControlFlow::Continue(())
    }

    /// Every link says something: what is not answered soon is not used any more. Other ways are
    /// looked for at the same time, and the peer, who is offered them, does the same.
    pub(super) fn doubt_links(&mut self) {
        self.prove_links();
        self.look_for_paths();
        self.call_again();
    }

    pub(super) fn look_for_paths(&mut self) {
        // QUIC's own pauses between two attempts have grown long by now.
        self.dialling = JoinSet::new();
        self.direct.restart();
    }

    /// The peer looks for other ways. It does so from time to time while there is no direct one, too,
    /// and then the only link is none to doubt: the peer's word has just come over it.
    pub(super) fn on_offered_anew(&mut self) {
        self.dialling = JoinSet::new();
        if self.links.are_several() {
            self.prove_links();
        }
    }

    fn prove_links(&mut self) {
        let now = Instant::now();
        self.links.doubt(now);
        self.links.prove(self.inbox.acknowledged());
        self.look_at = now;
    }

    pub(super) fn show_links(&mut self) {
        let views = self.links.views();
        self.ends.links.send_if_modified(|old| {
            let same = old.len() == views.len()
                && old.iter().zip(&views).all(|(a, b)| (a.id, a.rtt) == (b.id, b.rtt));
            *old = views;
            !same
        });
        self.tell_best();
    }
}

/// A certificate may have been issued anew.
fn is_same(one: &DeviceCertificate, other: &DeviceCertificate) -> bool {
    (one.identity(), one.device()) == (other.identity(), other.device())
}
