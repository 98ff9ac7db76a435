//! A UDP socket that hands single datagrams to the system and nothing else: for systems that refuse
//! the options which batches, congestion marks and local addresses need (Wine does, and so may
//! containers and old kernels). Slower, never wrong.

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit, UdpSocketState},
};
use tokio::{io::ReadBuf, net::UdpSocket};

/// Wraps a non-blocking socket for quinn, inside a tokio runtime: with all that the system can do, or
/// failing that as a plain socket.
pub fn wrap(socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    match UdpSocketState::new((&socket).into()) {
        Ok(_) => TokioRuntime.wrap_udp_socket(socket),
        Err(error) => {
            tracing::info!(%error, "UDP goes one datagram at a time");
            Ok(Arc::new(PlainSocket(UdpSocket::from_std(socket)?)))
        }
    }
}

#[derive(Debug)]
struct PlainSocket(UdpSocket);

impl AsyncUdpSocket for PlainSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, wait: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let stride = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(stride) {
            match self.0.try_send_to(datagram, transmit.destination) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // Any other is about this one datagram: it counts as lost on the way.
                Err(error) => tracing::debug!(%error, "a datagram was not sent"),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        loop {
            let mut datagram = ReadBuf::new(buffer);
            match ready!(self.0.poll_recv_from(cx, &mut datagram)) {
                Ok(addr) => {
                    let len = datagram.filled().len();
                    *meta = RecvMeta { addr, len, stride: len, ecn: None, dst_ip: None };
                    return Poll::Ready(Ok(1));
                }
                // What Windows tells of datagrams sent before, or that one was too long.
                Err(error) => tracing::debug!(%error, "no datagram was received"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Waits for the socket to take another datagram, for one of those who send on it.
struct Writable {
    socket: Arc<PlainSocket>,
    wait: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = Arc::clone(&self.socket);
        let wait =
            self.wait.get_or_insert_with(|| Box::pin(async move { socket.0.writable().await }));
        let result = ready!(wait.as_mut().poll(cx));
        self.wait = None;
        Poll::Ready(result)
    }
}

impl fmt::Debug for Writable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writable").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::poll_fn;

    use super::*;

    fn socket() -> Arc<PlainSocket> {
        let socket = crate::udp::bind_udp("127.0.0.1:0".parse().unwrap()).unwrap();
        Arc::new(PlainSocket(UdpSocket::from_std(socket).unwrap()))
    }

    async fn receive(socket: &PlainSocket) -> (Vec<u8>, RecvMeta) {
        let (mut bytes, mut meta) = ([0; 64], [RecvMeta::default()]);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        poll_fn(|cx| socket.poll_recv(cx, &mut buffers, &mut meta)).await.unwrap();
        (bytes[..meta[0].len].to_vec(), meta[0])
    }

    async fn writable(socket: &Arc<PlainSocket>) {
        let mut poller = Arc::clone(socket).create_io_poller();
        poll_fn(|cx| poller.as_mut().poll_writable(cx)).await.unwrap();
    }

    #[tokio::test]
    async fn a_batch_goes_as_single_datagrams() {
        let (sender, receiver) = (socket(), socket());
        writable(&sender).await;
        let transmit = Transmit {
            destination: receiver.local_addr().unwrap(),
            ecn: None,
            contents: b"onetwoend.",
            segment_size: Some(3),
            src_ip: None,
        };
        sender.try_send(&transmit).unwrap();
        for expected in ["one", "two", "end", "."] {
            let (content, meta) = receive(&receiver).await;
            assert_eq!(content, expected.as_bytes());
            assert_eq!((meta.stride, meta.addr), (expected.len(), sender.local_addr().unwrap()));
        }
    }

    #[tokio::test]
    async fn a_datagram_that_cannot_be_sent_is_lost_and_no_more() {
        let (sender, receiver) = (socket(), socket());
        writable(&sender).await;
        let destination = receiver.local_addr().unwrap();
        let transmit = |contents| Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: None,
        };
        // Longer than any datagram can be.
        sender.try_send(&transmit(&[0; 70_000])).unwrap();
        sender.try_send(&transmit(b"next")).unwrap();
        assert_eq!(receive(&receiver).await.0, b"next");
    }
}
