//! `ffctl send --dry-run`: what would be sent, and what would not.

use std::io;

use filefleet_ctl::proto::{Call, FileFailure, Reply, SendOptions, SurveyView, WirePath};
use filefleet_ctl::{format, text};
use serde::Serialize;

use super::super::{call, unexpected};
use crate::failure::Failure;
use crate::output;

/// The one line of JSON; the field order is part of the interface.
#[derive(Serialize)]
#[serde(tag = "event", rename = "dry_run")]
struct Line<'a> {
    files: u64,
    bytes: u64,
    folders: u64,
    links: u64,
    excluded: u64,
    excluded_paths: &'a [WirePath],
    skipped: u64,
    skips: &'a [FileFailure],
}

/// Has the daemon look, and prints what it found.
pub(super) async fn run(
    to: &str,
    paths: Vec<WirePath>,
    options: SendOptions,
    json: bool,
) -> Result<(), Failure> {
    match call(Call::Survey { paths, options }).await? {
        Reply::Survey(survey) if json => Ok(output::json(&line(&survey))?),
        Reply::Survey(survey) => Ok(print(to, &survey)?),
        _ => Err(unexpected().into()),
    }
}

fn line(survey: &SurveyView) -> Line<'_> {
    let SurveyView { files, bytes, folders, links, excluded, skipped, .. } = *survey;
    let (excluded_paths, skips) = (&survey.excluded_paths, &survey.skips);
    Line { files, bytes, folders, links, excluded, excluded_paths, skipped, skips }
}

fn print(to: &str, survey: &SurveyView) -> io::Result<()> {
    let mut what = vec![format::amount(survey.files, survey.bytes, true)];
    for (number, noun) in [(survey.folders, "folder"), (survey.links, "link")] {
        what.extend((number > 0).then(|| format::count(number, noun)));
    }
    output::line(&format!("would send {} to {}", what.join(", "), text::display(to)))?;
    let excluded: Vec<_> = survey.excluded_paths.iter().map(ToString::to_string).collect();
    print_list("left out", survey.excluded, &excluded)?;
    let skip = |file: &FileFailure| {
        format!("{}: {}", text::display(&file.path), text::display(&file.message))
    };
    print_list("cannot be sent", survey.skipped, &survey.skips.iter().map(skip).collect::<Vec<_>>())
}

/// How many there are, and the first of them.
fn print_list(heading: &str, number: u64, first: &[String]) -> io::Result<()> {
    if number == 0 {
        return Ok(());
    }
    output::line(&format!("{heading}: {number}"))?;
    first.iter().try_for_each(|item| output::line(&format!("  {item}")))?;
    let more = number.saturating_sub(u64::try_from(first.len()).unwrap_or(u64::MAX));
    if more > 0 { output::line(&format!("  and {more} more")) } else { Ok(()) }
}
