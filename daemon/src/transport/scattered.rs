//! The path through a scattered socket: its own quinn endpoint, deaf to all but the one address that
//! has passed a keyed check there. A task beside it answers the peer's checks and sends its own.

use std::{
    fmt, io,
    io::IoSliceMut,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use filefleet_server::udp::{Datagram, DemuxSocket, OtherDatagram, canonical};
use quinn::{
    AsyncUdpSocket, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep_until,
};
use tokio_util::task::AbortOnDropHandle;

use crate::connect::{
    allowance::Allowances,
    checks::Checks,
    driver::{Keys, Scattered},
};

/// Checks that wait for the driver; when full more are dropped, and sent again.
const CHECKS: usize = 8;

/// A path with an endpoint over it. Dropping it ends the answering of checks; connections still say
/// their goodbyes.
#[derive(Debug)]
pub struct ScatteredPath {
    endpoint: Endpoint,
    remote: SocketAddr,
    passed: watch::Receiver<bool>,
    _driver: AbortOnDropHandle<()>,
}

impl ScatteredPath {
    /// Begins to check the path. `server` is the configuration of the side that is connected to.
    pub fn open(
        scattered: Scattered,
        config: EndpointConfig,
        server: Option<ServerConfig>,
    ) -> io::Result<Self> {
        let Scattered { socket, remote, keys } = scattered;
        let (demux, datagrams) = DemuxSocket::new(socket, CHECKS)?;
        let socket = Arc::new(PinnedSocket { inner: demux.clone(), remote });
        let endpoint =
            Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime))?;
        let (passed, watch) = watch::channel(false);
        let mut checks = Checks::default();
        checks.add(Instant::now(), [remote]);
        let allowances = Allowances::default();
        let driver = Driver { socket: demux, remote, keys, checks, allowances, datagrams, passed };
        let driver = AbortOnDropHandle::new(tokio::spawn(driver.run()));
        Ok(Self { endpoint, remote, passed: watch, _driver: driver })
    }

    /// The endpoint whose packets take this path.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The peer's address.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Waits until the peer has answered a check: it hears us, and listens to us. Cancel-safe.
    pub async fn passed(&self) {
        let mut passed = self.passed.clone();
        if passed.wait_for(|passed| *passed).await.is_err() {
            // The driver ends with the socket only.
            std::future::pending().await
        }
    }
}

struct Driver {
    socket: Arc<DemuxSocket>,
    remote: SocketAddr,
    keys: Keys,
    checks: Checks,
    allowances: Allowances,
    datagrams: mpsc::Receiver<OtherDatagram>,
    passed: watch::Sender<bool>,
}

impl Driver {
    async fn run(mut self) {
        loop {
            let timeout = self.checks.timeout(&self.allowances);
            let due = async {
                match timeout {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            // Both branches are cancel-safe: a timer and a channel.
            tokio::select! {
                () = due => self.send_due(),
                datagram = self.datagrams.recv() => match datagram {
                    Some(datagram) => self.on_datagram(&datagram),
                    None => return,
                },
            }
        }
    }

    fn send_due(&mut self) {
        let id = self.keys.transaction();
        if let Some(remote) = self.checks.poll(Instant::now(), id, &mut self.allowances) {
            // A check that does not fit into the socket's buffer counts as lost.
            self.socket.send_to(&self.keys.request_as(id), remote, None);
        }
    }

    fn on_datagram(&mut self, datagram: &OtherDatagram) {
        if datagram.kind != Datagram::Stun || datagram.source != self.remote {
            return;
        }
        if let Some(answer) = self.keys.answer(datagram) {
            self.socket.send_to(&answer, self.remote, None);
        } else if let Some(id) = self.keys.answered(datagram)
            && let allowances = &mut self.allowances
            && self.checks.on_response(Instant::now(), self.remote, id, allowances).is_some()
        {
            self.passed.send_replace(true);
        }
    }
}

/// The demultiplexing socket, deaf to all but one address.
struct PinnedSocket {
    inner: Arc<DemuxSocket>,
    remote: SocketAddr,
}

impl AsyncUdpSocket for PinnedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.inner.poll_recv(cx, buffers, meta))?;
        for meta in meta[..received].iter_mut().filter(|meta| canonical(meta.addr) != self.remote) {
            meta.len = 0;
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

impl fmt::Debug for PinnedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedSocket").field("inner", &self.inner).finish_non_exhaustive()
    }
}
