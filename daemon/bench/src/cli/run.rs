//! `filefleet-bench run`.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::ValueEnum;
use filefleet_bench::units;

use crate::run::{self, Case, Programs, Setting};

/// Measures FileFleet beside scp, rsync and bare quinn.
///
/// Prints a table in Markdown; ends with 1 if a bound is missed. What it makes lies in folders of
/// its own and goes when it ends.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Which cases; without any, all of them
    #[arg(value_enum)]
    cases: Vec<Case>,
    /// How often each is measured, after one round that does not count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// The size of the large file
    #[arg(long, value_parser = units::bytes, default_value = "1GiB")]
    large: u64,
    /// A folder on a tmpfs
    #[arg(long, default_value = "/dev/shm")]
    memory_dir: PathBuf,
    /// A folder on a disk
    #[arg(long, default_value = "/var/tmp")]
    disk_dir: PathBuf,
    /// Measure only what a bound needs
    #[arg(long)]
    brief: bool,
    /// Also write results.md, results.json and results.svg into this folder
    #[arg(long)]
    out: Option<PathBuf>,
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a program")]
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let setting = Setting {
        programs: Programs::find()?,
        rounds: arguments.rounds.into(),
        large: arguments.large,
        memory_dir: arguments.memory_dir.clone(),
        disk_dir: arguments.disk_dir.clone(),
        brief: arguments.brief,
    };
    let all = Case::value_variants();
    let cases = if arguments.cases.is_empty() { all } else { &arguments.cases };
    let results = run::run(&setting, cases)?;
    let table = results.markdown();
    print!("{table}");
    if let Some(dir) = &arguments.out {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("results.md"), &table)?;
        fs::write(dir.join("results.json"), results.json()?)?;
        fs::write(dir.join("results.svg"), results.plot())?;
    }
    for check in results.missed() {
        eprintln!(
            "bench: missed: {} {} {}: {:.2}",
            check.what, check.bound, check.unit, check.figure
        );
    }
    Ok(if results.missed().next().is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
