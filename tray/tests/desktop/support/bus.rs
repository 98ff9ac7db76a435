//! The session bus of a test's desktop: calls, properties, and waiting for a signal.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zbus::blocking::{Connection, MessageIterator, connection};
use zbus::zvariant::{DynamicDeserialize, DynamicType, OwnedValue};
use zbus::{MatchRule, message};

use super::PATIENCE;

pub(crate) struct Bus {
    connection: Connection,
    /// One for each signal on the bus, whoever sent it.
    signals: Mutex<Receiver<()>>,
}

impl Bus {
    pub(crate) fn connect(address: &str) -> Self {
        let connection = connection::Builder::address(address).unwrap().build().unwrap();
        let every = MatchRule::builder().msg_type(message::Type::Signal).build();
        let seen = MessageIterator::for_match_rule(every, &connection, Some(1024)).unwrap();
        let (sender, signals) = mpsc::channel();
        // Ends with the bus, or with the test.
        std::thread::spawn(move || seen.map_while(Result::ok).all(|_| sender.send(()).is_ok()));
        Self { connection, signals: Mutex::new(signals) }
    }

    /// Looks now and after every signal on the bus, until what is looked for is there.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        self.until_within(PATIENCE, what, look)
    }

    /// The same, when the product promises a time.
    #[track_caller]
    pub(crate) fn until_within<T>(
        &self,
        time: Duration,
        what: &str,
        mut look: impl FnMut() -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + time;
        let signals = self.signals();
        loop {
            signals.try_iter().for_each(drop);
            if let Some(found) = look() {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if signals.recv_timeout(left).is_err() {
                panic!("no {what} in {time:?}");
            }
        }
    }

    fn signals(&self) -> MutexGuard<'_, Receiver<()>> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        let bus = "org.freedesktop.DBus";
        self.call(bus, "/org/freedesktop/DBus", bus, "NameHasOwner", &(name,)).unwrap()
    }

    /// Calls a method; what it answers.
    pub(crate) fn call<A, R>(
        &self,
        to: &str,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &A,
    ) -> zbus::Result<R>
    where
        A: serde::Serialize + DynamicType,
        R: for<'d> DynamicDeserialize<'d>,
    {
        let answer =
            self.connection.call_method(Some(to), path, Some(interface), method, arguments)?;
        answer.body().deserialize()
    }

    /// Reads a property; `None` if its owner is gone.
    pub(crate) fn property(
        &self,
        of: &str,
        path: &str,
        interface: &str,
        name: &str,
    ) -> Option<OwnedValue> {
        let properties = "org.freedesktop.DBus.Properties";
        self.call(of, path, properties, "Get", &(interface, name)).ok()
    }
}
