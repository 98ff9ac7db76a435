//! More and more files of 1 KiB: time and memory as their number grows.

use super::{Check, Report, Row, Setting, folder};
use crate::run::{
    content::Payload,
    figures::{largest, number},
    fleet::Fleet,
    site::{ETHERNET, Site, scratch_in},
};

const COUNTS: [u64; 3] = [10_000, 30_000, 100_000];
const EACH: u64 = 1024;
/// The most memory on either side, in MiB.
const MEMORY: f64 = 150.0;
/// Time per file at the most files, over that at the fewest, where what is the same for all of them
/// weighs most: what is linear stays below.
const LINEAR: f64 = 1.25;

#[allow(clippy::print_stderr, reason = "progress")]
pub(super) fn run(setting: &Setting) -> anyhow::Result<Report> {
    let scratch = scratch_in(&setting.memory_dir)?;
    let site = Site::cable(ETHERNET)?;
    let fleet = Fleet::start(&site, &setting.programs, &folder(scratch.path(), "fleet")?)?;
    let source = folder(scratch.path(), "source")?;
    let payloads = COUNTS.map(|count| Payload::folder(&source, count, EACH));
    let payloads = payloads.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let mut runs = vec![Vec::new(); payloads.len()];
    for round in 0..=setting.rounds {
        for (payload, runs) in payloads.iter().zip(&mut runs) {
            let run = fleet.run(payload)?;
            eprintln!("   round {round}: {} files {:.2} s", payload.files, run.seconds);
            if round > 0 {
                runs.push(run);
            }
        }
    }
    let rows: Vec<Row> = payloads
        .iter()
        .zip(runs)
        .map(|(payload, runs)| {
            let mut row =
                Row::with(format!("FileFleet, {} files", payload.files), runs, Vec::new());
            row.figures.push(("µs per file", row.seconds * 1e6 / number(payload.files)));
            row
        })
        .collect();

    let per_file = |row: Option<&Row>| {
        row.and_then(|row| row.figures.first()).map_or(f64::NAN, |(_, figure)| *figure)
    };
    let growth = per_file(rows.last()) / per_file(rows.first());
    let peak = largest(rows.iter().filter_map(Row::peak)).unwrap_or(f64::NAN);
    let checks = vec![
        Check::at_most("time per file, 100,000 files over 10,000,", growth, LINEAR, ""),
        Check::at_most("peak memory of either daemon", peak, MEMORY, "MiB"),
    ];
    let title = format!("Files of {} KiB, veth, tmpfs", EACH >> 10);
    Ok(Report { title, bytes: payloads.last().map_or(0, |payload| payload.bytes), rows, checks })
}
