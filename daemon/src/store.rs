//! The daemon's durable state: one SQLite database (WAL) behind one thread, so that nothing else ever
//! waits for the disk.

mod contacts;
mod deliveries;
mod plan;
mod transfers;

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::crash;

pub(crate) use self::contacts::Contact;
pub(crate) use self::deliveries::{Delivery, Journal, Known};
pub(crate) use self::plan::{Agreed, Ended, Incoming, Outgoing, Plan};
pub(crate) use self::transfers::{RequestRecord, TransferRecord};

/// Why the state cannot be read or written.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    #[error("the state database failed")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the state database was written by a newer version of FileFleet")]
    TooNew,
    #[error("the state database's thread has ended")]
    Closed,
}

/// The schema, one step per version; a step is never changed once it was released.
const MIGRATIONS: &[&str] = &[
    include_str!("store/schema_1.sql"),
    include_str!("store/schema_2.sql"),
    include_str!("store/schema_3.sql"),
    include_str!("store/schema_4.sql"),
    include_str!("store/schema_5.sql"),
    include_str!("store/schema_6.sql"),
];

/// Jobs that may wait for the thread. Full: the one who asks waits; the event loop never asks, it
/// spawns.
const QUEUE: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle on the database's thread. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    jobs: mpsc::SyncSender<Job>,
}

/// The thread itself; joining it makes sure that everything is written.
#[derive(Debug)]
pub(crate) struct StoreThread(JoinHandle<()>);

impl Store {
    /// Opens the database and brings its schema up to date.
    pub(crate) fn open(file_path: &Path) -> Result<(Self, StoreThread), StoreError> {
        let mut connection = Connection::open(file_path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        migrate(&mut connection)?;
        let (jobs, queue) = mpsc::sync_channel::<Job>(QUEUE);
        let thread = std::thread::Builder::new()
            .name("ff-store".to_owned())
            .spawn(move || queue.into_iter().for_each(|job| job(&mut connection)))
            .map_err(|_| StoreError::Closed)?;
        Ok((Self { jobs }, StoreThread(thread)))
    }

    /// Runs `work` on the database's thread and waits for what it gives.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| drop(answer.send(work(connection))));
        let jobs = self.jobs.clone();
        // The queue is long; where it is full, waiting belongs on a blocking thread.
        if let Err(mpsc::TrySendError::Full(job)) = jobs.try_send(job) {
            let sent = tokio::task::spawn_blocking(move || jobs.send(job)).await;
            sent.map_err(|_| StoreError::Closed)?.map_err(|_| StoreError::Closed)?;
        }
        Ok(answered.await.map_err(|_| StoreError::Closed)??)
    }

    /// [`call`](Self::call) for a thread that may block, and must not run tasks.
    fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |connection| {
            crash::point();
            let done = work(connection);
            crash::point();
            drop(answer.send(done));
        });
        self.jobs.send(job).map_err(|_| StoreError::Closed)?;
        Ok(answered.recv().map_err(|_| StoreError::Closed)??)
    }
}

impl StoreThread {
    /// Waits until everything is written; the last [`Store`] must be dropped before.
    pub(crate) fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the state database's thread ended badly");
        }
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let steps = MIGRATIONS.get(version..).ok_or(StoreError::TooNew)?;
    for (done, step) in steps.iter().enumerate() {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version + done + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing {
    #![allow(clippy::unwrap_used)]

    use super::*;

    pub(crate) fn open(dir: &Path) -> (Store, StoreThread) {
        Store::open(&dir.join("state.db")).unwrap()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_newer_schema_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (store, thread) = testing::open(dir.path());
        store.call(|c| c.pragma_update(None, "user_version", 99)).await.unwrap();
        drop(store);
        thread.join();
        let again = Store::open(&dir.path().join("state.db"));
        assert!(matches!(again, Err(StoreError::TooNew)));
    }
}
