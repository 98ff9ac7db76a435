//! A wide-area link between two machines of the [`crate::lab`], in user space: a TUN device in
//! each namespace, and for each direction a thread that carries packets across with a delay, a rate,
//! a drop-tail queue and random loss, all of which can be changed while packets flow.
//!
//! For kernels without `sch_netem`. Lengths and rates count IP packets, without a link header.
//! Nothing is reordered. Times are kept to about [`QUANTUM`]; how well on a busy machine has to be
//! measured, as everybody should who builds on an impairment.

mod forward;
mod link;

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, eventfd},
    fd::OwnedFd,
};
use serde::Serialize;
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::lab::{self, Machine};
use link::Link;

pub use forward::QUANTUM;

/// Packets that the kernel holds for us between two looks; it drops what is beyond. Far more than
/// what any sender has in flight, so that the only queue that matters is our own.
const DEVICE_QUEUE: u32 = 20_000;
/// The smallest queue that is chosen when none is given.
const LEAST_QUEUE: usize = 32 * 1500;
/// The packet size of the whole link.
const MTU: u16 = 1500;

/// What one direction of a link is like. The default is a perfect one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Conditions {
    /// One way.
    pub delay: Duration,
    /// Bits per second; `None` is as fast as this machine can.
    pub rate: Option<u64>,
    /// Bytes that may wait for the line, the packet on it included; `None` is one
    /// bandwidth-delay product.
    pub queue: Option<usize>,
    /// The share of packets that get lost at random, from 0 to 1. They take their time on the line
    /// as others do.
    pub loss: f64,
}

impl Conditions {
    /// The rate times the round trip, if the way back has the same delay; at least 32 packets.
    pub fn bdp(&self) -> usize {
        let bits = u128::from(self.rate.unwrap_or(0)) * (2 * self.delay).as_nanos();
        usize::try_from(bits / 8 / 1_000_000_000).unwrap_or(usize::MAX).max(LEAST_QUEUE)
    }
}

/// What has happened to the packets of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// That came to the link.
    pub packets: u64,
    /// Their length.
    pub bytes: u64,
    /// That arrived at the other end.
    pub delivered: u64,
    /// Their length.
    pub delivered_bytes: u64,
    /// Lost at random.
    pub losses: u64,
    /// That the queue had no room for.
    pub queue_drops: u64,
    /// Lost because the link was down.
    pub cut: u64,
    /// Bytes in the queue now.
    pub queue: usize,
    /// The most bytes that were ever in it.
    pub queue_peak: usize,
    /// How long packets waited for those before them, all together.
    pub queued: Duration,
}

/// One end of a link.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// The machine that gets the interface.
    pub machine: &'a Machine,
    /// The name of the interface.
    pub interface: &'a str,
    /// Its address, with the length of the prefix.
    pub address: &'a str,
}

/// A link between two machines. Dropping it takes both interfaces away.
#[derive(Debug)]
pub struct Wan {
    forth: Direction,
    back: Direction,
}

impl Wan {
    /// Connects two machines, both directions under the same conditions. The same seed loses the
    /// same packets.
    pub fn between(
        near: End<'_>,
        far: End<'_>,
        conditions: Conditions,
        seed: u64,
    ) -> Result<Self, lab::Error> {
        let near = Arc::new(device(near)?);
        let far = Arc::new(device(far)?);
        let system = |source| lab::Error::System { what: "start a link", source };
        Ok(Self {
            forth: Direction::start(near.clone(), far.clone(), conditions, seed).map_err(system)?,
            back: Direction::start(far, near, conditions, seed.wrapping_add(1)).map_err(system)?,
        })
    }

    /// From the near end to the far one.
    pub fn forth(&self) -> &Direction {
        &self.forth
    }

    /// From the far end to the near one.
    pub fn back(&self) -> &Direction {
        &self.back
    }

    /// Changes both directions.
    pub fn set(&self, conditions: Conditions) {
        self.forth.set(conditions);
        self.back.set(conditions);
    }

    /// Takes the link down or up. Its interfaces stay up, as with a fault somewhere on the way.
    pub fn set_up(&self, up: bool) {
        self.forth.set_up(up);
        self.back.set_up(up);
    }
}

/// One direction of a link.
#[derive(Debug)]
pub struct Direction {
    shared: Arc<Shared>,
    /// `None` once it has ended.
    thread: Option<thread::JoinHandle<()>>,
}

impl Direction {
    fn start(
        from: Arc<SyncDevice>,
        to: Arc<SyncDevice>,
        conditions: Conditions,
        seed: u64,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            link: Mutex::new(Link::new(conditions, seed, Instant::now())),
            closed: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let theirs = shared.clone();
        let run = move || forward::run(&from, &to, &theirs);
        let thread = thread::Builder::new().name("wan".into()).spawn(run)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Changes the conditions, from now on.
    pub fn set(&self, conditions: Conditions) {
        self.shared.link().set(conditions, Instant::now());
        self.shared.wake();
    }

    /// Takes it down, with all that is under way, or up again.
    pub fn set_up(&self, up: bool) {
        self.shared.link().set_up(up, Instant::now());
    }

    /// What has happened since it was made or the counters were reset.
    pub fn counters(&self) -> Counters {
        self.shared.link().counters()
    }

    /// Counts from here.
    pub fn reset_counters(&self) {
        self.shared.link().reset_counters();
    }
}

impl Drop for Direction {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread of a direction and its handle share.
struct Shared {
    link: Mutex<Link>,
    /// The thread is to end.
    closed: AtomicBool,
    /// Makes the thread look again.
    wake: OwnedFd,
}

impl Shared {
    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Full, it wakes all the same.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The interface of one end, up and with its address.
fn device(end: End<'_>) -> Result<SyncDevice, lab::Error> {
    let build = || {
        let device =
            DeviceBuilder::new().name(end.interface).mtu(MTU).enable(false).build_sync()?;
        device.set_tx_queue_len(DEVICE_QUEUE)?;
        device.set_nonblocking(true)?;
        Ok(device)
    };
    let device = end
        .machine
        .enter(build)?
        .map_err(|source| lab::Error::System { what: "make a TUN device", source })?;
    // The kernel is to send nothing of its own: what is counted is what programs sent.
    let solicitations = format!("/proc/sys/net/ipv6/conf/{}/router_solicitations", end.interface);
    end.machine.run(&["sh", "-c", "[ ! -e \"$0\" ] || echo 0 > \"$0\"", &solicitations])?;
    end.machine.run(&["ip", "link", "set", end.interface, "addrgenmode", "none"])?;
    end.machine.address(end.interface, end.address)?;
    end.machine.run(&["ip", "link", "set", end.interface, "up"])?;
    Ok(device)
}
