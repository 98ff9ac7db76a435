//! A long path shared with a TCP flow: what each of the two gets, whether they begin together or TCP
//! was there first.

use std::{net::Ipv4Addr, thread, time::Duration};

use anyhow::{Context, ensure};
use filefleet_bench::{
    tcp,
    wan::{Conditions, Wan},
};

use super::{Check, Report, Row, Setting, folder};
use crate::run::{
    content::Payload,
    figures::{Run, median, number},
    fleet::Fleet,
    site::{FAR_IP, Site, scratch_in},
};

const RATE: u64 = 300_000_000;
const DELAY: Duration = Duration::from_millis(50);
/// How long they share it: after a loss, Cubic needs up to 18 s to be back at half of this line and
/// the queue before it (RFC 9438, section 4.2: K), so that less would show its start, not its share.
const TIME: Duration = Duration::from_secs(40);
/// So much earlier TCP begins.
const LEADS: [Duration; 2] = [Duration::ZERO, Duration::from_secs(5)];
/// More than fits through in that time.
const BYTES: u64 = 1600 << 20;
/// A TCP segment with its headers, over what it carries.
const TCP_HEADERS: f64 = 1500.0 / 1448.0;
const LEAST: f64 = 25.0;

pub(super) fn run(setting: &Setting) -> anyhow::Result<Vec<Report>> {
    let available = tcp::congestion_controls()?;
    let mut reports = Vec::new();
    for control in ["cubic", "bbr"] {
        ensure!(available.iter().any(|name| name == control), "this kernel has no {control}");
        for lead in LEADS {
            reports.push(against(setting, control, lead)?);
        }
    }
    Ok(reports)
}

/// What a round showed, in percent: of the link, ours and TCP's; of the packets, dropped.
struct Shared {
    ours: f64,
    theirs: f64,
    dropped: f64,
    run: Run,
}

#[allow(clippy::print_stderr, reason = "progress")]
fn against(setting: &Setting, control: &str, lead: Duration) -> anyhow::Result<Report> {
    let scratch = scratch_in(&setting.memory_dir)?;
    let conditions = Conditions { delay: DELAY, rate: Some(RATE), ..Conditions::default() };
    let site = Site::wan(conditions)?;
    let wan = site.wan.as_ref().context("no link")?;
    let payload = Payload::file(&folder(scratch.path(), "source")?, BYTES)?;
    let fleet = Fleet::start(&site, &setting.programs, &folder(scratch.path(), "fleet")?)?;
    let mut rounds = Vec::new();
    for round in 1..=setting.rounds {
        let one = shared(&site, wan, &fleet, &payload, (control, lead))?;
        eprintln!("   round {round}: FileFleet {:.1} %, TCP {:.1} %", one.ours, one.theirs);
        rounds.push(one);
    }
    let middle = |figure: fn(&Shared) -> f64| median(rounds.iter().map(figure));
    let (ours, theirs) = (middle(|one| one.ours), middle(|one| one.theirs));
    let figures = vec![
        ("% of the link, FileFleet", ours),
        ("% of the link, TCP", theirs),
        ("% dropped by the queue", middle(|one| one.dropped)),
    ];
    let rows = vec![Row::with("FileFleet", rounds.iter().map(|one| one.run).collect(), figures)];
    let mut checks = vec![
        Check::at_least("TCP's share of the link", theirs, LEAST, "%"),
        Check::at_least("FileFleet's share of the link", ours, LEAST, "%"),
    ];
    checks.extend(Check::memory(&rows));
    let title = match lead.as_secs() {
        0 => format!("100 ms, 300 Mbit/s, shared with TCP ({control})"),
        lead => {
            format!("100 ms, 300 Mbit/s, shared with TCP ({control}) that began {lead} s before")
        }
    };
    Ok(Report { title, bytes: BYTES, rows, checks })
}

/// Both at a time, TCP with this control and so much earlier.
fn shared(
    site: &Site,
    wan: &Wan,
    fleet: &Fleet<'_>,
    payload: &Payload,
    (control, lead): (&str, Duration),
) -> anyhow::Result<Shared> {
    let far: Ipv4Addr = FAR_IP.parse()?;
    let line = number(RATE) * TIME.as_secs_f64();
    thread::scope(|scope| {
        let sharing = scope.spawn(move || {
            let flow = tcp::flow(&site.near, (&site.far, far), control, lead, TIME);
            flow.map(|flow| (flow, wan.forth().counters()))
        });
        thread::sleep(lead);
        wan.forth().reset_counters();
        let run = fleet.run(payload)?;
        let (flow, counters) =
            sharing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        ensure!(run.seconds >= TIME.as_secs_f64(), "the file was through before the time was over");
        let theirs = number(flow.bytes) * 8.0 * TCP_HEADERS;
        let ours = number(counters.delivered_bytes) * 8.0 - theirs;
        let dropped = number(counters.queue_drops) / number(counters.packets);
        Ok(Shared {
            ours: 100.0 * ours / line,
            theirs: 100.0 * theirs / line,
            dropped: 100.0 * dropped,
            run,
        })
    })
}
