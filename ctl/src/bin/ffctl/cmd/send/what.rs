//! What is sent: files and folders, standard input, or a text.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;

use filefleet_ctl::proto::chunk::MAX_CHUNK;
use filefleet_ctl::proto::{Call, MAX_TEXT, Reply, SendOptions, WirePath};
use filefleet_ctl::{Client, format};
use tokio::sync::mpsc;

use super::sources;
use crate::failure::CommandError;

/// What a text is called when nobody says.
const TEXT_NAME: &str = "text.txt";
/// Parts of standard input that are read ahead. Full: the reading thread waits.
const READ_AHEAD: usize = 4;

/// What the user named.
#[derive(Debug)]
pub(super) enum What {
    Files(Vec<WirePath>),
    Input { name: String },
    Text { text: String, name: String },
}

impl What {
    /// Finds out what is meant; files are looked at before anything is asked of anybody.
    pub(super) fn of(
        paths: &[PathBuf],
        text: Option<String>,
        name: Option<String>,
    ) -> Result<Self, CommandError> {
        let is_input = |file_path: &PathBuf| file_path == Path::new("-");
        match (text, name) {
            (Some(_), _) if !paths.is_empty() => {
                Err(CommandError::usage("--text is all that a transfer holds; send files apart"))
            }
            (Some(text), _) if text.is_empty() => Err(CommandError::usage("the text is empty")),
            (Some(text), _) if text.len() > MAX_TEXT => {
                let most = format::size(u64::try_from(MAX_TEXT).unwrap_or(u64::MAX));
                Err(CommandError::usage(format!("a text has at most {most}"))
                    .with_hint("send it as a file: ffctl send NAME - --name text.txt"))
            }
            (Some(text), name) => {
                Ok(Self::Text { text, name: name.unwrap_or_else(|| TEXT_NAME.to_owned()) })
            }
            (None, Some(name)) if paths.len() == 1 && paths.iter().all(is_input) => {
                Ok(Self::Input { name })
            }
            (None, Some(_)) => Err(CommandError::usage("--name is for '-' and for --text")),
            (None, None) if paths.iter().any(is_input) => Err(CommandError::usage(
                "'-' is standard input, which needs a --name and goes alone",
            )
            .with_hint("a file that is called '-' is './-'")),
            (None, None) => sources(paths).map(Self::Files),
        }
    }

    /// How many things it is, for whoever is asked where they shall go.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Files(paths) => paths.len(),
            Self::Input { .. } | Self::Text { .. } => 1,
        }
    }

    /// Has the daemon take it on. Dropped before it is through, it leaves nothing there.
    pub(super) async fn hand_over(
        self,
        client: Client,
        to: String,
        no_queue: bool,
        options: SendOptions,
    ) -> Result<(Reply, Client), CommandError> {
        let mut client = client;
        let call = match self {
            Self::Files(paths) => Call::Send { to, paths, no_queue, options },
            Self::Text { text, name } => Call::SendText { to, text, name, no_queue, options },
            Self::Input { name } => {
                return upload(client, Call::SendStream { to, name, no_queue, options }).await;
            }
        };
        let reply = client.call(call).await?;
        Ok((reply, client))
    }
}

/// Hands standard input over to its end.
async fn upload(client: Client, call: Call) -> Result<(Reply, Client), CommandError> {
    let mut upload = client.upload(call).await?;
    let mut parts = read_input();
    while let Some(part) = parts.recv().await {
        let part = part.map_err(|error| {
            CommandError::failed(format!("cannot read standard input: {error}"))
                .with_hint("nothing was sent")
        })?;
        upload.write(&part).await?;
    }
    Ok(upload.finish().await?)
}

/// Standard input, part by part. A thread of its own reads it, which does not hold up the program's end
/// when it waits for input.
fn read_input() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (send_part, parts) = mpsc::channel(READ_AHEAD);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut buffer = vec![0; MAX_CHUNK];
        loop {
            let part = match input.read(&mut buffer) {
                Ok(0) => return,
                Ok(len) => Ok(buffer[..len].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = part.is_err();
            // Nobody listens any more: the daemon will have no more of it.
            if send_part.blocking_send(part).is_err() || is_last {
                return;
            }
        }
    });
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(paths: &[&str], text: Option<&str>, name: Option<&str>) -> Result<What, CommandError> {
        let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
        What::of(&paths, text.map(str::to_owned), name.map(str::to_owned))
    }

    #[test]
    fn input_and_text_go_alone_and_input_has_a_name() {
        assert!(
            matches!(of(&["-"], None, Some("x")).unwrap(), What::Input { name } if name == "x")
        );
        let named = |what| matches!(what, What::Text { name, .. } if name == "text.txt");
        assert!(named(of(&[], Some("hi"), None).unwrap()));
        let long = "x".repeat(MAX_TEXT + 1);
        for (paths, text, name) in [
            (&["-"][..], None, None),
            (&["-", "-"], None, Some("x")),
            (&["-", "."], None, None),
            (&["."], None, Some("x")),
            (&["."], Some("hi"), None),
            (&[], Some(""), None),
            (&[], Some(long.as_str()), None),
        ] {
            assert!(of(paths, text, name).is_err(), "{paths:?} {name:?}");
        }
    }
}
