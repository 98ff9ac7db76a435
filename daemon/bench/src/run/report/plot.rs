//! The report as a bar chart: for each case a group of bars, the longest of which fills the width.
//! Written by hand, for it is nothing but rectangles and text.

use std::fmt::Write;

use super::Results;
use crate::run::case::{Report, Row};

/// In pixels.
const WIDTH: f64 = 760.0;
const LABELS: f64 = 250.0;
const FIGURES: f64 = 90.0;
const LINE: f64 = 22.0;
const BAR: f64 = 14.0;
const STYLE: &str = "text{font:13px sans-serif;fill:#555}.title{font-weight:bold}\
    .bar{fill:#9aa5b1}.ours{fill:#2f855a}";

pub(super) fn render(results: &Results) -> String {
    let mut body = String::new();
    let mut y = LINE;
    for report in &results.reports {
        // Writing to a string cannot fail.
        let _ = group(&mut body, report, &mut y);
    }
    let _ = text(&mut body, 0.0, y, "", &results.place());
    let height = y + LINE;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\">\n<style>{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

fn group(body: &mut String, report: &Report, y: &mut f64) -> std::fmt::Result {
    text(body, 0.0, *y, "title", &format!("{}, seconds", report.title))?;
    *y += LINE;
    let longest = report.rows.iter().map(|row| row.seconds).fold(f64::MIN_POSITIVE, f64::max);
    for row in &report.rows {
        bar(body, row, *y, longest)?;
        *y += LINE;
    }
    *y += LINE / 2.0;
    Ok(())
}

fn bar(body: &mut String, row: &Row, y: f64, longest: f64) -> std::fmt::Result {
    let length = (WIDTH - LABELS - FIGURES) * row.seconds / longest;
    let class = if row.program.starts_with("FileFleet") { "bar ours" } else { "bar" };
    text(body, 12.0, y, "", &row.program)?;
    let top = y - BAR + 3.0;
    writeln!(
        body,
        "<rect class=\"{class}\" x=\"{LABELS}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{BAR}\"/>"
    )?;
    let gave_up = if row.runs.iter().any(|run| run.gave_up) { "> " } else { "" };
    let figure = format!("{gave_up}{:.2}", row.seconds);
    text(body, LABELS + length + 6.0, y, "", &figure)
}

fn text(body: &mut String, x: f64, y: f64, class: &str, words: &str) -> std::fmt::Result {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{words}</text>")
}
