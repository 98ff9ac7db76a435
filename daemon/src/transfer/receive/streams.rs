//! Reads blocks and packs from their streams, within the process-wide receive budget, and hands them
//! to the writing thread of their transfer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{RecvStream, VarInt};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::writer::{Block, Job};
use crate::peer::IncomingStream;
use crate::transfer::buffer::{Buffer, Pool};
use crate::transfer::hash::BLOCK;
use crate::transfer::proto::{BlockHeader, PREFIX_LEN, PackHeader, Prefix, StreamKind, WireError};

/// The receive budget of the whole process: what blocks on their way from a socket to a disk may
/// occupy, whatever peers do.
pub(crate) const RECEIVE_BUDGET: usize = 48 << 20;
/// What one session may occupy of it, so that no peer alone holds up the others.
const SESSION_BUDGET: usize = RECEIVE_BUDGET / 2;
/// The budget is counted in units of this many bytes.
const BUDGET_UNIT: usize = 1 << 10;
/// The most content of one stream.
const BLOCK_LEN: usize = BLOCK as usize;
/// So much of a stream must come within [`STEP_LIMIT`] while it keeps its share of the budget. Links
/// may be slower than a block in that time, but not slower than 1 kB/s.
const STEP: usize = 32 << 10;
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// Tells the sender that a stream's transfer is not known here.
pub(crate) const NOT_WANTED: VarInt = VarInt::from_u32(1);

/// The budget and the buffers that all receiving transfers share, as one session has them.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    of_all: Arc<Semaphore>,
    of_session: Arc<Semaphore>,
    pool: Pool,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of_all: OwnedSemaphorePermit,
    of_session: OwnedSemaphorePermit,
}

/// Why a stream's content was not taken.
#[derive(Debug, Error)]
pub(crate) enum StreamError {
    #[error("the stream ended early or its link died")]
    Read,
    #[error("the stream's header is wrong")]
    Wire(#[from] WireError),
    #[error("the stream brought too little for too long")]
    TimedOut,
    #[error("the transfer is not known or has ended")]
    NotWanted,
}

impl Budget {
    pub(crate) fn new() -> Self {
        // Half of the budget's blocks at most lie idle.
        let keep = RECEIVE_BUDGET / 2 / (1 << 20);
        Self {
            of_all: Arc::new(Semaphore::new(RECEIVE_BUDGET / BUDGET_UNIT)),
            of_session: Arc::new(Semaphore::new(SESSION_BUDGET / BUDGET_UNIT)),
            pool: Pool::new(keep),
        }
    }

    /// The same budget for another session.
    pub(crate) fn for_session(&self) -> Self {
        let of_session = Arc::new(Semaphore::new(SESSION_BUDGET / BUDGET_UNIT));
        Self { of_session, ..self.clone() }
    }

    /// Frees the buffers that nobody uses.
    pub(crate) fn clear(&self) {
        self.pool.clear();
    }

    /// Waits for a part. Who has used up its own does not stand in line for that of all.
    async fn share(&self, bytes: usize) -> Share {
        let units = u32::try_from(bytes.div_ceil(BUDGET_UNIT)).expect("blocks and packs are small");
        let of_session = Arc::clone(&self.of_session).acquire_many_owned(units).await;
        let of_all = Arc::clone(&self.of_all).acquire_many_owned(units).await;
        Share {
            of_all: of_all.expect("the budget is never closed"),
            of_session: of_session.expect("the budget is never closed"),
        }
    }
}

impl Share {
    /// Gives back what it has beyond `needed` bytes.
    fn give_back(&mut self, needed: usize) {
        let surplus = self.of_all.num_permits().saturating_sub(needed.div_ceil(BUDGET_UNIT));
        drop((self.of_all.split(surplus), self.of_session.split(surplus)));
    }

    /// A part for content that came from nowhere.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn none() -> Self {
        let none = || Arc::new(Semaphore::new(1)).try_acquire_owned().expect("it is free");
        Self { of_all: none(), of_session: none() }
    }
}

/// Reads the first bytes of a stream.
pub(crate) async fn read_prefix(incoming: &mut IncomingStream) -> Result<Prefix, StreamError> {
    let mut bytes = [0; PREFIX_LEN];
    read_exact(&mut incoming.stream, &mut bytes).await?;
    Ok(Prefix::decode(&bytes)?)
}

/// Reads the rest of a stream into a job for the writing thread; also how many bytes of content came.
pub(crate) async fn read_job(
    mut incoming: IncomingStream,
    prefix: Prefix,
    budget: &Budget,
) -> Result<(Job, u64), StreamError> {
    let instance = prefix.instance;
    let header_len = usize::try_from(prefix.header_len).map_err(|_| StreamError::Read)?;
    // All at once, for streams that held one part and waited for another could block each other; and
    // before the time runs: a busy disk is not the stream's fault.
    let mut share = budget.share(header_len + BLOCK_LEN).await;
    let mut header = vec![0; header_len];
    read_exact(&mut incoming.stream, &mut header).await?;
    match prefix.kind {
        StreamKind::Block | StreamKind::Zeros => {
            let header = BlockHeader::decode(&header)?;
            let len = usize::try_from(header.len).map_err(|_| StreamError::Read)?;
            let (content, came) = match prefix.kind {
                StreamKind::Zeros => (zeros(len, budget), 0),
                _ => (read_content(&mut incoming.stream, len, budget).await?, len),
            };
            share.give_back(header_len + len);
            let (link, came_at) = (incoming.kind, Instant::now());
            let block = Block { instance, header, content, link, came_at, share };
            Ok((Job::Block(block), came as u64))
        }
        StreamKind::Pack => {
            let header = PackHeader::decode(&header)?;
            let len = header.content_len().and_then(|len| usize::try_from(len).ok());
            let len = len.ok_or(StreamError::Read)?;
            let content = read_content(&mut incoming.stream, len, budget).await?;
            share.give_back(header_len + len);
            let link = incoming.kind;
            Ok((Job::Pack { instance, header, content, link, share }, len as u64))
        }
    }
}

async fn read_content(
    stream: &mut RecvStream,
    len: usize,
    budget: &Budget,
) -> Result<Buffer, StreamError> {
    let mut content = budget.pool.take(len);
    read_exact(stream, content.as_mut()).await?;
    Ok(content)
}

fn zeros(len: usize, budget: &Budget) -> Buffer {
    let mut content = budget.pool.take(len);
    content.as_mut().fill(0);
    content
}

async fn read_exact(stream: &mut RecvStream, bytes: &mut [u8]) -> Result<(), StreamError> {
    for step in bytes.chunks_mut(STEP) {
        let read = tokio::time::timeout(STEP_LIMIT, stream.read_exact(step)).await;
        read.map_err(|_| StreamError::TimedOut)?.map_err(|_| StreamError::Read)?;
    }
    Ok(())
}
