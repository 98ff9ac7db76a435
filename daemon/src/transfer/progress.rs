//! How a transfer is doing, as its task tells it: the state, what moved so far and over which links.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::loss::{Losses, cut};
use super::proto::{MAX_FILE_NAME, Reason, Totals};
use crate::connect::obstacle::Obstacle;
use crate::peer::{LinkKind, Session};

/// Where a transfer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Looking for the peer, or for a way to it.
    Queued,
    /// The receiver has not decided yet.
    Waiting,
    /// Content flows.
    Active,
    /// The peer went away after it had begun, or has no room for the moment: it goes on by itself.
    Paused,
    /// This run has ended for a reason that passes: the transfer is to be run again.
    Interrupted,
    Done,
    Failed,
    Declined,
    Cancelled,
}

impl State {
    /// Whether nothing more will happen.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Declined | Self::Cancelled)
    }

    /// Whether nothing more will happen in this run.
    pub(crate) fn is_over(self) -> bool {
        self.is_final() || self == Self::Interrupted
    }
}

/// Why a run of a transfer ended without its being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) cause: Cause,
    /// Who says so: `true` if the peer told us.
    pub(crate) by_peer: bool,
    /// More about it: from the system or, escaped before it is shown, from the peer.
    pub(crate) text: String,
}

/// What ended a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A reason of the peer protocol.
    Reason(Reason),
    /// No such name at the server.
    UnknownName,
    /// The peer is not online, or went offline.
    Offline,
    /// The peer's identity is not the pinned one, or ours is not what the peer has pinned.
    IdentityChanged,
    /// We are not registered at a server.
    NotRegistered,
    /// The rendezvous server cannot be reached.
    ServerUnreachable,
    /// Some files were not delivered; the rest was.
    SomeFilesFailed,
}

impl Fault {
    pub(crate) fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, by_peer: false, text: text.into() }
    }

    pub(crate) fn reason(reason: Reason, text: impl Into<String>) -> Self {
        Self::new(Cause::Reason(reason), text)
    }

    pub(crate) fn from_peer(reason: Reason, text: impl Into<String>) -> Self {
        Self { by_peer: true, ..Self::reason(reason, text) }
    }

    /// Whether it may go away by itself, so that the transfer is to be run again later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self.cause,
            Cause::Offline
                | Cause::NotRegistered
                | Cause::ServerUnreachable
                | Cause::Reason(Reason::GoingAway | Reason::Busy)
        )
    }

    /// The state in which a run with this fault ends.
    pub(crate) fn state(&self) -> State {
        match self.cause {
            _ if self.is_passing() => State::Interrupted,
            Cause::Reason(Reason::Declined | Reason::NotAllowed) => State::Declined,
            Cause::Reason(Reason::Cancelled) => State::Cancelled,
            _ => State::Failed,
        }
    }
}

/// One file that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileFault {
    /// The file's path as text, already safe to show.
    pub(crate) path: String,
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

/// The most file faults that are remembered; more are only counted.
pub(crate) const MAX_FILE_FAULTS: usize = 100;

