//! The path through a relay session: a socket of its own, bound at the relay by a task beside it,
//! under a quinn endpoint of its own. To quinn the relay's address is the peer's.

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::{Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use filefleet_server::{
    client::{Relay, Tunnel},
    protos::{
        relay::{BindFrame, SessionId, SessionKey, Side},
        tunnel::Port,
    },
    udp::{Datagram, DemuxSocket, OtherDatagram, bind_udp, canonical},
};
use quinn::{
    AsyncUdpSocket, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep_until,
};
use tokio_util::task::AbortOnDropHandle;

use super::bind::{Bind, State};
use crate::discover::changes::Changes;

/// Batches taken per receive call. Each can be 64 KiB of memory that stays with the endpoint.
const RECEIVE_BATCHES: usize = 4;
/// Bind frames that wait for the driver; when full more are dropped, and asked for again.
const BIND_FRAMES: usize = 8;

/// The caller's first packets are lost when the callee has not bound yet. Until an answer comes they
/// are said again whenever the time since has grown by a quarter, since QUIC's own time-outs double.
const SAY_AGAIN: Duration = Duration::from_millis(5);
/// QUIC goes on alone after this.
const SAY_AGAIN_FOR: Duration = Duration::from_secs(3);

/// What the server says about a relay session.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Which session.
    pub session: SessionId,
    /// What proves that we are part of it.
    pub key: SessionKey,
    /// Which end we are.
    pub side: Side,
    /// How the relay is reached.
    pub relay: Relay,
}

/// The session is not, or no longer, known to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relay does not know the session")]
pub struct Gone;

/// A relay session with an endpoint over it. Dropping it ends the bind's renewal; connections
/// still say their goodbyes.
#[derive(Debug)]
pub struct RelayedPath {
    endpoint: Endpoint,
    relay: SocketAddr,
    state: watch::Receiver<State>,
    _driver: AbortOnDropHandle<()>,
    _tunnel: Option<Tunnel>,
}

impl RelayedPath {
    /// Opens a socket and begins to bind it. `server` is the configuration of the callee.
    pub fn open(
        ticket: Ticket,
        config: EndpointConfig,
        server: Option<ServerConfig>,
        changes: Changes,
    ) -> io::Result<Self> {
        let socket = bind_udp((Ipv6Addr::UNSPECIFIED, 0).into())?;
        let (relay, tunnel) = match ticket.relay {
            Relay::Udp(address) => (address, None),
            Relay::Tunnel(tunnels) => {
                let tunnel = tunnels.open(Port::Relay, socket.local_addr()?)?;
                (tunnel.address(), Some(tunnel))
            }
        };
        let (demux, frames) = DemuxSocket::new(socket, BIND_FRAMES)?;
        let socket = Arc::new(RelayedSocket::new(demux, relay));
        let endpoint = Endpoint::new_with_abstract_socket(
            config,
            server,
            socket.clone(),
            Arc::new(TokioRuntime),
        )?;
        let (state, watch) = watch::channel(State::Unbound);
        let first_speaker = ticket.side == Side::Caller;
        let bind = Bind::new(ticket.session, ticket.key, ticket.side, Instant::now());
        let say_again = None;
        let driver =
            Driver { bind, relay, socket, frames, state, first_speaker, say_again, changes };
        let driver = AbortOnDropHandle::new(tokio::spawn(driver.run()));
        Ok(Self { endpoint, relay, state: watch, _driver: driver, _tunnel: tunnel })
    }

    /// The endpoint whose packets go through the relay.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The peer's address, as quinn sees it.
    pub fn relay(&self) -> SocketAddr {
        self.relay
    }

    /// Waits until packets of the peer can come in. Cancel-safe.
    pub async fn bound(&self) -> Result<(), Gone> {
        let mut state = self.state.clone();
        match state.wait_for(|state| *state != State::Unbound).await.as_deref() {
            Ok(State::Bound) => Ok(()),
            _ => Err(Gone),
        }
    }

    /// Waits until the relay says that it does not know the session any more. Cancel-safe.
    pub async fn gone(&self) {
        let mut state = self.state.clone();
        // The driver ends after it has said Gone, or with this path.
        let _ = state.wait_for(|state| *state == State::Gone).await;
    }
}

/// Runs the bind of one relay session until the session is gone.
struct Driver {
    bind: Bind,
    relay: SocketAddr,
    socket: Arc<RelayedSocket>,
    frames: mpsc::Receiver<OtherDatagram>,
    state: watch::Sender<State>,
    first_speaker: bool,
    /// Since when the opening may have been lost, and when it is said again.
    say_again: Option<(Instant, Instant)>,
    changes: Changes,
}

