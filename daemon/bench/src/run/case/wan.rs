//! 100 MiB over long and lossy paths.

use std::time::Duration;

use filefleet_bench::wan::{Conditions, Counters, Wan};

use super::{Check, Report, Row, Setting, folder};
use crate::run::{
    content::Payload,
    figures::{Run, median, number},
    fleet::Fleet,
    race::Contestant,
    site::{Site, scratch_in},
    ssh::Ssh,
};

const BYTES: u64 = 100 << 20;
/// What a packet carries of a file: 1,452 bytes of UDP payload less QUIC's and its stream's headers.
const CARRIED: f64 = 1416.0;
/// Longer than this nobody waits for a rival.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a rival is tried: with losses it takes so long that once has to do.
const RIVAL_ROUNDS: usize = 1;

/// A path, and how much of it must be used.
struct Cell {
    delay_ms: u64,
    mbit: u64,
    loss: f64,
    share: f64,
}

const CELLS: [Cell; 4] = [
    Cell { delay_ms: 50, mbit: 300, loss: 0.0, share: 0.8 },
    Cell { delay_ms: 50, mbit: 300, loss: 0.001, share: 0.7 },
    Cell { delay_ms: 50, mbit: 300, loss: 0.01, share: 0.7 },
    Cell { delay_ms: 20, mbit: 200, loss: 0.03, share: 0.7 },
];

/// What a run showed of the link.
struct Seen {
    run: Run,
    forth: Counters,
    back: Counters,
}

pub(super) fn run(setting: &Setting) -> anyhow::Result<Vec<Report>> {
    CELLS.iter().map(|cell| cell.run(setting)).collect()
}

impl Cell {
    #[allow(clippy::print_stderr, reason = "progress")]
    fn run(&self, setting: &Setting) -> anyhow::Result<Report> {
        let conditions = Conditions {
            delay: Duration::from_millis(self.delay_ms),
            rate: Some(self.mbit * 1_000_000),
            queue: None,
            loss: self.loss,
        };
        let scratch = scratch_in(&setting.memory_dir)?;
        let site = Site::wan(conditions)?;
        let payload = Payload::file(&folder(scratch.path(), "source")?, BYTES)?;
        let fleet = Fleet::start(&site, &setting.programs, &folder(scratch.path(), "fleet")?)?;
        let mut seen = Vec::new();
        if let Some(wan) = &site.wan {
            for round in 0..=setting.rounds {
                let one = observe(wan, || fleet.run(&payload))?;
                eprintln!("   round {round}: FileFleet {:.2} s", one.run.seconds);
                if round > 0 {
                    seen.push(one);
                }
            }
        }
        let mut rows = vec![self.row(&seen)];
        if !setting.brief {
            rows.push(rival(&site, scratch.path(), &payload)?);
        }
        let checks = self.checks(&rows);
        let percent = self.loss * 100.0;
        let title = format!(
            "{} MiB over {} ms, {} Mbit/s, {percent} % loss",
            BYTES >> 20,
            2 * self.delay_ms,
            self.mbit
        );
        Ok(Report { title, bytes: BYTES, rows, checks })
    }

    fn row(&self, seen: &[Seen]) -> Row {
        let runs: Vec<Run> = seen.iter().map(|seen| seen.run).collect();
        let middle = |figure: &dyn Fn(&Seen) -> f64| median(seen.iter().map(figure));
        let figures = vec![
            ("% of the link", 100.0 * middle(&|seen| self.used(seen))),
            ("% resent beyond the loss", 100.0 * middle(&resent)),
            ("% dropped by the queue", 100.0 * middle(&dropped)),
            ("ms queued on average", 1e3 * middle(&queued)),
        ];
        Row::with("FileFleet", runs, figures)
    }

    /// The share of the line that the file itself took.
    fn used(&self, seen: &Seen) -> f64 {
        number(BYTES) * 8.0 / seen.run.seconds / number(self.mbit * 1_000_000)
    }

    fn checks(&self, rows: &[Row]) -> Vec<Check> {
        let ours = &rows[..1];
        let figure = |name: &str| {
            let figures = ours.iter().flat_map(|row| &row.figures);
            figures.filter(|(named, _)| *named == name).map(|(_, figure)| *figure).sum()
        };
        let mut checks = vec![
            Check::at_least("share of the link", figure("% of the link"), 100.0 * self.share, "%"),
            Check::at_most("resent beyond the loss", figure("% resent beyond the loss"), 5.0, "%"),
        ];
        if self.loss == 0.0 {
            // Half the base round trip.
            let (bound, queued) = (number(self.delay_ms), figure("ms queued on average"));
            checks.push(Check::at_most("queue on the way, on average,", queued, bound, "ms"));
        }
        checks.extend(Check::memory(ours));
        checks
    }
}

/// Sends, and notes what the link saw of it.
fn observe(wan: &Wan, send: impl FnOnce() -> anyhow::Result<Run>) -> anyhow::Result<Seen> {
    wan.forth().reset_counters();
    wan.back().reset_counters();
    let run = send()?;
    Ok(Seen { run, forth: wan.forth().counters(), back: wan.back().counters() })
}

/// Packets sent beyond those that carry the file once and those that the link lost at random, as a
/// share of the former. What the sender says besides counts against it, too.
fn resent(seen: &Seen) -> f64 {
    let needed = number(BYTES) / CARRIED;
    (number(seen.forth.packets.saturating_sub(seen.forth.losses)) - needed) / needed
}

fn dropped(seen: &Seen) -> f64 {
    number(seen.forth.queue_drops) / number(seen.forth.packets)
}

/// How long a packet waits for others on its way there and back, in seconds: the round trip above
/// the shortest.
fn queued(seen: &Seen) -> f64 {
    let waited = |counters: &Counters| {
        counters.queued.as_secs_f64() / number(counters.delivered + counters.losses).max(1.0)
    };
    waited(&seen.forth) + waited(&seen.back)
}

/// `scp` over the kernel's BBR, the best that TCP has here.
#[allow(clippy::print_stderr, reason = "progress")]
fn rival(site: &Site, dir: &std::path::Path, payload: &Payload) -> anyhow::Result<Row> {
    let controls = filefleet_bench::tcp::congestion_controls()?;
    let control = if controls.iter().any(|name| name == "bbr") { "bbr" } else { "cubic" };
    for machine in [&site.near, &site.far] {
        let word = format!("echo {control} > /proc/sys/net/ipv4/tcp_congestion_control");
        machine.run(&["sh", "-c", &word])?;
    }
    let ssh = Ssh::start(site, dir, PATIENCE)?;
    let mut scp = ssh.scp();
    let mut runs = Vec::new();
    for _ in 0..RIVAL_ROUNDS {
        let run = scp.send(payload)?;
        eprintln!("   {} {:.2} s", scp.name(), run.seconds);
        runs.push(run);
    }
    Ok(Row::with(format!("scp over the kernel's {control}"), runs, Vec::new()))
}
