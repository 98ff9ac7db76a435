//! The cases: what is sent over which way, by whom, and which bounds hold for it. The numbers of
//! the bounds are those of the project's aims and are no settings.

pub(crate) mod large;
pub(crate) mod latency;
pub(crate) mod many;
pub(crate) mod relayed;
pub(crate) mod share;
pub(crate) mod small;
pub(crate) mod wan;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use super::{
    figures::{Run, largest, median},
    fleet::Programs,
    race::Outcome,
};

/// The most resident memory that either daemon may have in any case, in MiB.
const MEMORY: f64 = 150.0;

/// Which case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// One large file over a cable, beside scp, rsync and bare quinn
    Large,
    /// 10,000 files of 4 KiB on a tmpfs, beside rsync
    Small,
    /// The same on a disk, beside rsync --fsync
    Disk,
    /// 10,000, 30,000 and 100,000 files of 1 KiB
    Many,
    /// 100 MiB over long and lossy paths
    Wan,
    /// A long path shared with a TCP flow
    Share,
    /// 1 KiB, from the command's start to its end
    Latency,
    /// One large file through the relay, beside the direct way, all on one machine with two cores
    Relayed,
}

/// What all cases need.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) programs: Programs,
    pub(crate) rounds: usize,
    /// Of the large file, in bytes.
    pub(crate) large: u64,
    /// Where there is a tmpfs.
    pub(crate) memory_dir: PathBuf,
    /// Where there is a disk.
    pub(crate) disk_dir: PathBuf,
    /// Without what no bound needs.
    pub(crate) brief: bool,
}

/// A program's row in a table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) program: String,
    pub(crate) seconds: f64,
    pub(crate) runs: Vec<Run>,
    /// Further figures, with their names.
    pub(crate) figures: Vec<(&'static str, f64)>,
}

impl Row {
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self::with(outcome.program, outcome.runs, Vec::new())
    }

    pub(crate) fn with(
        program: impl Into<String>,
        runs: Vec<Run>,
        figures: Vec<(&'static str, f64)>,
    ) -> Self {
        let seconds = median(runs.iter().map(|run| run.seconds));
        Self { program: program.into(), seconds, runs, figures }
    }

    /// The most memory of either side in any run.
    pub(crate) fn peak(&self) -> Option<f64> {
        let sides = |run: &Run| [run.sender_peak, run.receiver_peak];
        largest(self.runs.iter().flat_map(sides).flatten())
    }
}

/// A bound, and whether it holds.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) figure: f64,
    pub(crate) bound: f64,
    pub(crate) unit: &'static str,
    pub(crate) holds: bool,
}

impl Check {
    pub(crate) fn at_most(
        what: impl Into<String>,
        figure: f64,
        bound: f64,
        unit: &'static str,
    ) -> Self {
        Self { what: what.into() + " at most", figure, bound, unit, holds: figure <= bound }
    }

    pub(crate) fn at_least(
        what: impl Into<String>,
        figure: f64,
        bound: f64,
        unit: &'static str,
    ) -> Self {
        Self { what: what.into() + " at least", figure, bound, unit, holds: figure >= bound }
    }

    /// The memory of FileFleet's daemons, which is bounded in every case.
    pub(crate) fn memory(rows: &[Row]) -> Option<Self> {
        let peak = largest(rows.iter().filter_map(Row::peak))?;
        Some(Self::at_most("peak memory of either daemon", peak, MEMORY, "MiB"))
    }
}

/// What came of a case.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) title: String,
    /// Of what was sent, to say rates.
    pub(crate) bytes: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) checks: Vec<Check>,
}

impl Setting {
    /// Runs a case.
    pub(crate) fn run(&self, case: Case) -> anyhow::Result<Vec<Report>> {
        match case {
            Case::Large => large::run(self),
            Case::Small => Ok(vec![small::run(self, &self.memory_dir, small::Store::Memory)?]),
            Case::Disk => Ok(vec![small::run(self, &self.disk_dir, small::Store::Disk)?]),
            Case::Many => Ok(vec![many::run(self)?]),
            Case::Wan => wan::run(self),
            Case::Share => share::run(self),
            Case::Latency => latency::run(self),
            Case::Relayed => Ok(vec![relayed::run(self)?]),
        }
    }
}

/// A folder for a case, below another.
fn folder(dir: &Path, name: &str) -> std::io::Result<PathBuf> {
    let made = dir.join(name);
    std::fs::create_dir(&made)?;
    Ok(made)
}

/// The seconds of a program whose name begins so.
fn seconds(rows: &[Row], program: &str) -> f64 {
    let found = rows.iter().find(|row| row.program.starts_with(program));
    found.map_or(f64::NAN, |row| row.seconds)
}
