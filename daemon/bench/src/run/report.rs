//! What is reported: everything as JSON, the figures as a table in Markdown, and a plot.

mod markdown;
mod plot;

use std::{fs, thread};

use anyhow::Context;
use serde::Serialize;

use super::case::{Check, Report};

/// The machine on which it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Host {
    processor: String,
    cores: usize,
    kernel: String,
    /// How many programs wanted to run in the minute before, as the kernel says it.
    load: String,
}

impl Host {
    fn this() -> anyhow::Result<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo")?;
        let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
        let model =
            model.and_then(|rest| rest.split_once(": ")).map_or("unknown", |(_, name)| name);
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            processor: model.to_owned(),
            cores: thread::available_parallelism()?.get(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load: load.split(' ').next().context("no load")?.to_owned(),
        })
    }
}

/// What came of all cases.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    host: Host,
    rounds: usize,
    pub(crate) reports: Vec<Report>,
}

impl Results {
    /// Nothing yet.
    pub(crate) fn new(rounds: usize) -> anyhow::Result<Self> {
        Ok(Self { host: Host::this()?, rounds, reports: Vec::new() })
    }

    /// All figures.
    pub(crate) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// A table for every case, and which bounds hold.
    pub(crate) fn markdown(&self) -> String {
        markdown::render(self)
    }

    /// The seconds of every program in every case, as SVG.
    pub(crate) fn plot(&self) -> String {
        plot::render(self)
    }

    /// The bounds that were missed.
    pub(crate) fn missed(&self) -> impl Iterator<Item = &Check> {
        self.reports.iter().flat_map(|report| &report.checks).filter(|check| !check.holds)
    }

    /// Where it was measured, in a line.
    fn place(&self) -> String {
        let Host { processor, cores, kernel, load } = &self.host;
        format!(
            "{processor}, {cores} cores, Linux {kernel}, load {load} at the start; medians of {}",
            self.rounds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{case::Row, figures::Run};

    fn results() -> Results {
        let run = |seconds, peak| Run {
            seconds,
            sender_cpu: 1.0,
            receiver_cpu: 2.0,
            sender_peak: peak,
            receiver_peak: peak,
            gave_up: false,
        };
        let ours = vec![run(3.0, Some(50.0)), run(1.0, Some(60.0)), run(2.0, None)];
        let report = Report {
            title: "A <case>".into(),
            bytes: 1 << 30,
            rows: vec![
                Row::with("scp", vec![run(4.0, None)], Vec::new()),
                Row::with("FileFleet", ours, vec![("ms", 2000.0)]),
            ],
            checks: vec![Check::at_most("seconds, of scp's,", 0.5, 0.4, "")],
        };
        let host =
            Host { processor: "Z80".into(), cores: 1, kernel: "6.1".into(), load: "0.00".into() };
        Results { host, rounds: 3, reports: vec![report] }
    }

    #[test]
    fn the_table_has_medians_ratios_costs_and_every_run() {
        let said = results().markdown();
        assert!(said.contains("Z80, 1 cores, Linux 6.1"), "{said}");
        let row = "| FileFleet | **2.00** | 0.50 | 512 | 1.00, 2.00 | 60, 60 | 3.00 1.00 2.00 |";
        let line = said.lines().find(|line| line.starts_with("| FileFleet")).unwrap_or_default();
        assert!(line.starts_with(row.trim_end_matches(" |")), "{said}");
        assert!(said.contains("**missed**"), "{said}");
    }

    #[test]
    fn what_is_missed_is_known() {
        assert_eq!(results().missed().count(), 1);
    }

    #[test]
    fn the_plot_has_a_bar_for_every_program_and_no_markup_from_names() {
        let plot = results().plot();
        assert_eq!(plot.matches("class=\"bar").count(), 2, "{plot}");
        assert!(plot.contains("A &lt;case&gt;"), "{plot}");
        assert!(plot.starts_with("<svg") && plot.trim_end().ends_with("</svg>"), "{plot}");
    }
}
