//! Waiting until something can be stored again: the disk was full, or became read-only. What comes
//! meanwhile is dropped and not acknowledged, so that it comes again; what had arrived stays.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::writer::Job;
use crate::transfer::progress::Fault;

/// The pause before the first try, doubled with each in vain up to the longest: no system tells that
/// there is room again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How much room is asked for: enough that it is worth it to go on, and less with each try in vain, down
/// to the least, for the rest of the transfer may be small.
const ROOM: u64 = 16 << 20;
const LEAST_ROOM: u64 = 64 << 10;

/// A reception that stands still.
#[derive(Debug)]
pub(super) struct Stalled {
    pub(super) fault: Fault,
    /// Until the next try: when that is, and the queue of the thread that has ended.
    rest: Option<(Instant, mpsc::Receiver<Job>)>,
}

/// How often it was tried in vain since something was delivered.
#[derive(Debug, Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// One more was in vain: the pause until the next.
    pub(super) fn failed(&mut self) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.0.min(10)).min(LONGEST_PAUSE);
        self.0 = self.0.saturating_add(1);
        pause
    }

    /// How much room the next one asks for.
    pub(super) fn room(&self) -> u64 {
        (ROOM >> self.0.saturating_sub(1).min(10)).max(LEAST_ROOM)
    }

    /// It goes on.
    pub(super) fn succeeded(&mut self) {
        self.0 = 0;
    }
}

impl Stalled {
    pub(super) fn new(fault: Fault, pause: Duration, jobs: mpsc::Receiver<Job>) -> Self {
        Self { fault, rest: Some((Instant::now() + pause, jobs)) }
    }
}

/// Drops what comes until the next try is due, and gives the queue for it. Without anything that
/// stands still, never ends. Cancel-safe.
pub(super) async fn due(stalled: &mut Option<Stalled>) -> mpsc::Receiver<Job> {
    let rest = match stalled {
        Some(Stalled { rest, .. }) => rest,
        None => return std::future::pending().await,
    };
    let Some((at, jobs)) = rest else { return std::future::pending().await };
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(*at) => break,
            Some(dropped) = jobs.recv() => drop(dropped),
        }
    }
    match rest.take() {
        Some((_, jobs)) => jobs,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::proto::Reason;

    #[test]
    fn each_try_in_vain_waits_longer_and_asks_for_less() {
        let mut tries = Tries::default();
        let tried: Vec<_> = (0..100).map(|_| (tries.failed().as_secs(), tries.room())).collect();
        assert_eq!(tried[..3], [(1, 16 << 20), (2, 8 << 20), (4, 4 << 20)]);
        assert_eq!(tried[99], (30, 64 << 10));
        tries.succeeded();
        assert_eq!((tries.failed(), tries.room()), (FIRST_PAUSE, ROOM));
    }

    fn stalled(pause: Duration) -> (mpsc::Sender<Job>, Option<Stalled>) {
        // A queue for one, so that it holds up who is not heard.
        let (jobs, queue) = mpsc::channel(1);
        (jobs, Some(Stalled::new(Fault::reason(Reason::NoSpace, ""), pause, queue)))
    }

    #[tokio::test]
    async fn what_comes_meanwhile_is_dropped() {
        let (jobs, mut stalled) = stalled(LONGEST_PAUSE);
        let feed = async {
            for entries in 0..100 {
                jobs.send(Job::Finish { entries }).await.expect("somebody listens");
            }
        };
        tokio::select! {
            _ = due(&mut stalled) => panic!("it is too early"),
            () = feed => {}
        }
    }

    #[tokio::test]
    async fn the_next_thread_takes_over_the_queue() {
        let (jobs, mut stalled) = stalled(Duration::ZERO);
        let mut queue = due(&mut stalled).await;
        jobs.send(Job::Leave).await.expect("the queue is the same");
        assert!(matches!(queue.recv().await, Some(Job::Leave)));
        tokio::select! {
            biased;
            _ = due(&mut stalled) => panic!("it was due once"),
            () = std::future::ready(()) => {}
        }
    }
}
