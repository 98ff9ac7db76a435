//! Who claimed which name, durably: SQLite behind one thread.
//!
//! Jobs that wait together are committed together, so that many clients coming back at once cost
//! few syncs. A reply is given only after the commit.

use std::{net::SocketAddr, path::Path, thread};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::protos::{certificate::IdentityKey, name::Name};

const DATABASE_FILE: &str = "server.sqlite";
/// Jobs waiting for the thread; who brings more waits.
const JOB_CAPACITY: usize = 1024;
/// Jobs committed together.
const BATCH: usize = 256;
/// How long another process (`filefleet-server names`) may hold the database.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS claims (
        name TEXT PRIMARY KEY,
        identity BLOB NOT NULL,
        claimed_at INTEGER NOT NULL DEFAULT (unixepoch())
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS addresses (
        name TEXT PRIMARY KEY REFERENCES claims ON DELETE CASCADE,
        address TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Why the store does not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database said no; the log of a running server says what.
    #[error("the database of names failed")]
    Database(#[from] rusqlite::Error),
    /// The thread has ended, or the batch of this job failed.
    #[error("the database of names is not available")]
    Unavailable,
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// The name is this identity's, from now on or since long.
    Held,
    /// The name is another identity's.
    Taken,
    /// There are as many names as allowed.
    Full,
}

enum Job {
    Claim { name: Name, identity: IdentityKey, reply: oneshot::Sender<Claimed> },
    Holder { name: Name, reply: oneshot::Sender<Option<IdentityKey>> },
    Address { name: Name, address: Option<SocketAddr> },
}

/// A job done, to be told once it is committed.
enum Done {
    Claim(oneshot::Sender<Claimed>, Claimed),
    Holder(oneshot::Sender<Option<IdentityKey>>, Option<IdentityKey>),
    Address,
}

/// Handle of the thread that owns the database.
#[derive(Debug)]
pub(super) struct Store {
    jobs: mpsc::Sender<Job>,
    thread: thread::JoinHandle<()>,
}

impl Store {
    /// Opens the database, or makes it. Also hands out where each name was last registered from.
    pub(super) fn open(
        data_dir: &Path,
        max_names: u64,
    ) -> Result<(Self, Vec<SocketAddr>), StoreError> {
        let mut database = open_database(data_dir)?;
        let addresses = addresses(&database)?;
        let (jobs, mut inbox) = mpsc::channel(JOB_CAPACITY);
        let thread = thread::spawn(move || {
            let mut batch = Vec::with_capacity(BATCH);
            while inbox.blocking_recv_many(&mut batch, BATCH) > 0 {
                if let Err(error) = commit(&mut database, batch.drain(..), max_names) {
                    error!(%error, "names cannot be stored");
                }
            }
        });
        Ok((Self { jobs, thread }, addresses))
    }

    /// Claims a name for an identity, first come.
    pub(super) async fn claim(
        &self,
        name: Name,
        identity: IdentityKey,
    ) -> Result<Claimed, StoreError> {
        self.ask(|reply| Job::Claim { name, identity, reply }).await
    }

    /// Who claimed a name.
    pub(super) async fn holder(&self, name: Name) -> Result<Option<IdentityKey>, StoreError> {
        self.ask(|reply| Job::Holder { name, reply }).await
    }

    /// Remembers where a name is registered from, or that it no longer is.
    pub(super) async fn set_address(&self, name: Name, address: Option<SocketAddr>) {
        // If the thread is gone the log said so; a lost address delays one client by seconds.
        let _ = self.jobs.send(Job::Address { name, address }).await;
    }

    /// Waits until everything is committed.
    pub(super) fn close(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            error!("the database thread panicked");
        }
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| StoreError::Unavailable)?;
        answer.await.map_err(|_| StoreError::Unavailable)
    }
}

