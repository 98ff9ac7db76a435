//! Bare quinn as two programs, from memory to memory.

use std::io::{BufRead, BufReader};

use anyhow::{Context, ensure};

use super::{
    content::Payload,
    figures::Run,
    process::{self, Running},
    race::Contestant,
    site::{FAR_IP, Site},
};

/// `filefleet-bench quinn-send` and `quinn-receive`.
pub(crate) struct Quinn<'a> {
    site: &'a Site,
    log: std::path::PathBuf,
}

impl<'a> Quinn<'a> {
    pub(crate) fn new(site: &'a Site, dir: &std::path::Path) -> Self {
        Self { site, log: dir.join("quinn.log") }
    }
}

impl Contestant for Quinn<'_> {
    fn name(&self) -> &'static str {
        "bare quinn, memory to memory"
    }

    fn send(&mut self, payload: &Payload) -> anyhow::Result<Run> {
        let own = std::env::current_exe()?;
        let mut command = self.site.far.command(&own);
        command.args(["quinn-receive", &format!("{FAR_IP}:0")]);
        let mut receiver = Running::start(&command, &self.log)?;
        let mut stdout = BufReader::new(receiver.stdout().context("no output")?).lines();
        let ready = stdout.next().context("the receiver ended")??;
        let words: Vec<&str> = ready.split(' ').collect();
        ensure!(words.len() == 3 && words[0] == "ready", "the receiver says {ready:?}");

        let mut command = self.site.near.command(&own);
        command.args(["quinn-send", words[1], words[2], &payload.bytes.to_string()]);
        let ended = process::measure(&command)?;
        let said: serde_json::Value = serde_json::from_str(&ended.stdout)?;
        let received = stdout.next().context("the receiver ended")??;
        ensure!(received == format!("received {}", payload.bytes), "it says {received:?}");
        Ok(Run {
            // Without the start of the program, which has nothing to do with quinn.
            seconds: said["seconds"].as_f64().context("no seconds")?,
            sender_cpu: ended.cpu,
            receiver_cpu: process::cpu(receiver.pid())?,
            sender_peak: None,
            receiver_peak: None,
            gave_up: false,
        })
    }
}