/// A transfer's progress at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) state: State,
    /// Whether the receiver has accepted.
    pub(crate) accepted: bool,
    pub(crate) totals: Totals,
    pub(crate) files_done: u64,
    pub(crate) bytes_done: u64,
    /// Of what is done: files that an earlier transfer had brought, and their bytes.
    pub(crate) files_there: u64,
    pub(crate) bytes_there: u64,
    /// Of what this run delivered: files that replaced what was there, and files that were to replace
    /// something and lie beside it.
    pub(crate) files_replaced: u64,
    pub(crate) files_beside: u64,
    /// Bytes of content that were handed to links since this program started, those that were sent
    /// again included; what QUIC itself repeats is not.
    pub(crate) sent_bytes: u64,
    /// Bytes of content that links have brought in this run, those that came again included.
    pub(crate) received_bytes: u64,
    /// Bytes per second over the last seconds.
    pub(crate) rate: u64,
    /// Bytes of content by kind of link.
    pub(crate) links: LinkBytes,
    /// The link that content moves over now.
    pub(crate) link: Option<LinkKind>,
    /// Why that is the relayed one.
    pub(crate) obstacle: Option<Obstacle>,
    /// Time from the first byte to the end, or until now.
    pub(crate) active: Duration,
    /// What is waited for, in words.
    pub(crate) detail: Option<String>,
    pub(crate) fault: Option<Fault>,
    pub(crate) file_faults: Vec<FileFault>,
    pub(crate) failed_files: u64,
    /// What could not be kept, here or at the other side.
    pub(crate) losses: Losses,
    /// What has arrived right in the destination, under the names it got; the first of it.
    pub(crate) arrived: Vec<PathBuf>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            state: State::Queued,
            accepted: false,
            totals: Totals::default(),
            files_done: 0,
            bytes_done: 0,
            files_there: 0,
            bytes_there: 0,
            files_replaced: 0,
            files_beside: 0,
            sent_bytes: 0,
            received_bytes: 0,
            rate: 0,
            links: LinkBytes::default(),
            link: None,
            obstacle: None,
            active: Duration::ZERO,
            detail: None,
            fault: None,
            file_faults: Vec::new(),
            failed_files: 0,
            losses: Losses::default(),
            arrived: Vec::new(),
        }
    }
}

impl Progress {
    /// Notes what has got its name right in the destination.
    pub(crate) fn arrived(&mut self, paths: Vec<PathBuf>) {
        add_arrived(&mut self.arrived, paths);
    }

    /// Notes which link is in use, and why it is no better one.
    pub(crate) fn goes_over(&mut self, session: &Session) {
        self.link = session.links().borrow().first().map(|link| link.kind);
        self.obstacle = session.obstacle();
    }

    /// Notes that there is no link.
    pub(crate) fn goes_over_none(&mut self) {
        (self.link, self.obstacle) = (None, None);
    }

    /// Counts a file that was given up.
    pub(crate) fn file_failed(&mut self, path: String, reason: Reason, text: String) {
        self.failed_files += 1;
        if self.file_faults.len() < MAX_FILE_FAULTS {
            let path = cut(&path, MAX_FILE_NAME);
            self.file_faults.push(FileFault { path, reason, text });
        }
    }
}

/// Files and folders that a transfer names of what has arrived.
pub(crate) const MAX_ARRIVED: usize = 10;

/// Adds to the first of what has arrived what is not among it yet.
pub(crate) fn add_arrived<T: PartialEq>(all: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for path in more {
        if all.len() < MAX_ARRIVED && !all.contains(&path) {
            all.push(path);
        }
    }
}

/// Bytes of content by kind of link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LinkBytes {
    pub(crate) lan: u64,
    pub(crate) direct: u64,
    pub(crate) relayed: u64,
}

impl LinkBytes {
    pub(crate) fn add(&mut self, kind: LinkKind, bytes: u64) {
        match kind {
            LinkKind::Lan => self.lan += bytes,
            LinkKind::Direct => self.direct += bytes,
            LinkKind::Relayed => self.relayed += bytes,
        }
    }

    /// The kind that carried most; `None` if nothing was carried.
    pub(crate) fn most(&self) -> Option<LinkKind> {
        [
            (LinkKind::Relayed, self.relayed),
            (LinkKind::Direct, self.direct),
            (LinkKind::Lan, self.lan),
        ]
        .into_iter()
        .filter(|(_, bytes)| *bytes > 0)
        .max_by_key(|(_, bytes)| *bytes)
        .map(|(kind, _)| kind)
    }
}

/// Measures a rate over a short sliding window.
#[derive(Debug)]
pub(crate) struct RateMeter {
    started: Option<Instant>,
    samples: std::collections::VecDeque<(Instant, u64)>,
}

