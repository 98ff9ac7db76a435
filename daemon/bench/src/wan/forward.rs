//! The thread that carries packets from one TUN device to the other.

use std::{
    io,
    num::NonZeroU64,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::setpriority_process,
    thread::{gettid, set_current_timer_slack},
};
use tun_rs::SyncDevice;

use super::{
    Shared,
    link::{Link, Packet},
};

/// How precise times are: the least time between two looks at a busy link. Twenty thousand looks a
/// second are what one can afford; a packet of 1,500 bytes takes 40 µs at 300 Mbit/s.
pub const QUANTUM: Duration = Duration::from_micros(50);

/// Packets read at one look, so that those that are due are not kept waiting.
const BATCH: usize = 256;

/// Above ordinary programs: late packets are jitter that no link has.
const NICENESS: i32 = -19;

/// Carries packets until the link is closed.
pub(super) fn run(from: &SyncDevice, to: &SyncDevice, shared: &Shared) {
    // Without either, times are less precise, which whoever measures the link notices.
    let _ = set_current_timer_slack(NonZeroU64::new(1));
    let _ = setpriority_process(Some(gettid()), NICENESS);
    let mut buffer = [0; 1 << 16];
    let mut due = Vec::new();
    while !shared.closed.load(Ordering::Relaxed) {
        let next = {
            let mut link = shared.link();
            read(from, &mut buffer, &mut link);
            let now = Instant::now();
            due.extend(std::iter::from_fn(|| link.pop(now)));
            link.next()
        };
        let busy = !due.is_empty();
        for packet in due.drain(..) {
            write(to, &packet);
        }
        if busy {
            std::thread::sleep(QUANTUM);
        }
        wait(from, shared, next);
    }
}

/// Puts what has come on the link.
fn read(from: &SyncDevice, buffer: &mut [u8], link: &mut Link) {
    let mut now = Instant::now();
    for count in 1..=BATCH {
        let Ok(length) = from.recv(buffer) else { return };
        link.push(buffer[..length].into(), now);
        if count % 16 == 0 {
            now = Instant::now();
        }
    }
}

fn write(to: &SyncDevice, packet: &Packet) {
    // An interface that is down takes nothing, and neither does one that is being taken away.
    let _: io::Result<usize> = to.send(packet);
}

/// Waits for a packet, the time at which one is due, or a change of the link.
fn wait(from: &SyncDevice, shared: &Shared, next: Option<Instant>) {
    let left = next.map(|next| next.saturating_duration_since(Instant::now()));
    let timeout = left.and_then(|left| Timespec::try_from(left).ok());
    let mut events = [PollFd::new(from, PollFlags::IN), PollFd::new(&shared.wake, PollFlags::IN)];
    // An error is a wake-up for nothing.
    let _ = poll(&mut events, timeout.as_ref());
    if !events[1].revents().is_empty() {
        let _ = rustix::io::read(&shared.wake, &mut [0; 8]);
    }
}
