//! A long path shared with a TCP flow: what each of the two gets.

use std::{net::Ipv4Addr, thread, time::Duration};

use anyhow::{Context, ensure};
use filefleet_bench::{
    tcp,
    wan::{Conditions, Wan},
};

use super::{Check, Report, Row, Setting, folder};
use crate::run::{
    content::Payload,
    figures::{median, number},
    fleet::Fleet,
    site::{FAR_IP, Site, scratch_in},
};

const RATE: u64 = 300_000_000;
const DELAY: Duration = Duration::from_millis(50);
/// How long they share it. Cubic needs seconds to find its share of such a path.
const TIME: Duration = Duration::from_secs(20);
/// More than fits through in that time.
const BYTES: u64 = 800 << 20;
/// A TCP segment with its headers, over what it carries.
const TCP_HEADERS: f64 = 1500.0 / 1448.0;
const LEAST: f64 = 25.0;

pub(super) fn run(setting: &Setting) -> anyhow::Result<Vec<Report>> {
    let available = tcp::congestion_controls()?;
    ["cubic", "bbr"]
        .into_iter()
        .map(|control| {
            ensure!(available.iter().any(|name| name == control), "this kernel has no {control}");
            against(setting, control)
        })
        .collect()
}

fn against(setting: &Setting, control: &str) -> anyhow::Result<Report> {
    let scratch = scratch_in(&setting.memory_dir)?;
    let conditions = Conditions { delay: DELAY, rate: Some(RATE), ..Conditions::default() };
    let site = Site::wan(conditions)?;
    let wan = site.wan.as_ref().context("no link")?;
    let payload = Payload::file(&folder(scratch.path(), "source")?, BYTES)?;
    let fleet = Fleet::start(&site, &setting.programs, &folder(scratch.path(), "fleet")?)?;
    let mut rounds = Vec::new();
    for _ in 0..setting.rounds {
        rounds.push(shared(&site, wan, &fleet, &payload, control)?);
    }
    let ours = median(rounds.iter().map(|(ours, _, _)| *ours));
    let theirs = median(rounds.iter().map(|(_, theirs, _)| *theirs));
    let runs = rounds.into_iter().map(|(_, _, run)| run).collect();
    let rows = vec![Row::with(
        "FileFleet",
        runs,
        vec![("% of the link, FileFleet", ours), ("% of the link, TCP", theirs)],
    )];
    let mut checks = vec![
        Check::at_least("TCP's share of the link", theirs, LEAST, "%"),
        Check::at_least("FileFleet's share of the link", ours, LEAST, "%"),
    ];
    checks.extend(Check::memory(&rows));
    let title = format!("100 ms, 300 Mbit/s, shared with TCP ({control})");
    Ok(Report { title, bytes: BYTES, rows, checks })
}

/// Both at a time: our share of the link in percent, TCP's, and the run.
fn shared(
    site: &Site,
    wan: &Wan,
    fleet: &Fleet<'_>,
    payload: &Payload,
    control: &str,
) -> anyhow::Result<(f64, f64, crate::run::figures::Run)> {
    wan.forth().reset_counters();
    let far: Ipv4Addr = FAR_IP.parse()?;
    let line = number(RATE) * TIME.as_secs_f64();
    thread::scope(|scope| {
        let sharing = scope.spawn(|| {
            let flow = tcp::flow(&site.near, (&site.far, far), control, TIME);
            flow.map(|flow| (flow, wan.forth().counters()))
        });
        let run = fleet.run(payload)?;
        let (flow, counters) =
            sharing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        ensure!(run.seconds >= TIME.as_secs_f64(), "the file was through before the time was over");
        let theirs = number(flow.bytes) * 8.0 * TCP_HEADERS;
        let ours = number(counters.delivered_bytes) * 8.0 - theirs;
        Ok((100.0 * ours / line, 100.0 * theirs / line, run))
    })
}