/// The window over which the rate is measured: short enough to follow, long enough to be steady.
const RATE_WINDOW: Duration = Duration::from_secs(3);
/// The least time between two samples, so that the window holds few.
const RATE_STEP: Duration = Duration::from_millis(100);

impl RateMeter {
    pub(crate) fn new() -> Self {
        Self { started: None, samples: std::collections::VecDeque::new() }
    }

    /// Notes that `total` bytes have moved by `now`; gives bytes per second.
    pub(crate) fn sample(&mut self, now: Instant, total: u64) -> u64 {
        self.started.get_or_insert(now);
        if self.samples.back().is_none_or(|(at, _)| now.duration_since(*at) >= RATE_STEP) {
            self.samples.push_back((now, total));
        }
        while self.samples.len() > 2 && now.duration_since(self.samples[0].0) > RATE_WINDOW {
            self.samples.pop_front();
        }
        let (since, before) = self.samples[0];
        let millis = u64::try_from(now.duration_since(since).as_millis()).unwrap_or(u64::MAX);
        total.saturating_sub(before).saturating_mul(1_000).checked_div(millis).unwrap_or(0)
    }

    /// Time since the first sample.
    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        self.started.map_or(Duration::ZERO, |started| now.duration_since(started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_last_seconds_and_the_window_stays_small() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut meter = RateMeter::new();
        assert_eq!((meter.elapsed(start), meter.sample(start, 0)), (Duration::ZERO, 0));
        assert_eq!(meter.sample(start, 500), 0, "no time has passed");
        let rates: Vec<_> = (1..=200).map(|n| meter.sample(at(n * 50), n * 50_000)).collect();
        assert!(rates.iter().all(|rate| *rate == 1_000_000), "{rates:?}");
        assert!(meter.samples.len() <= 32);
        let idle: Vec<_> =
            (1..=80).map(|n| meter.sample(at(10_000 + n * 50), 10_000_000)).collect();
        assert!(idle.is_sorted_by(|one, next| one >= next));
        assert_eq!(idle.last(), Some(&0));
        assert_eq!(meter.elapsed(at(14_000)), Duration::from_secs(14));
        assert_eq!(meter.sample(at(14_200), 0), 0, "a count that falls is no rate");
    }

    #[test]
    fn the_link_that_carried_most_is_named() {
        let mut links = LinkBytes::default();
        assert_eq!(links.most(), None);
        links.add(LinkKind::Relayed, 10);
        assert_eq!(links.most(), Some(LinkKind::Relayed));
        links.add(LinkKind::Direct, 10);
        assert_eq!(links.most(), Some(LinkKind::Direct), "of two alike the better one");
        links.add(LinkKind::Lan, 9);
        links.add(LinkKind::Relayed, 1);
        assert_eq!(links.most(), Some(LinkKind::Relayed));
    }

    #[test]
    fn file_faults_are_counted_and_only_the_first_are_kept() {
        let mut progress = Progress::default();
        (0..300).for_each(|n| progress.file_failed(n.to_string(), Reason::Io, String::new()));
        assert_eq!((progress.failed_files, progress.file_faults.len()), (300, MAX_FILE_FAULTS));
    }

    #[test]
    fn what_passes_by_itself_interrupts_and_everything_else_ends() {
        for cause in [Cause::Offline, Cause::NotRegistered, Cause::ServerUnreachable] {
            assert_eq!(Fault::new(cause, "").state(), State::Interrupted);
        }
        for reason in Reason::ALL {
            let state = Fault::from_peer(*reason, "").state();
            let passes = matches!(reason, Reason::GoingAway | Reason::Busy);
            assert_eq!(state == State::Interrupted, passes, "{reason}");
            assert!(state.is_over());
        }
        for cause in [Cause::UnknownName, Cause::IdentityChanged, Cause::SomeFilesFailed] {
            assert!(Fault::new(cause, "").state().is_final());
        }
        assert!(!State::Interrupted.is_final() && !State::Paused.is_over());
    }
}
