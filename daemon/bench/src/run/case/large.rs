//! One large file from memory to memory over a cable.

use std::time::Duration;

use super::{Check, Report, Row, Setting, folder, seconds};
use crate::run::{
    content::Payload,
    fleet::Fleet,
    quinn::Quinn,
    race::{Contestant, race},
    site::{Site, scratch_in},
    ssh::Ssh,
};

/// Nobody waits longer for a large file on a local network.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn run(setting: &Setting) -> anyhow::Result<Report> {
    let scratch = scratch_in(&setting.memory_dir)?;
    let site = Site::cable()?;
    let payload = Payload::file(&folder(scratch.path(), "source")?, setting.large)?;
    let mut fleet = Fleet::start(&site, &setting.programs, &folder(scratch.path(), "fleet")?)?;
    let mut quinn = Quinn::new(&site, scratch.path());
    let ssh = Ssh::start(&site, scratch.path(), PATIENCE)?;
    let (mut scp, mut rsync) = (ssh.scp(), ssh.rsync(false));
    let mut contestants: Vec<&mut dyn Contestant> = vec![&mut scp, &mut quinn, &mut fleet];
    if !setting.brief {
        contestants.push(&mut rsync);
    }
    let outcomes = race(&mut contestants, &payload, setting.rounds)?;
    let rows: Vec<Row> = outcomes.into_iter().map(Row::of).collect();

    let ours = seconds(&rows, "FileFleet");
    let mut checks = vec![
        Check::at_most("seconds, of scp's,", ours / seconds(&rows, "scp"), 0.65, ""),
        Check::at_least("rate, of bare quinn's,", seconds(&rows, "bare quinn") / ours, 0.6, ""),
    ];
    checks.extend(Check::memory(&rows));
    let title = format!("One file of {} MiB, veth, tmpfs", payload.bytes >> 20);
    Ok(Report { title, bytes: payload.bytes, rows, checks })
}
