//! One large file through the relay and over the direct way, in turn, with the server and both daemons
//! on two cores of one machine: what the relay costs.

use anyhow::{Context, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Check, Report, Row, Setting, folder};
use crate::run::{
    content::Payload,
    figures::{Run, median, number},
    fleet::Fleet,
    site::{ETHERNET, Site, scratch_in},
    warm::Warm,
};

/// The relayed rate, of the direct one.
const LEAST: f64 = 0.5;
const CORES: usize = 2;
/// Lets nothing through but what the server's two ports take part in.
const SERVER_ONLY: &str = "table inet relayed {
    chain leaving {
        type filter hook output priority 0;
        udp sport != { 7835, 7836 } udp dport != { 7835, 7836 } drop
    }
}";
/// More relayed than this is no direct transfer: its beginning always is.
const DIRECT: f64 = 20.0;

/// What one transfer took: of the server, in processor seconds, too.
struct Sent {
    run: Run,
    server_cpu: f64,
}

#[allow(clippy::print_stderr, reason = "progress")]
pub(super) fn run(setting: &Setting) -> anyhow::Result<Report> {
    let _cores = FewCores::take()?;
    let scratch = scratch_in(&setting.memory_dir)?;
    let site = Site::loopback(ETHERNET)?;
    let payload = Payload::file(&folder(scratch.path(), "source")?, setting.large)?;
    let _warm = Warm::up(&setting.memory_dir, payload.bytes)?;
    let mut fleet = Fleet::start(&site, &setting.programs, &folder(scratch.path(), "fleet")?)?;
    let (mut direct, mut relayed) = (Vec::new(), Vec::new());
    for round in 0..=setting.rounds {
        let one = send(&mut fleet, &payload, |share| share < DIRECT)?;
        site.near.filter(SERVER_ONLY)?;
        let other = send(&mut fleet, &payload, |share| share >= 100.0)?;
        site.near.filter("delete table inet relayed")?;
        eprintln!(
            "   round {round}: direct {:.2} s, relayed {:.2} s",
            one.run.seconds, other.run.seconds
        );
        if round > 0 {
            direct.push(one);
            relayed.push(other);
        }
    }
    let rows = vec![row("direct", direct, &payload), row("relayed", relayed, &payload)];
    let rate = rows[0].seconds / rows[1].seconds;
    let mut checks = vec![Check::at_least("relayed rate, of the direct one,", rate, LEAST, "")];
    checks.extend(Check::memory(&rows));
    let size = payload.bytes >> 20;
    let title = format!("One file of {size} MiB, loopback (MTU {ETHERNET}), tmpfs, {CORES} cores");
    Ok(Report { title, bytes: payload.bytes, rows, checks })
}

/// Sends it over new links; the share that was relayed must be as wanted.
fn send(
    fleet: &mut Fleet<'_>,
    payload: &Payload,
    wanted: impl Fn(f64) -> bool,
) -> anyhow::Result<Sent> {
    fleet.restart()?;
    rustix::fs::sync();
    let before = fleet.server_cpu()?;
    let (run, share) = fleet.run_over(payload)?;
    ensure!(wanted(share), "{share:.0} % were relayed");
    Ok(Sent { run, server_cpu: fleet.server_cpu()? - before })
}

fn row(way: &str, sent: Vec<Sent>, payload: &Payload) -> Row {
    let gib = number(payload.bytes) / number(1 << 30);
    let server = median(sent.iter().map(|one| one.server_cpu)) / gib;
    let runs = sent.into_iter().map(|one| one.run).collect();
    Row::with(format!("FileFleet, {way}"), runs, vec![("CPU-s/GiB of the server", server)])
}

/// While it lives, what this thread starts has no more than [`CORES`].
struct FewCores {
    before: CpuSet,
}

impl FewCores {
    fn take() -> anyhow::Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut few = CpuSet::new();
        (0..CpuSet::MAX_CPU).filter(|core| before.is_set(*core)).take(CORES).for_each(|core| {
            few.set(core);
        });
        sched_setaffinity(None, &few).context("cannot choose cores")?;
        Ok(Self { before })
    }
}

impl Drop for FewCores {
    fn drop(&mut self) {
        // As it was before, it is possible.
        let _ = sched_setaffinity(None, &self.before);
    }
}
