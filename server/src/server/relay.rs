//! The relay: a UDP packet reflector between the two sides of a call.
//!
//! One task owns the socket and all sessions, so nothing is locked between two datagrams. What
//! comes from a bound address leaves for the other side's, a received batch as one send where the
//! kernel can, with its ECN marks. Everything in it is the two sides' own QUIC: the relay sees
//! ciphertext.

use std::{
    array,
    future::poll_fn,
    io::{self, IoSliceMut},
    sync::Arc,
    time::Instant,
};

use quinn::{
    AsyncUdpSocket,
    udp::{RecvMeta, Transmit},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{
    limits::{AddressLimiter, SWEEP_INTERVAL},
    stun,
    tunnels::Origins,
};
use crate::{
    config::Limits,
    protos::relay::{BindFrame, SessionId},
    udp::{Datagram, canonical, classify, datagrams, for_socket, wrap},
};

mod meter;
mod table;

pub(super) use table::Allocation;
use table::{Table, Target};

/// Batches taken from the socket by one call.
const BATCHES: usize = 16;
/// Room for the largest batch: the kernel never joins more than a UDP datagram's length.
const BATCH_LEN: usize = 65_536;
/// Larger datagrams leave one by one: a batch that does not fit the interface is lost as a whole,
/// and some kernels then make quinn-udp give up batches for good.
const MAX_SEGMENT: usize = 1500;
/// Allocations waiting for the relay's task; who brings more waits.
const COMMAND_CAPACITY: usize = 256;

enum Command {
    Allocate { allocation: Allocation, reply: oneshot::Sender<bool> },
    Release { session: SessionId },
}

/// Allocates sessions.
#[derive(Debug, Clone)]
pub(super) struct RelayHandle {
    commands: mpsc::Sender<Command>,
}

impl RelayHandle {
    /// Makes a session; `false` if there are as many as allowed, or the relay has ended.
    pub(super) async fn allocate(&self, allocation: Allocation) -> bool {
        let (reply, answer) = oneshot::channel();
        let command = Command::Allocate { allocation, reply };
        self.commands.send(command).await.is_ok() && answer.await.unwrap_or(false)
    }

    /// Ends a session.
    pub(super) async fn release(&self, session: SessionId) {
        // A relay that has ended has no sessions.
        let _ = self.commands.send(Command::Release { session }).await;
    }
}

/// The task's state.
#[derive(Debug)]
pub(super) struct Relay {
    socket: Arc<dyn AsyncUdpSocket>,
    is_ipv6: bool,
    table: Table,
    limiter: AddressLimiter,
    origins: Origins,
    commands: mpsc::Receiver<Command>,
}

impl Relay {
    /// Takes the relay's socket, inside a tokio runtime.
    pub(super) fn new(
        socket: std::net::UdpSocket,
        limits: Limits,
        origins: Origins,
    ) -> io::Result<(Self, RelayHandle)> {
        let mut cookie_secret = [0; 32];
        getrandom::fill(&mut cookie_secret)?;
        let (sender, commands) = mpsc::channel(COMMAND_CAPACITY);
        let relay = Self {
            is_ipv6: socket.local_addr()?.is_ipv6(),
            socket: wrap(socket)?,
            table: Table::new(limits, &cookie_secret, Instant::now()),
            limiter: AddressLimiter::per_second(limits.datagrams_per_address),
            origins,
            commands,
        };
        Ok((relay, RelayHandle { commands: sender }))
    }

    /// Serves until told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut storage = vec![0; BATCHES * BATCH_LEN];
        let mut metas = [RecvMeta::default(); BATCHES];
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(command) = self.commands.recv() => {
                    self.command(command);
                    continue;
                }
                _ = sweep.tick() => {
                    self.table.sweep(Instant::now());
                    self.limiter.sweep();
                    continue;
                }
                received = receive(&*self.socket, &mut storage, &mut metas) => received,
            };
            let received = match received {
                Ok(received) => received,
                // Errors of single datagrams are swallowed below: this is the end of the runtime.
                Err(error) => return error!(%error, "the relay ends"),
            };
            let now = Instant::now();
            for (buffer, meta) in storage.chunks(BATCH_LEN).zip(&metas).take(received) {
                self.batch(&buffer[..meta.len], meta, now);
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Allocate { allocation, reply } => {
                let session = allocation.session;
                let allocated = self.table.allocate(allocation, Instant::now());
                if reply.send(allocated).is_err() {
                    self.table.release(&session);
                }
            }
            Command::Release { session } => self.table.release(&session),
        }
    }

    fn batch(&mut self, buffer: &[u8], meta: &RecvMeta, now: Instant) {
        let is_quic = |datagram| classify(datagram) == Datagram::Quic;
        if datagrams(buffer, meta).all(is_quic) {
            return self.reflect(buffer, meta, now);
        }
        let source = Target { address: canonical(meta.addr), local_ip: meta.dst_ip };
        for datagram in datagrams(buffer, meta) {
            match classify(datagram) {
                Datagram::Quic => self.reflect(datagram, meta, now),
                kind => self.answer(kind, datagram, source, now),
            }
        }
    }

    /// Sends a batch, or one datagram of it, to the other side.
    fn reflect(&mut self, batch: &[u8], meta: &RecvMeta, now: Instant) {
        let stride = meta.stride.max(1);
        let (bytes, packets) = (amount(batch.len()), amount(batch.len().div_ceil(stride)));
        let Some(target) = self.table.forward(canonical(meta.addr), bytes, packets, now) else {
            return;
        };
        let segments = if stride <= MAX_SEGMENT { self.socket.max_transmit_segments() } else { 1 };
        for contents in batch.chunks(stride * segments) {
            let transmit = Transmit {
                destination: for_socket(target.address, self.is_ipv6),
                ecn: meta.ecn,
                contents,
                segment_size: (contents.len() > stride).then_some(stride),
                src_ip: target.local_ip,
            };
            // What finds the socket's buffer full is lost, as in any router.
            let _ = self.socket.try_send(&transmit);
        }
    }

    /// Answers a stranger, with no more than was sent.
    fn answer(&mut self, kind: Datagram, datagram: &[u8], source: Target, now: Instant) {
        let origin = self.origins.of(source.address);
        if !self.limiter.admits(origin) {
            return;
        }
        let answer = match kind {
            Datagram::Stun => stun::answer(datagram, source.address),
            Datagram::RelayBind => BindFrame::decode(datagram)
                .and_then(|frame| self.table.bind_frame(&frame, source, origin, now))
                .map(|frame| frame.encode()),
            Datagram::Quic | Datagram::Unknown => None,
        };
        let Some(contents) = answer else { return };
        debug_assert!(contents.len() <= datagram.len());
        let transmit = Transmit {
            destination: for_socket(source.address, self.is_ipv6),
            ecn: None,
            contents: &contents,
            segment_size: None,
            src_ip: source.local_ip,
        };
        // Whoever misses the answer asks again.
        let _ = self.socket.try_send(&transmit);
    }
}

/// Receives into `storage`, which holds [`BATCHES`] of [`BATCH_LEN`]. Cancel-safe.
async fn receive(
    socket: &dyn AsyncUdpSocket,
    storage: &mut [u8],
    metas: &mut [RecvMeta; BATCHES],
) -> io::Result<usize> {
    let mut chunks = storage.chunks_exact_mut(BATCH_LEN);
    let mut buffers: [IoSliceMut<'_>; BATCHES] =
        array::from_fn(|_| IoSliceMut::new(chunks.next().expect("there are as many")));
    poll_fn(|cx| socket.poll_recv(cx, &mut buffers, metas)).await
}

fn amount(count: usize) -> u64 {
    u64::try_from(count).expect("a batch is small")
}
