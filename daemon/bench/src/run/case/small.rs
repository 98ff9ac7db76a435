//! 10,000 files of 4 KiB over a cable.

use std::{path::Path, time::Duration};

use super::{Check, Report, Row, Setting, folder, seconds};
use crate::run::{
    content::Payload,
    fleet::Fleet,
    race::{Contestant, race},
    site::{ETHERNET, Site, scratch_in},
    ssh::{LocalRsync, Ssh},
};

const FILES: u64 = 10_000;
const EACH: u64 = 4096;
/// A sync for every file takes its time.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where the files lie, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    Memory,
    /// Where what has arrived has to outlast a power cut, rsync has to sync, too.
    Disk,
}

pub(super) fn run(setting: &Setting, dir: &Path, store: Store) -> anyhow::Result<Report> {
    let scratch = scratch_in(dir)?;
    let site = Site::cable(ETHERNET)?;
    let payload = Payload::folder(&folder(scratch.path(), "source")?, FILES, EACH)?;
    let mut fleet = Fleet::start(&site, &setting.programs, &folder(scratch.path(), "fleet")?)?;
    let ssh = Ssh::start(&site, scratch.path(), PATIENCE)?;
    let fsync = store == Store::Disk;
    let mut remote = ssh.rsync(fsync);
    let mut local = LocalRsync::new(scratch.path(), fsync)?;
    let contestants: &mut [&mut dyn Contestant] = &mut [&mut remote, &mut local, &mut fleet];
    let outcomes = race(contestants, &payload, setting.rounds)?;
    let rows: Vec<Row> = outcomes.into_iter().map(Row::of).collect();

    let ours = seconds(&rows, "FileFleet");
    let over_ssh = rows.iter().find(|row| row.program.ends_with("over ssh"));
    let mut checks = Vec::new();
    if let Some(rsync) = over_ssh {
        let bound = if fsync { 1.0 } else { 0.7 };
        checks.push(Check::at_most(
            "seconds, of rsync's over ssh,",
            ours / rsync.seconds,
            bound,
            "",
        ));
    }
    checks.extend(Check::memory(&rows));
    let place = if fsync { "disk" } else { "tmpfs" };
    let title = format!("{FILES} files of {} KiB, veth, {place}", EACH >> 10);
    Ok(Report { title, bytes: payload.bytes, rows, checks })
}
