//! One large file from memory to memory over a cable, with usual and with jumbo frames.

use std::time::Duration;

use super::{Check, Report, Row, Setting, folder, seconds};
use crate::run::{
    content::Payload,
    fleet::Fleet,
    quinn::Quinn,
    race::{Contestant, race},
    site::{ETHERNET, JUMBO, Site, scratch_in},
    ssh::Ssh,
    warm::Warm,
};

/// Nobody waits longer for a large file on a local network.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn run(setting: &Setting) -> anyhow::Result<Vec<Report>> {
    let mtus: &[u32] = if setting.brief { &[ETHERNET] } else { &[ETHERNET, JUMBO] };
    mtus.iter().map(|mtu| over(setting, *mtu)).collect()
}

fn over(setting: &Setting, mtu: u32) -> anyhow::Result<Report> {
    let scratch = scratch_in(&setting.memory_dir)?;
    let site = Site::cable(mtu)?;
    let payload = Payload::file(&folder(scratch.path(), "source")?, setting.large)?;
    let _warm = Warm::up(&setting.memory_dir, payload.bytes)?;
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
    let mut checks = Vec::new();
    if mtu == ETHERNET {
        // Nothing is promised of jumbo frames but that they help.
        let scp = seconds(&rows, "scp");
        let quinn = seconds(&rows, "bare quinn");
        checks.push(Check::at_most("seconds, of scp's,", ours / scp, 0.65, ""));
        checks.push(Check::at_least("rate, of bare quinn's,", quinn / ours, 0.6, ""));
    }
    checks.extend(Check::memory(&rows));
    let title = format!("One file of {} MiB, veth (MTU {mtu}), tmpfs", payload.bytes >> 20);
    Ok(Report { title, bytes: payload.bytes, rows, checks })
}
