//! A file of 1 KiB, from the start of `ffctl` to its end: between daemons that have just been
//! started, so that no link is there yet, and between those that have one. Each has a name that was
//! not sent before, or the receiver would be asked first what it has.

use std::time::Duration;

use filefleet_bench::wan::Conditions;

use super::{Check, Report, Row, Setting, folder};
use crate::run::{
    content::Payload,
    figures::Run,
    fleet::Fleet,
    site::{ETHERNET, Site, scratch_in},
};

const BYTES: u64 = 1024;
const DELAY: Duration = Duration::from_millis(50);
/// In milliseconds.
const LAN: f64 = 50.0;
/// Six round trips, in milliseconds.
const FAR: f64 = 600.0;

pub(super) fn run(setting: &Setting) -> anyhow::Result<Vec<Report>> {
    let conditions = Conditions { delay: DELAY, ..Conditions::default() };
    Ok(vec![
        on(setting, &Site::cable(ETHERNET)?, "1 KiB, veth", LAN)?,
        on(setting, &Site::wan(conditions)?, "1 KiB, 100 ms, the server beside the sender", FAR)?,
    ])
}

fn on(setting: &Setting, site: &Site, title: &str, bound: f64) -> anyhow::Result<Report> {
    let scratch = scratch_in(&setting.memory_dir)?;
    let source = folder(scratch.path(), "source")?;
    let mut fleet = Fleet::start(site, &setting.programs, &folder(scratch.path(), "fleet")?)?;
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for round in 0..=setting.rounds {
        fleet.restart()?;
        let run = |which| {
            let payload = Payload::named(&source, &format!("{which}-{round}"), BYTES)?;
            fleet.run(&payload)
        };
        let runs = [run("cold")?, run("warm")?];
        if round > 0 {
            cold.push(runs[0]);
            warm.push(runs[1]);
        }
    }
    let row = |name, runs: Vec<Run>| {
        let mut row = Row::with(name, runs, Vec::new());
        row.figures.push(("ms", row.seconds * 1e3));
        row
    };
    let rows = vec![row("FileFleet, no link yet", cold), row("FileFleet, link there", warm)];
    let mut checks = vec![
        Check::at_most("no link yet,", rows[0].seconds * 1e3, bound, "ms"),
        Check::at_most("link there,", rows[1].seconds * 1e3, bound, "ms"),
    ];
    checks.extend(Check::memory(&rows));
    Ok(Report { title: title.into(), bytes: BYTES, rows, checks })
}