impl Driver {
    async fn run(mut self) {
        while let Some(timeout) = self.bind.timeout() {
            let timeout = self.say_again.map_or(timeout, |(_, at)| timeout.min(at));
            tokio::select! {
                () = sleep_until(timeout.into()) => self.on_timeout(),
                () = self.changes.next() => self.on_change(Instant::now()),
                datagram = self.frames.recv() => match datagram {
                    Some(datagram) => self.on_datagram(&datagram),
                    None => return,
                },
            }
        }
    }

    fn on_change(&mut self, now: Instant) {
        self.bind.renew(now);
        if let Some(frame) = self.bind.poll(now) {
            self.send(&frame);
        }
    }

    fn on_timeout(&mut self) {
        self.say_opening_again(Instant::now());
        if let Some(last) = self.socket.heard() {
            self.bind.heard(last);
        }
        if let Some(frame) = self.bind.poll(Instant::now()) {
            self.send(&frame);
        }
    }

    fn on_datagram(&mut self, datagram: &OtherDatagram) {
        if datagram.kind != Datagram::RelayBind || datagram.source != self.relay {
            return;
        }
        let Some(frame) = BindFrame::decode(&datagram.payload) else {
            return;
        };
        if let Some(answer) = self.bind.handle(Instant::now(), &frame) {
            self.send(&answer);
        }
        let state = self.bind.state();
        let news = self.state.send_if_modified(|old| std::mem::replace(old, state) != state);
        if news && state == State::Bound && self.first_speaker {
            let now = Instant::now();
            self.say_again = Some((now, now + SAY_AGAIN));
        }
    }

    fn say_opening_again(&mut self, now: Instant) {
        let Some((since, at)) = self.say_again.filter(|(_, at)| *at <= now) else { return };
        let passed = at.saturating_duration_since(since);
        if self.socket.heard().is_some() || passed > SAY_AGAIN_FOR {
            self.say_again = None;
            self.socket.set_opening(None);
        } else {
            self.socket.say_opening();
            self.say_again = Some((since, now + SAY_AGAIN.max(passed / 4)));
        }
    }

    fn send(&self, frame: &BindFrame) {
        // A frame that does not fit into the socket's buffer is said again by the bind's timer.
        self.socket.inner.send_to(&frame.encode(), self.relay, None);
    }
}

/// The demultiplexing socket with small receive batches, deaf to all but the relay. It notes when
/// it last heard a packet.
struct RelayedSocket {
    inner: Arc<DemuxSocket>,
    relay: SocketAddr,
    opened: Instant,
    /// Milliseconds since `opened`, plus one; 0 is never.
    heard: AtomicU64,
    /// The last packets sent before anything was heard.
    opening: Mutex<Option<Opening>>,
}

struct Opening {
    destination: SocketAddr,
    contents: Vec<u8>,
    segment_size: Option<usize>,
}

impl RelayedSocket {
    fn new(inner: Arc<DemuxSocket>, relay: SocketAddr) -> Self {
        Self {
            inner,
            relay,
            opened: Instant::now(),
            heard: AtomicU64::new(0),
            opening: Mutex::new(None),
        }
    }

    fn heard(&self) -> Option<Instant> {
        let millis = self.heard.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.opened + Duration::from_millis(millis))
    }

    fn set_opening(&self, opening: Option<Opening>) {
        *self.opening.lock().unwrap_or_else(PoisonError::into_inner) = opening;
    }

    fn say_opening(&self) {
        let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Opening { destination, contents, segment_size }) = &*opening {
            let (destination, segment_size) = (*destination, *segment_size);
            let transmit =
                Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
            // A full buffer is no reason to hurry.
            let _ = self.inner.try_send(&transmit);
        }
    }

    fn note_heard(&self) {
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.heard.store(millis + 1, Ordering::Relaxed);
    }
}

impl AsyncUdpSocket for RelayedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.heard.load(Ordering::Relaxed) == 0 {
            let Transmit { destination, contents, segment_size, .. } = *transmit;
            let contents = contents.to_vec();
            self.set_opening(Some(Opening { destination, contents, segment_size }));
        }
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let batches = buffers.len().min(meta.len()).min(RECEIVE_BATCHES);
        let (buffers, meta) = (&mut buffers[..batches], &mut meta[..batches]);
        let received = ready!(self.inner.poll_recv(cx, buffers, meta))?;
        for meta in meta[..received].iter_mut().filter(|meta| canonical(meta.addr) != self.relay) {
            meta.len = 0;
        }
        // What was not QUIC has been taken out, and leaves an empty batch behind, too.
        if meta[..received].iter().any(|meta| meta.len > 0) {
            self.note_heard();
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl fmt::Debug for RelayedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayedSocket").field("inner", &self.inner).finish_non_exhaustive()
    }
}
