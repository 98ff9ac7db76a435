//! Larger batches than quinn's: a socket that joins what one connection sends in a row.
//!
//! quinn hands out at most ten datagrams at a time, and the kernel takes more than forty in one call
//! with GSO, for hardly more than what ten cost; the receiver's GRO then gets them as one, too. So a
//! full batch of ten waits here for the next, until there is no room for another or one comes that
//! is not full, which means that the connection has no more to send for now. If the last batch was
//! full, a task sends it as soon as the runtime has nothing else to do, so nothing waits for time
//! to pass.

use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{EcnCodepoint, RecvMeta, Transmit},
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// The datagrams of a full batch (`MAX_TRANSMIT_SEGMENTS` of quinn 0.11). With another number there,
/// batches would be sent as they come.
const FULL: usize = 10;
/// What one call may send: the length of an IPv4 packet less its own and UDP's header.
const LIMIT: usize = 65_507;

/// Joins the batches that are sent through another socket.
pub struct BatchedSocket {
    shared: Arc<Shared>,
    /// Sends what nothing came after.
    _flusher: AbortOnDropHandle<()>,
}

impl BatchedSocket {
    /// Wraps a socket, inside a tokio runtime.
    pub fn new(inner: Arc<dyn AsyncUdpSocket>) -> Arc<Self> {
        let shared =
            Arc::new(Shared { inner, held: Mutex::new(Held::default()), wake: Notify::new() });
        let flusher = tokio::spawn(flush(shared.clone()));
        Arc::new(Self { shared, _flusher: AbortOnDropHandle::new(flusher) })
    }
}

struct Shared {
    inner: Arc<dyn AsyncUdpSocket>,
    held: Mutex<Held>,
    /// Something is held back.
    wake: Notify,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Full batches that wait for what comes after them.
#[derive(Default)]
struct Held {
    contents: Vec<u8>,
    /// `None` while there are none.
    address: Option<Address>,
}

/// What datagrams that go in one call must have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Address {
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    src_ip: Option<IpAddr>,
    segment_size: usize,
}

impl Address {
    /// `None` for a single datagram.
    fn of(transmit: &Transmit<'_>) -> Option<Self> {
        let Transmit { destination, ecn, src_ip, segment_size, .. } = *transmit;
        Some(Self { destination, ecn, src_ip, segment_size: segment_size? })
    }
}

impl Held {
    /// Takes over a batch, or sends it with what is held. `Err` is as of `try_send`: it has not been
    /// taken.
    fn add(&mut self, transmit: &Transmit<'_>, inner: &dyn AsyncUdpSocket) -> io::Result<Added> {
        let address = Address::of(transmit);
        let length = self.contents.len() + transmit.contents.len();
        let limit = LIMIT.min(address.map_or(0, |address| {
            inner.max_transmit_segments().saturating_mul(address.segment_size)
        }));
        if self.address.is_some() && (self.address != address || length > limit) {
            self.send(inner)?;
        }
        let Some(address) = address else {
            inner.try_send(transmit)?;
            return Ok(Added::Sent);
        };
        let full = transmit.contents.len() == FULL * address.segment_size;
        let joins = full && limit >= 2 * transmit.contents.len();
        if self.address.is_none() && !joins {
            inner.try_send(transmit)?;
            return Ok(Added::Sent);
        }
        self.address = Some(address);
        self.contents.extend_from_slice(transmit.contents);
        let room = limit.saturating_sub(self.contents.len());
        if full && room >= transmit.contents.len() {
            return Ok(Added::Held);
        }
        // It has been taken. What cannot be sent now is when the socket can.
        Ok(if self.send(inner).is_ok() { Added::Sent } else { Added::Held })
    }

    /// Sends what is held. It stays if the socket cannot take it now.
    fn send(&mut self, inner: &dyn AsyncUdpSocket) -> io::Result<()> {
        let Some(address) = self.address else { return Ok(()) };
        let Address { destination, ecn, src_ip, segment_size } = address;
        let segment_size = Some(segment_size);
        let contents = &self.contents;
        inner.try_send(&Transmit { destination, ecn, contents, segment_size, src_ip })?;
        self.contents.clear();
        self.address = None;
        Ok(())
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Added {
    Sent,
    Held,
}

/// Sends what is held once nothing else is to be done that might add to it.
async fn flush(shared: Arc<Shared>) {
    loop {
        shared.wake.notified().await;
        tokio::task::yield_now().await;
        while shared.held().send(&*shared.inner).is_err() {
            let mut poller = Arc::clone(&shared.inner).create_io_poller();
            if poll_fn(|cx| poller.as_mut().poll_writable(cx)).await.is_err() {
                // The runtime ends.
                return;
            }
        }
    }
}

impl AsyncUdpSocket for BatchedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.shared.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let added = self.shared.held().add(transmit, &*self.shared.inner)?;
        if added == Added::Held {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.shared.inner.poll_recv(cx, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.shared.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.shared.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.shared.inner.may_fragment()
    }
}

impl fmt::Debug for BatchedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchedSocket").field("inner", &self.shared.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
