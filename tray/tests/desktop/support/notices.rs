//! A notification server of the test's own, which shows nothing and tells what it is asked to show;
//! and a file manager of the same kind. The tests that look at the screen use a real server.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use zbus::blocking::{Connection, connection};
use zbus::zvariant::OwnedValue;

use super::{Desktop, PATIENCE};

const SERVER: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// What a program wants to be shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    pub(crate) id: u32,
    pub(crate) summary: String,
    pub(crate) body: String,
    /// Keys and labels.
    pub(crate) buttons: Vec<(String, String)>,
}

impl Notice {
    /// The key of the button with this label.
    #[track_caller]
    pub(crate) fn key(&self, label: &str) -> &str {
        let found = self.buttons.iter().find(|(_, shown)| shown == label);
        &found.unwrap_or_else(|| panic!("no {label:?} in {self:?}")).0
    }
}

/// What is changed by calls from the bus, and waited for.
#[derive(Default)]
struct Told<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Told<T> {
    fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds what it looks for.
    #[track_caller]
    fn until<R>(&self, what: &str, mut look: impl FnMut(&mut T) -> Option<R>) -> R {
        let mut found = None;
        let waits = |value: &mut T| {
            found = look(value);
            found.is_none()
        };
        drop(self.changed.wait_timeout_while(self.lock(), PATIENCE, waits));
        found.unwrap_or_else(|| panic!("no {what} in {PATIENCE:?}"))
    }
}

#[derive(Default)]
struct Shown {
    last_id: u32,
    notices: Vec<Notice>,
}

/// One instance of the server; the next one counts from 1 again.
pub(crate) struct Notices<'a> {
    desktop: &'a Desktop,
    connection: Connection,
    shown: Arc<Told<Shown>>,
}

struct Service(Arc<Told<Shown>>);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Service {
    fn get_capabilities(&self) -> Vec<String> {
        ["actions", "body", "body-markup"].map(str::to_owned).to_vec()
    }

    #[expect(clippy::too_many_arguments, reason = "the specification has them")]
    fn notify(
        &mut self,
        _app: String,
        replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        buttons: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _time: i32,
    ) -> u32 {
        let (buttons, _) = buttons.as_chunks::<2>();
        let buttons = buttons.iter().map(|[key, label]| (key.clone(), label.clone())).collect();
        self.0.change(|shown| {
            shown.last_id += 1;
            let id = if replaces == 0 { shown.last_id } else { replaces };
            shown.notices.retain(|notice| notice.id != id);
            shown.notices.push(Notice { id, summary, body, buttons });
            id
        })
    }

    fn close_notification(&mut self, id: u32) {
        self.0.change(|shown| shown.notices.retain(|notice| notice.id != id));
    }
}

impl<'a> Notices<'a> {
    /// Starts a server, where no other has its name.
    #[track_caller]
    pub(crate) fn start(desktop: &'a Desktop) -> Self {
        let shown = Arc::default();
        let builder = connection::Builder::address(desktop.address()).unwrap();
        let builder = builder.serve_at(PATH, Service(Arc::clone(&shown))).unwrap();
        let connection = builder.name(SERVER).unwrap().build().unwrap();
        Self { desktop, connection, shown }
    }

    /// Ends it as a crash does, with all that it showed, and waits until the bus knows.
    pub(crate) fn end(self) {
        self.connection.close().unwrap();
        let bus = self.desktop.bus();
        bus.until("the server's end", || (!bus.has(SERVER)).then_some(()));
    }

    /// Waits until `look` finds what it looks for among what is shown.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, look: impl Fn(&[Notice]) -> Option<T>) -> T {
        self.shown.until(what, |shown| look(&shown.notices))
    }

    /// Waits for a notification with this beginning.
    #[track_caller]
    pub(crate) fn notice(&self, beginning: &str) -> Notice {
        let begins = |notice: &&Notice| notice.summary.starts_with(beginning);
        self.until(beginning, |notices| notices.iter().find(begins).cloned())
    }

    /// Waits until nothing is shown.
    #[track_caller]
    pub(crate) fn empty(&self) {
        self.until("an empty screen", |notices| notices.is_empty().then_some(()));
    }

    /// Tells the program that a button was clicked, and no more: a real one closes the notification.
    pub(crate) fn say_clicked(&self, id: u32, key: &str) {
        self.signal("ActionInvoked", &(id, key));
    }

    /// Clicks a button, as a person does.
    #[track_caller]
    pub(crate) fn click(&self, notice: &Notice, label: &str) {
        self.say_clicked(notice.id, notice.key(label));
        self.close(notice);
    }

    /// Closes a notification, as a person does.
    pub(crate) fn close(&self, notice: &Notice) {
        self.shown.change(|shown| shown.notices.retain(|it| it.id != notice.id));
        self.signal("NotificationClosed", &(notice.id, 2_u32));
    }

    fn signal<A>(&self, name: &str, arguments: &A)
    where
        A: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.connection.emit_signal(None::<&str>, PATH, SERVER, name, arguments).unwrap();
    }
}

/// A file manager that tells what it was asked to show.
pub(crate) struct FileManager {
    _connection: Connection,
    shown: Arc<Told<Vec<String>>>,
}

struct Folders(Arc<Told<Vec<String>>>);

#[zbus::interface(name = "org.freedesktop.FileManager1")]
impl Folders {
    fn show_items(&mut self, uris: Vec<String>, _startup: String) {
        self.0.change(|shown| shown.extend(uris));
    }
}

impl FileManager {
    #[track_caller]
    pub(crate) fn start(desktop: &Desktop) -> Self {
        let shown = Arc::default();
        let builder = connection::Builder::address(desktop.address()).unwrap();
        let path = "/org/freedesktop/FileManager1";
        let builder = builder.serve_at(path, Folders(Arc::clone(&shown))).unwrap();
        let connection = builder.name("org.freedesktop.FileManager1").unwrap().build().unwrap();
        Self { _connection: connection, shown }
    }

    /// Waits for the next.
    #[track_caller]
    pub(crate) fn next(&self) -> String {
        self.shown.until("file in the file manager", Vec::pop)
    }
}
