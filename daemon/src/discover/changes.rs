//! When the network under this machine may have become another one: an interface went up or down,
//! addresses or the default route changed, or the machine slept. What exactly it is now, is for
//! others to find out.
//!
//! On Linux the kernel says so at once (rtnetlink); elsewhere the interfaces are looked at every
//! other second.

#[cfg(target_os = "linux")]
mod netlink;
mod sleep;

use std::{future::pending, io, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

/// One event, such as a cable that is plugged in, is many messages.
const SETTLE: Duration = Duration::from_millis(100);
/// How often the clocks are compared.
const CLOCK_TICK: Duration = Duration::from_secs(1);

/// Counts the changes. It ends with the last handle.
#[derive(Debug, Clone)]
pub struct Changes {
    count: watch::Receiver<u64>,
    _task: std::sync::Arc<AbortOnDropHandle<()>>,
}

impl Changes {
    /// Begins to watch. Must be called within a tokio runtime.
    pub fn watch() -> Self {
        let (count_in, count) = watch::channel(0);
        let task = AbortOnDropHandle::new(tokio::spawn(run(count_in)));
        Self { count, _task: std::sync::Arc::new(task) }
    }

    /// Waits for the next change after the last one that was waited for. Cancel-safe.
    pub async fn next(&mut self) {
        if self.count.changed().await.is_err() {
            pending().await
        }
    }
}

async fn run(count: watch::Sender<u64>) {
    let mut source = Source::open().unwrap_or_else(|error| {
        tracing::warn!(%error, "changes of the network will be noticed late");
        Source::none()
    });
    let mut clocks = sleep::Clocks::start();
    let mut tick = interval(CLOCK_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settled: Option<Instant> = None;
    loop {
        let told = async {
            match settled {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        // Every branch is cancel-safe: timers, and a source that loses nothing.
        tokio::select! {
            () = source.changed() => {
                settled.get_or_insert_with(|| Instant::now() + SETTLE);
            }
            () = told => {
                settled = None;
                count.send_modify(|count| *count += 1);
            }
            _ = tick.tick() => if let Some(slept) = clocks.slept() {
                tracing::info!(?slept, "this machine has slept");
                count.send_modify(|count| *count += 1);
            }
        }
    }
}

/// Where changes are learnt from.
struct Source(Option<Inner>);

#[cfg(target_os = "linux")]
type Inner = netlink::Netlink;
#[cfg(not(target_os = "linux"))]
type Inner = Poll;

impl Source {
    fn open() -> io::Result<Self> {
        Inner::open().map(|inner| Self(Some(inner)))
    }

    fn none() -> Self {
        Self(None)
    }

    async fn changed(&mut self) {
        match &mut self.0 {
            Some(inner) => inner.changed().await,
            None => pending().await,
        }
    }
}

/// Looks at the addresses every other second.
#[cfg(not(target_os = "linux"))]
struct Poll {
    tick: tokio::time::Interval,
    last: Vec<std::net::IpAddr>,
}

#[cfg(not(target_os = "linux"))]
impl Poll {
    fn open() -> io::Result<Self> {
        let mut tick = interval(Duration::from_secs(2));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { tick, last: addresses()? })
    }

    async fn changed(&mut self) {
        loop {
            self.tick.tick().await;
            if let Ok(now) = addresses()
                && now != self.last
            {
                self.last = now;
                return;
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn addresses() -> io::Result<Vec<std::net::IpAddr>> {
    let mut addresses: Vec<_> =
        if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect();
    addresses.sort();
    Ok(addresses)
}
