//! The report as tables in Markdown.

use std::fmt::Write;

use super::Results;
use crate::run::{
    case::{Report, Row},
    figures::{Run, largest, median, number},
};

const MIB: f64 = 1_048_576.0;

pub(super) fn render(results: &Results) -> String {
    let mut said = format!("{}.\n", results.place());
    for report in &results.reports {
        // Writing to a string cannot fail.
        let _ = table(&mut said, report);
        let _ = checks(&mut said, report);
    }
    said
}

fn table(said: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(said, "\n### {}\n", report.title)?;
    writeln!(
        said,
        "| | seconds | of the first | MiB/s | CPU-s/GiB sending, receiving \
         | peak MiB sending, receiving | every run | |"
    )?;
    writeln!(said, "|---|---|---|---|---|---|---|---|")?;
    let first = report.rows.first().map_or(f64::NAN, |row| row.seconds);
    for row in &report.rows {
        let middle = |figure: fn(&Run) -> f64| median(row.runs.iter().map(figure));
        let per_gib = |seconds: f64| seconds * 1024.0 * MIB / number(report.bytes);
        let gave_up = if row.runs.iter().any(|run| run.gave_up) { "> " } else { "" };
        writeln!(
            said,
            "| {} | {gave_up}**{:.2}** | {:.2} | {:.0} | {:.2}, {:.2} | {} | {} | {} |",
            row.program,
            row.seconds,
            row.seconds / first,
            number(report.bytes) / MIB / row.seconds,
            per_gib(middle(|run| run.sender_cpu)),
            per_gib(middle(|run| run.receiver_cpu)),
            peaks(row),
            every(row),
            figures(row),
        )?;
    }
    Ok(())
}

fn peaks(row: &Row) -> String {
    let most = |figure: fn(&Run) -> Option<f64>| largest(row.runs.iter().filter_map(figure));
    match (most(|run| run.sender_peak), most(|run| run.receiver_peak)) {
        (Some(sender), Some(receiver)) => format!("{sender:.0}, {receiver:.0}"),
        _ => String::new(),
    }
}

fn every(row: &Row) -> String {
    let all: Vec<String> = row.runs.iter().map(|run| format!("{:.2}", run.seconds)).collect();
    all.join(" ")
}

fn figures(row: &Row) -> String {
    let all: Vec<String> =
        row.figures.iter().map(|(name, figure)| format!("{figure:.1} {name}")).collect();
    all.join("; ")
}

fn checks(said: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(said)?;
    for check in &report.checks {
        let verdict = if check.holds { "holds" } else { "**missed**" };
        let (bound, unit) = (check.bound, check.unit);
        writeln!(said, "- {} {bound} {unit}: {:.2}, {verdict}", check.what, check.figure)?;
    }
    Ok(())
}
