//! UDP as both ends use it: sockets, batches, and telling protocols on one port apart.
//!
//! A batch is what one receive call hands out with GRO: datagrams of one source, all of the same
//! length (the stride) but perhaps the last. With GSO it can be sent as one, too.

mod plain;

pub use plain::wrap;

use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;

use crate::protos::{relay, stun};

/// Asked of the kernel for each direction: its default holds less than a hundred packets.
const SOCKET_BUFFER: usize = 8 * 1024 * 1024;

/// Which protocol a datagram speaks (RFC 9443, with a value of its own for relay binds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram {
    /// A STUN message, see [`stun`].
    Stun,
    /// A frame of the relay's bind handshake, see [`relay`].
    RelayBind,
    /// A QUIC packet.
    Quic,
    /// Nothing we speak.
    Unknown,
}

/// Tells by the first byte (for STUN also the cookie) which protocol a datagram speaks.
///
/// QUIC needs its fixed bit for this: `EndpointConfig::grease_quic_bit(false)`.
pub fn classify(datagram: &[u8]) -> Datagram {
    match datagram.first() {
        Some(0..=3) if stun::is_stun(datagram) => Datagram::Stun,
        Some(&relay::FIRST_BYTE) => Datagram::RelayBind,
        // RFC 9443 section 3: 64..=79 and 128..=255 are QUIC, and 80..=127, too, unless TURN
        // channels or RTP are spoken, which we never do.
        Some(64..) => Datagram::Quic,
        _ => Datagram::Unknown,
    }
}

/// A non-blocking UDP socket with large buffers, as far as the kernel grants them.
///
/// `[::]` is bound for IPv4 as well, or if the machine has no IPv6, for IPv4 alone.
pub fn bind_udp(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    match bind(address) {
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        result => result,
    }
}

fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    for result in
        [socket.set_recv_buffer_size(SOCKET_BUFFER), socket.set_send_buffer_size(SOCKET_BUFFER)]
    {
        if let Err(error) = result {
            tracing::debug!(%error, "the socket keeps its default buffer");
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Which of this machine's addresses packets to `remote` leave from; `None` if there is no route to
/// it. Asks the kernel with a socket that sends nothing.
pub fn source_towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The address as people write it: an IPv4 address mapped into IPv6 becomes IPv4 again.
///
/// Addresses are kept in this form everywhere but at the socket.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, v6.port())),
            // Keeps the scope of a link-local address.
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

/// The address as a socket of this family wants it: the opposite of [`canonical`].
pub fn for_socket(address: SocketAddr, socket_is_ipv6: bool) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if socket_is_ipv6 => (ip.to_ipv6_mapped(), address.port()).into(),
        _ => address,
    }
}

/// The datagrams of a received batch.
pub fn datagrams<'a>(buffer: &'a [u8], meta: &RecvMeta) -> impl Iterator<Item = &'a [u8]> {
    // An empty datagram comes with a stride of zero, and has no chunks.
    buffer[..meta.len].chunks(meta.stride.max(1))
}

/// A datagram that is not QUIC, from a socket that mostly receives QUIC.
#[derive(Debug, Clone)]
pub struct OtherDatagram {
    /// Who sent it, in canonical form.
    pub source: SocketAddr,
    /// Which of our addresses it came to, if the platform tells; an answer should leave from it.
    pub local_ip: Option<IpAddr>,
    /// Which protocol it speaks: never QUIC nor unknown.
    pub kind: Datagram,
    /// Its content.
    pub payload: Bytes,
}

/// A UDP socket for a quinn endpoint that keeps STUN and relay binds to itself.
///
/// No error of a single send or receive call gets through to quinn, which would end the connection
/// or the endpoint: datagrams may be lost anyway. (quinn's own tokio socket, inside this one, logs
/// and swallows them.)
pub struct DemuxSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    others: mpsc::Sender<OtherDatagram>,
    is_ipv6: bool,
    dropped: AtomicU64,
}

impl DemuxSocket {
    /// Wraps a socket, inside a tokio runtime. What is not QUIC comes out of the receiver; while
    /// `capacity` of it wait there, more is dropped.
    pub fn new(
        socket: std::net::UdpSocket,
        capacity: usize,
    ) -> io::Result<(Arc<Self>, mpsc::Receiver<OtherDatagram>)> {
        let is_ipv6 = socket.local_addr()?.is_ipv6();
        let inner = wrap(socket)?;
        let (others, receiver) = mpsc::channel(capacity);
        let dropped = AtomicU64::new(0);
        Ok((Arc::new(Self { inner, others, is_ipv6, dropped }), receiver))
    }

    /// Sends one datagram that is not QUIC; whether it was handed to the kernel.
    ///
    /// It is not when the socket's buffer is full, or before the runtime first looked at the
    /// socket: see [`writable`](Self::writable).
    pub fn send_to(
        &self,
        payload: &[u8],
        destination: SocketAddr,
        local_ip: Option<IpAddr>,
    ) -> bool {
        let transmit = Transmit {
            destination: for_socket(destination, self.is_ipv6),
            ecn: None,
            contents: payload,
            segment_size: None,
            src_ip: local_ip,
        };
        self.inner.try_send(&transmit).is_ok()
    }

    /// Waits until the kernel may take another datagram.
    pub async fn writable(&self) -> io::Result<()> {
        let mut poller = Arc::clone(&self.inner).create_io_poller();
        poll_fn(|cx| poller.as_mut().poll_writable(cx)).await
    }

    /// How many datagrams were neither QUIC nor taken from the receiver in time.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes what is not QUIC out of a batch.
    fn sort(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        if datagrams(buffer, meta).all(|datagram| classify(datagram) == Datagram::Quic) {
            return;
        }
        // All but the last have the stride's length, so what remains is again a batch.
        let (mut start, mut kept) = (0, 0);
        while start < meta.len {
            let end = meta.len.min(start + meta.stride);
            match classify(&buffer[start..end]) {
                Datagram::Quic => {
                    buffer.copy_within(start..end, kept);
                    kept += end - start;
                }
                kind => self.divert(kind, &buffer[start..end], meta),
            }
            start = end;
        }
        meta.len = kept;
    }

    fn divert(&self, kind: Datagram, payload: &[u8], meta: &RecvMeta) {
        let taken = kind != Datagram::Unknown
            && self.others.try_reserve().is_ok_and(|permit| {
                permit.send(OtherDatagram {
                    source: canonical(meta.addr),
                    local_ip: meta.dst_ip,
                    kind,
                    payload: Bytes::copy_from_slice(payload),
                });
                true
            });
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl AsyncUdpSocket for DemuxSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
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
        for (buffer, meta) in buffers.iter_mut().zip(meta).take(received) {
            self.sort(buffer, meta);
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

impl fmt::Debug for DemuxSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DemuxSocket").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
