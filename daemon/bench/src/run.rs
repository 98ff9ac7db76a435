//! The benchmark: cases, contestants, and what is reported of them. It drives the real programs and
//! knows of them what their command lines and outputs say.

mod case;
mod content;
mod figures;
mod fleet;
mod process;
mod quinn;
mod race;
mod report;
mod site;
mod ssh;
mod warm;

pub(crate) use case::{Case, Setting};
pub(crate) use fleet::Programs;
pub(crate) use report::Results;

/// Runs cases one after the other.
#[allow(clippy::print_stderr, reason = "progress")]
pub(crate) fn run(setting: &Setting, cases: &[Case]) -> anyhow::Result<Results> {
    let mut results = Results::new(setting.rounds)?;
    for case in cases {
        eprintln!("== {case:?}");
        results.reports.extend(setting.run(*case)?);
    }
    Ok(results)
}
