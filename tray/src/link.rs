//! The link to the daemon: found, started once if there is none, followed, and found again.

use std::time::Duration;

use filefleet_ctl::proto::{Call, ErrorCode};
use filefleet_ctl::start::{self, StartError};
use filefleet_ctl::{Client, ClientError, Home};
use tokio::sync::mpsc;

use crate::event::Event;

/// How often a daemon that is gone is looked for: a connection to a socket that nobody serves costs
/// next to nothing, and the menu is right again well within two seconds.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Follows the daemon until the tray ends. One that a person stopped later is not started again.
pub(crate) async fn follow(home: Home, events: mpsc::Sender<Event>) {
    if let Err(error) = start::start_daemon(&home).await {
        gone(&events, start_failure(&error)).await;
    }
    let mut told = None;
    loop {
        let error = match watch(&home, &events).await {
            Ok(never) => match never {},
            Err(error) => error.to_string(),
        };
        // Looking in vain is nothing new.
        if told.as_ref() != Some(&error) {
            gone(&events, error.clone()).await;
        }
        told = Some(error);
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// Brings what the daemon says until the connection ends.
async fn watch(
    home: &Home,
    events: &mpsc::Sender<Event>,
) -> Result<std::convert::Infallible, ClientError> {
    let mut watch = Client::connect(home).await?.watch().await?;
    loop {
        // A tray that is ending needs no events.
        let _ = events.send(Event::Daemon(Box::new(watch.next().await?))).await;
    }
}

async fn gone(events: &mpsc::Sender<Event>, reason: String) {
    let _ = events.send(Event::DaemonGone(reason)).await;
}

/// Asks the daemon for one thing; what went wrong is an event.
pub(crate) async fn call(home: Home, call: Call, events: mpsc::Sender<Event>) {
    let asked = async { Client::connect(&home).await?.call(call).await };
    if let Err(error) = asked.await {
        let _ = events.send(Event::Failed(failure(&error))).await;
    }
}

/// Starts the daemon that a person had stopped; [`follow`] finds it.
pub(crate) async fn start(home: Home, events: mpsc::Sender<Event>) {
    if let Err(error) = start::start_daemon(&home).await {
        gone(&events, start_failure(&error)).await;
    }
}

fn failure(error: &ClientError) -> String {
    match error {
        // Answered elsewhere meanwhile, or withdrawn: the menu shows that already.
        ClientError::Refused(error) if error.code == ErrorCode::NoSuchRequest => {
            "the request does not wait any more".to_owned()
        }
        ClientError::Refused(error) => match &error.hint {
            Some(hint) => format!("{}: {hint}", error.message),
            None => error.message.clone(),
        },
        error => error.to_string(),
    }
}

fn start_failure(error: &StartError) -> String {
    match error {
        StartError::Ended { said, .. } => {
            let last = said.lines().last().unwrap_or_default();
            format!("{error}: {last}")
        }
        error => error.to_string(),
    }
}