/// Every name with its holder, in order.
pub(super) fn list(data_dir: &Path) -> Result<Vec<(String, IdentityKey)>, StoreError> {
    let database = open_database(data_dir)?;
    let mut statement = database.prepare("SELECT name, identity FROM claims ORDER BY name")?;
    let rows =
        statement.query_map([], |row| Ok((row.get(0)?, IdentityKey::from_bytes(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Gives a name up; whether anybody had it.
pub(super) fn remove(data_dir: &Path, name: &Name) -> Result<bool, StoreError> {
    let database = open_database(data_dir)?;
    Ok(database.execute("DELETE FROM claims WHERE name = ?1", [name.as_str()])? > 0)
}

fn open_database(data_dir: &Path) -> Result<Connection, StoreError> {
    let database = Connection::open(data_dir.join(DATABASE_FILE))?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    // A claim that was confirmed must survive a power loss.
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "foreign_keys", true)?;
    database.execute_batch(SCHEMA)?;
    Ok(database)
}

fn addresses(database: &Connection) -> Result<Vec<SocketAddr>, StoreError> {
    let mut statement = database.prepare("SELECT address FROM addresses")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    Ok(rows.filter_map(|text| text.ok()?.parse().ok()).collect())
}

fn commit(
    database: &mut Connection,
    jobs: impl Iterator<Item = Job>,
    max_names: u64,
) -> Result<(), rusqlite::Error> {
    let transaction = database.transaction()?;
    let done: Vec<_> =
        jobs.map(|job| perform(&transaction, job, max_names)).collect::<Result<_, _>>()?;
    transaction.commit()?;
    for done in done {
        // Whoever asked may have given up.
        match done {
            Done::Claim(reply, claimed) => drop(reply.send(claimed)),
            Done::Holder(reply, holder) => drop(reply.send(holder)),
            Done::Address => {}
        }
    }
    Ok(())
}

fn perform(
    transaction: &Transaction<'_>,
    job: Job,
    max_names: u64,
) -> Result<Done, rusqlite::Error> {
    Ok(match job {
        Job::Claim { name, identity, reply } => {
            Done::Claim(reply, claim(transaction, &name, identity, max_names)?)
        }
        Job::Holder { name, reply } => Done::Holder(reply, holder(transaction, &name)?),
        Job::Address { name, address: Some(address) } => {
            // Nothing happens if the name was removed meanwhile.
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO addresses SELECT name, ?2 FROM claims WHERE name = ?1",
                )?
                .execute(params![name.as_str(), address.to_string()])?;
            Done::Address
        }
        Job::Address { name, address: None } => {
            transaction
                .prepare_cached("DELETE FROM addresses WHERE name = ?1")?
                .execute([name.as_str()])?;
            Done::Address
        }
    })
}

fn claim(
    transaction: &Transaction<'_>,
    name: &Name,
    identity: IdentityKey,
    max_names: u64,
) -> Result<Claimed, rusqlite::Error> {
    match holder(transaction, name)? {
        Some(holder) if holder == identity => return Ok(Claimed::Held),
        Some(_) => return Ok(Claimed::Taken),
        None => {}
    }
    let names: u64 = transaction.query_row("SELECT count(*) FROM claims", [], |row| row.get(0))?;
    if names >= max_names {
        return Ok(Claimed::Full);
    }
    transaction
        .prepare_cached("INSERT INTO claims (name, identity) VALUES (?1, ?2)")?
        .execute(params![name.as_str(), identity.as_bytes()])?;
    Ok(Claimed::Held)
}

fn holder(
    transaction: &Transaction<'_>,
    name: &Name,
) -> Result<Option<IdentityKey>, rusqlite::Error> {
    transaction
        .prepare_cached("SELECT identity FROM claims WHERE name = ?1")?
        .query_row([name.as_str()], |row| Ok(IdentityKey::from_bytes(row.get(0)?)))
        .optional()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn the_first_to_claim_a_name_keeps_it_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let (alice, mallory) = (IdentityKey::from_bytes([1; 32]), IdentityKey::from_bytes([2; 32]));
        for _ in 0..2 {
            let (store, _) = Store::open(dir.path(), 10).unwrap();
            assert_eq!(store.claim(name("alice"), alice).await.unwrap(), Claimed::Held);
            assert_eq!(store.claim(name("alice"), mallory).await.unwrap(), Claimed::Taken);
            assert_eq!(store.holder(name("alice")).await.unwrap(), Some(alice));
            assert_eq!(store.holder(name("bob")).await.unwrap(), None);
            store.close();
        }
    }

    #[tokio::test]
    async fn a_removed_name_is_free_again() {
        let dir = tempfile::tempdir().unwrap();
        let (alice, bob) = (IdentityKey::from_bytes([1; 32]), IdentityKey::from_bytes([2; 32]));
        let (store, _) = Store::open(dir.path(), 10).unwrap();
        store.claim(name("alice"), alice).await.unwrap();
        assert_eq!(list(dir.path()).unwrap(), [("alice".to_owned(), alice)]);
        assert!(remove(dir.path(), &name("alice")).unwrap());
        assert!(!remove(dir.path(), &name("alice")).unwrap());
        assert_eq!(store.claim(name("alice"), bob).await.unwrap(), Claimed::Held);
    }

    #[tokio::test]
    async fn there_are_no_more_names_than_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let alice = IdentityKey::from_bytes([1; 32]);
        let (store, _) = Store::open(dir.path(), 1).unwrap();
        assert_eq!(store.claim(name("a"), alice).await.unwrap(), Claimed::Held);
        assert_eq!(store.claim(name("b"), alice).await.unwrap(), Claimed::Full);
        assert_eq!(store.claim(name("a"), alice).await.unwrap(), Claimed::Held);
    }

    #[tokio::test]
    async fn the_last_addresses_of_claimed_names_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let (store, addresses) = Store::open(dir.path(), 10).unwrap();
        assert_eq!(addresses, []);
        for (text, port) in [("a", 1), ("b", 2)] {
            store.claim(name(text), IdentityKey::from_bytes([1; 32])).await.unwrap();
            store.set_address(name(text), Some(address(port))).await;
        }
        store.set_address(name("nobody"), Some(address(9))).await;
        store.set_address(name("a"), Some(address(3))).await;
        store.set_address(name("b"), None).await;
        store.close();
        assert_eq!(Store::open(dir.path(), 10).unwrap().1, [address(3)]);
    }
}
