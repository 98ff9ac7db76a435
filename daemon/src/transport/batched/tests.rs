use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const SIZE: usize = 1452;

/// Notes what it is to send, and refuses while it is full.
#[derive(Debug, Default)]
struct Recorder {
    sent: Mutex<Vec<(SocketAddr, usize)>>,
    full: AtomicBool,
}

impl Recorder {
    fn sent(&self) -> Vec<(SocketAddr, usize)> {
        self.sent.lock().unwrap().clone()
    }
}

impl AsyncUdpSocket for Recorder {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        unreachable!("nobody waits for it")
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.sent.lock().unwrap().push((transmit.destination, transmit.contents.len()));
        Ok(())
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(address(0))
    }

    fn max_transmit_segments(&self) -> usize {
        64
    }
}

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn batch(contents: &[u8], port: u16) -> Transmit<'_> {
    let segment_size = (contents.len() > SIZE).then_some(SIZE);
    Transmit { destination: address(port), ecn: None, contents, segment_size, src_ip: None }
}

fn socket() -> (Arc<Recorder>, Arc<BatchedSocket>) {
    let recorder = Arc::new(Recorder::default());
    (recorder.clone(), BatchedSocket::new(recorder))
}

const TEN: &[u8] = &[0; FULL * SIZE];

#[tokio::test]
async fn full_batches_are_joined_until_there_is_no_room() {
    let (recorder, socket) = socket();
    for _ in 0..3 {
        socket.try_send(&batch(TEN, 1)).unwrap();
    }
    assert_eq!(recorder.sent(), []);
    socket.try_send(&batch(TEN, 1)).unwrap();
    assert_eq!(recorder.sent(), [(address(1), 4 * TEN.len())]);
}

#[tokio::test]
async fn what_is_not_full_ends_a_batch_and_alone_does_not_wait() {
    let (recorder, socket) = socket();
    socket.try_send(&batch(TEN, 1)).unwrap();
    socket.try_send(&batch(&TEN[..2 * SIZE + 7], 1)).unwrap();
    socket.try_send(&batch(&TEN[..2 * SIZE], 1)).unwrap();
    let expected = [(address(1), TEN.len() + 2 * SIZE + 7), (address(1), 2 * SIZE)];
    assert_eq!(recorder.sent(), expected);
}

#[tokio::test]
async fn a_single_datagram_and_another_destination_do_not_overtake() {
    let (recorder, socket) = socket();
    socket.try_send(&batch(TEN, 1)).unwrap();
    socket.try_send(&batch(&TEN[..9], 1)).unwrap();
    socket.try_send(&batch(TEN, 1)).unwrap();
    socket.try_send(&batch(&TEN[..2 * SIZE], 2)).unwrap();
    let ten = (address(1), TEN.len());
    assert_eq!(recorder.sent(), [ten, (address(1), 9), ten, (address(2), 2 * SIZE)]);
}

#[tokio::test]
async fn a_full_batch_that_nothing_follows_is_sent_by_itself() {
    let (recorder, socket) = socket();
    socket.try_send(&batch(TEN, 1)).unwrap();
    while recorder.sent().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(recorder.sent(), [(address(1), TEN.len())]);
}

#[tokio::test]
async fn what_a_full_socket_refuses_is_neither_lost_nor_sent_twice() {
    let (recorder, socket) = socket();
    socket.try_send(&batch(TEN, 1)).unwrap();
    recorder.full.store(true, Ordering::Relaxed);
    let refused = socket.try_send(&batch(TEN, 2)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    recorder.full.store(false, Ordering::Relaxed);
    socket.try_send(&batch(&TEN[..9], 2)).unwrap();
    assert_eq!(recorder.sent(), [(address(1), TEN.len()), (address(2), 9)]);
}
