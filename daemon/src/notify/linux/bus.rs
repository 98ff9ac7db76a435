//! The session bus as far as notifications go: calls to whoever shows them, and their signals.
//!
//! A server's ids begin anew when it is started again, so a note is known by its server's unique name
//! on the bus as well, which is also that of the sender of a signal. The server that says what it can
//! show is the one that is asked to show it, whoever has its other name by then.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_core::Stream;
use tokio_util::task::AbortOnDropHandle;
use zbus::zvariant::Value;
use zbus::{MatchRule, Message, MessageStream, message};

use crate::notify::Outside;
use crate::notify::board::Handle;
use crate::notify::note::Note;

/// The name, the interface, and with slashes the path of whoever shows notifications.
const SERVER: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
/// The name of this program's icon and desktop entry.
const ICON: &str = "filefleet";
const DESKTOP_ENTRY: &str = "filefleet-tray";
/// A desktop that does not answer is no desktop. Starting a server may take its time.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Signals that may wait to be looked at. Nothing that is done about one takes long.
const SIGNALS: usize = 256;

/// `expire_timeout` of what stays until a person has dealt with it, and of other notes.
const NEVER: i32 = 0;
const AS_USUAL: i32 = -1;

/// A connection, and a task that listens on it until this is dropped.
pub(super) struct Bus {
    connection: zbus::Connection,
    _listening: AbortOnDropHandle<()>,
}

impl Bus {
    pub(super) async fn connect(outside: &Outside) -> zbus::Result<Self> {
        let connection = connect().await?;
        let signals = rule(SERVER)?.path(PATH)?.build();
        let owners = rule("org.freedesktop.DBus")?.member("NameOwnerChanged")?.arg(0, SERVER)?;
        let signals = MessageStream::for_match_rule(signals, &connection, Some(SIGNALS)).await?;
        let owners = MessageStream::for_match_rule(owners.build(), &connection, None).await?;
        let listening = tokio::spawn(listen(signals, owners, outside.clone()));
        Ok(Self { connection, _listening: AbortOnDropHandle::new(listening) })
    }

    /// Whether it is still there.
    pub(super) fn is_alive(&self) -> bool {
        !self.connection.is_closed()
    }

    /// Shows a note, in the place of another if there is one. The bus starts a server if none runs and
    /// it can.
    pub(super) async fn show(
        &self,
        note: &Note,
        replaces: Option<&Handle>,
    ) -> zbus::Result<Handle> {
        let (server, takes_markup) = self.server().await?;
        let body = if takes_markup { escaped(&note.body) } else { note.body.clone() };
        let replaces = replaces.filter(|handle| handle.server == server);
        let replaces = replaces.map_or(0, |handle| handle.id);
        let buttons = note.buttons.iter().flat_map(|button| [button.key.as_str(), button.label]);
        let buttons: Vec<&str> = buttons.collect();
        let hints = HashMap::from([("desktop-entry", Value::from(DESKTOP_ENTRY))]);
        let time = if note.stays { NEVER } else { AS_USUAL };
        let arguments =
            ("FileFleet", replaces, ICON, note.summary.as_str(), body, buttons, hints, time);
        let answer = self.call(&server, "Notify", &arguments).await?;
        Ok(Handle { id: answer.body().deserialize()?, server })
    }

    /// Who shows notes now, by unique name, and whether markup in a body acts there; where it does
    /// not, an escaped text would be shown as it is.
    async fn server(&self) -> zbus::Result<(String, bool)> {
        let answer = self.call(SERVER, "GetCapabilities", &()).await?;
        let server = sender(&answer).ok_or(zbus::Error::MissingField)?;
        let capabilities: Vec<String> = answer.body().deserialize()?;
        Ok((server, capabilities.iter().any(|capability| capability == "body-markup")))
    }

    /// Takes a note away from the server that shows it, and from no other.
    pub(super) async fn close(&self, handle: &Handle) -> zbus::Result<()> {
        self.call(&handle.server, "CloseNotification", &handle.id).await.map(drop)
    }

    async fn call<A>(&self, to: &str, method: &str, arguments: &A) -> zbus::Result<Message>
    where
        A: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.connection.call_method(Some(to), PATH, Some(SERVER), method, arguments).await
    }
}

/// A connection of its own to the session bus.
pub(super) async fn connect() -> zbus::Result<zbus::Connection> {
    let connecting = zbus::connection::Builder::session()?.method_timeout(CALL_LIMIT).build();
    let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    tokio::time::timeout(CALL_LIMIT, connecting).await.map_err(late)?
}

fn rule(interface: &'static str) -> zbus::Result<zbus::match_rule::Builder<'static>> {
    MatchRule::builder().msg_type(message::Type::Signal).interface(interface)
}

/// Text as it has to be where markup acts (XML, "the five predefined entities").
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Brings what servers say to the board, until the bus ends. It never waits for the bus itself: an
/// answer would wait behind the signals.
async fn listen(mut signals: MessageStream, mut owners: MessageStream, outside: Outside) {
    loop {
        tokio::select! {
            signal = next(&mut signals) => match signal {
                Some(Ok(signal)) => on_signal(&signal, &outside),
                _ => break,
            },
            signal = next(&mut owners) => match signal {
                Some(Ok(signal)) => on_owner(&signal, &outside),
                _ => break,
            },
        }
    }
    outside.notifier.change(|board| board.served_by("", Instant::now()));
}

async fn next(messages: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|cx| Pin::new(&mut *messages).poll_next(cx)).await
}

/// A signal of a server; one that is malformed is none.
fn on_signal(signal: &Message, outside: &Outside) {
    let Some(server) = sender(signal) else { return };
    let header = signal.header();
    match header.member().map(|member| member.as_str()) {
        Some("ActionInvoked") => {
            let Ok((id, key)) = signal.body().deserialize::<(u32, String)>() else { return };
            outside.clicked(&Handle { server, id }, &key);
        }
        Some("NotificationClosed") => {
            // With the reason, which makes no difference.
            let Ok((id, _)) = signal.body().deserialize::<(u32, u32)>() else { return };
            outside.notifier.with(|board| board.closed(&Handle { server, id }));
        }
        _ => {}
    }
}

/// The name of the server has another owner, or none.
fn on_owner(signal: &Message, outside: &Outside) {
    // Name, old owner, new owner.
    if let Ok((_, _, owner)) = signal.body().deserialize::<(String, String, String)>() {
        outside.notifier.change(|board| board.served_by(&owner, Instant::now()));
    }
}

/// The unique name of whoever sent a message.
fn sender(message: &Message) -> Option<String> {
    message.header().sender().map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_shown_as_text() {
        assert_eq!(escaped("<b>x</b>\n&amp; \"'"), "&lt;b&gt;x&lt;/b&gt;\n&amp;amp; &quot;&apos;");
    }
}
