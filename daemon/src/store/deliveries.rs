//! What was delivered to whom, from whom and as what: the journal by which a transfer goes on after a
//! crash, delivers everything once, and moves only what differs when something is sent again.
//!
//! A commit is one row of `batches` and one of `deliveries` per file, durable before any file has its
//! name. That the commit came to its end is noted with the next one: until then the inodes say which
//! of its files have their names.

use std::path::Path;

use filefleet_server::protos::certificate::IdentityKey;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{Store, StoreError};
use crate::transfer::TransferId;

/// How long a delivery is remembered, in seconds.
const KEEP_SECONDS: u64 = 90 * 24 * 3_600;
/// What follows on `/` in the order of bytes: all paths below a folder lie between the two.
const AFTER_SLASH: u8 = b'/' + 1;

/// One transfer's part of the journal, for the thread that writes it. Its calls block.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    store: Store,
    place: i64,
    transfer: TransferId,
}

/// A file or link that has been delivered, or is about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// As the sender calls it, in the encoding of paths.
    pub(crate) path: Vec<u8>,
    /// As it is called here, below the destination, in the same encoding.
    pub(crate) final_path: Vec<u8>,
    pub(crate) is_link: bool,
    pub(crate) size: u64,
    /// The source's modification time: seconds and nanoseconds since 1970.
    pub(crate) mtime: (i64, u32),
    /// BLAKE3 of the content, or of a link's target.
    pub(crate) hash: [u8; 32],
    /// Device and inode.
    pub(crate) id: Option<(u64, u64)>,
}

/// What is known of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) delivery: Delivery,
    /// Whether this transfer delivered it, and not one before.
    pub(crate) by_this: bool,
    /// When its commit had ended, in seconds and nanoseconds since 1970, where that was noted.
    pub(crate) ended: Option<(i64, u32)>,
}

/// What a top folder is called here, and its device and inode once it is known to have been made.
pub(crate) type Top = (Vec<u8>, Option<(u64, u64)>);

impl Store {
    /// The journal of what `identity` sends to `dest_dir` as `transfer`.
    pub(crate) fn journal(
        &self,
        identity: &IdentityKey,
        dest_dir: &Path,
        transfer: TransferId,
    ) -> Result<Journal, StoreError> {
        let identity = *identity.as_bytes();
        let dest = dest_dir.as_os_str().as_encoded_bytes().to_vec();
        let place = self.wait(move |connection| {
            connection.execute(
                "INSERT OR IGNORE INTO places (identity, dest) VALUES (?1, ?2)",
                params![identity, dest],
            )?;
            connection.query_row(
                "SELECT id FROM places WHERE identity = ?1 AND dest = ?2",
                params![identity, dest],
                |row| row.get(0),
            )
        })?;
        Ok(Journal { store: self.clone(), place, transfer })
    }

    /// Forgets what was delivered too long ago to matter.
    pub(crate) async fn forget_old_deliveries(&self, now: u64) -> Result<(), StoreError> {
        let before = signed(now.saturating_sub(KEEP_SECONDS));
        self.call(move |connection| {
            let transaction = connection.transaction()?;
            transaction.execute("DELETE FROM batches WHERE at < ?1", [before])?;
            transaction.execute(
                "DELETE FROM deliveries WHERE batch NOT IN (SELECT id FROM batches)",
                [],
            )?;
            transaction.execute("DELETE FROM losses WHERE at < ?1", [before])?;
            transaction
                .execute("DELETE FROM tops WHERE place NOT IN (SELECT place FROM batches)", [])?;
            transaction.commit()
        })
        .await
    }
}

impl Journal {
    /// Whether anything is known with which entries below these top names can be compared; with
    /// `None`, below any.
    pub(crate) fn holds(&self, tops: Option<Vec<Vec<u8>>>) -> Result<bool, StoreError> {
        let (place, transfer) = (self.place, self.transfer);
        self.store.wait(move |connection| {
            let mut resumed =
                connection.prepare("SELECT 1 FROM batches WHERE place = ?1 AND transfer = ?2")?;
            if resumed.exists(params![place, transfer.0])? {
                return Ok(true);
            }
            let Some(tops) = tops else {
                let mut any = connection.prepare("SELECT 1 FROM deliveries WHERE place = ?1")?;
                return any.exists([place]);
            };
            let mut below = connection.prepare(
                "SELECT 1 FROM deliveries
                 WHERE place = ?1 AND (path = ?2 OR (path > ?3 AND path < ?4))",
            )?;
            for top in tops {
                let (from, to) = ([&top[..], b"/"].concat(), [&top[..], &[AFTER_SLASH]].concat());
                if below.exists(params![place, top, from, to])? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// Bytes that this transfer has delivered so far.
    pub(crate) fn delivered_bytes(&self) -> Result<u64, StoreError> {
        let (place, transfer) = (self.place, self.transfer);
        let sum: i64 = self.store.wait(move |connection| {
            connection.query_row(
                "SELECT COALESCE(SUM(size), 0) FROM deliveries WHERE place = ?1
                 AND batch IN (SELECT id FROM batches WHERE place = ?1 AND transfer = ?2)",
                params![place, transfer.0],
                |row| row.get(0),
            )
        })?;
        Ok(u64::try_from(sum).unwrap_or(0))
    }

    /// Commits of this transfer that came to no end: a crash may have cut them short, or not all of
    /// their files have got their names.
    pub(crate) fn unsettled(&self) -> Result<Vec<i64>, StoreError> {
        let (place, transfer) = (self.place, self.transfer);
        self.store.wait(move |connection| {
            let mut batches = connection.prepare(
                "SELECT id FROM batches WHERE place = ?1 AND transfer = ?2 AND ended_secs IS NULL",
            )?;
            batches.query_map(params![place, transfer.0], |row| row.get(0))?.collect()
        })
    }

    /// The files of one commit.
    pub(crate) fn files_of(&self, batch: i64) -> Result<Vec<Delivery>, StoreError> {
        let place = self.place;
        self.store.wait(move |connection| {
            let mut rows =
                connection.prepare(&format!("{SELECT} WHERE d.place = ?1 AND d.batch = ?2"))?;
            rows.query_map(params![place, batch], read)?.collect()
        })
    }

    /// Ends a commit that was cut short: these of its files did not get their names.
    pub(crate) fn settle(
        &self,
        batch: i64,
        ended: (i64, u32),
        undelivered: Vec<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let place = self.place;
        self.store.wait(move |connection| {
            let transaction = connection.transaction()?;
            for path in undelivered {
                transaction.execute(
                    "DELETE FROM deliveries WHERE place = ?1 AND path = ?2 AND batch = ?3",
                    params![place, path, batch],
                )?;
            }
            note_end(&transaction, batch, ended)?;
            transaction.commit()
        })
    }

    /// Notes, durably, what is about to be given its name: as a new batch, or more of one. `before` is
    /// a batch that has come to its end meanwhile; `losses` are all that the transfer lost so far, if that
    /// is news. Gives the batch's number.
    pub(crate) fn intend(
        &self,
        batch: Option<i64>,
        deliveries: Vec<Delivery>,
        before: Option<(i64, (i64, u32))>,
        losses: Option<Vec<u8>>,
        now: u64,
    ) -> Result<i64, StoreError> {
        let (place, transfer) = (self.place, self.transfer);
        self.store.wait(move |connection| {
            let transaction = connection.transaction()?;
            if let Some((before, ended)) = before {
                note_end(&transaction, before, ended)?;
            }
            if let Some(losses) = losses {
                put_losses(&transaction, place, transfer, &losses, now)?;
            }
            let batch = match batch {
                Some(batch) => batch,
                None => new_batch(&transaction, place, transfer, now)?,
            };
            put_all(&transaction, place, batch, &deliveries)?;
            transaction.commit()?;
            Ok(batch)
        })
    }

    /// Notes that a batch has come to its end; not needed for anything but speed.
    pub(crate) fn end(&self, batch: i64, ended: (i64, u32)) -> Result<(), StoreError> {
        self.store.wait(move |connection| {
            let transaction = connection.transaction()?;
            note_end(&transaction, batch, ended)?;
            transaction.commit()
        })
    }

    /// What the transfer lost so far, if anything.
    pub(crate) fn losses(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let (place, transfer) = (self.place, self.transfer);
        self.store.wait(move |connection| {
            let sql = "SELECT losses FROM losses WHERE place = ?1 AND transfer = ?2";
            connection.query_row(sql, params![place, transfer.0], |row| row.get(0)).optional()
        })
    }

    /// Notes, durably, all that the transfer lost so far.
    pub(crate) fn note_losses(&self, losses: Vec<u8>, now: u64) -> Result<(), StoreError> {
        let (place, transfer) = (self.place, self.transfer);
        self.store.wait(move |connection| put_losses(connection, place, transfer, &losses, now))
    }

    /// What is known of each of these paths: of this transfer's deliveries, else of the last.
    pub(crate) fn look_up(&self, paths: Vec<Vec<u8>>) -> Result<Vec<Option<Known>>, StoreError> {
        let (place, transfer) = (self.place, self.transfer);
        self.store.wait(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT d.path, d.final, d.kind, d.size, d.secs, d.nanos, d.hash, d.device, d.inode,
                        b.transfer = ?3, b.ended_secs, b.ended_nanos
                 FROM deliveries d JOIN batches b ON b.id = d.batch
                 WHERE d.place = ?1 AND d.path = ?2
                 ORDER BY b.transfer = ?3 DESC, d.batch DESC LIMIT 1",
            )?;
            paths
                .into_iter()
                .map(|path| {
                    statement.query_row(params![place, path, transfer.0], read_known).optional()
                })
                .collect()
        })
    }

    /// What a top folder was called here before.
    pub(crate) fn top(&self, top: &[u8]) -> Result<Option<Top>, StoreError> {
        let (place, top) = (self.place, top.to_vec());
        self.store.wait(move |connection| {
            let read = |row: &Row<'_>| Ok((row.get(0)?, id_of(row.get(1)?, row.get(2)?)));
            let sql = "SELECT name, device, inode FROM tops WHERE place = ?1 AND top = ?2";
            connection.query_row(sql, params![place, top], read).optional()
        })
    }

    /// Notes, durably, what a top folder is going to be called, or that it has been made.
    pub(crate) fn put_top(&self, top: &[u8], (name, id): Top) -> Result<(), StoreError> {
        let (place, top) = (self.place, top.to_vec());
        self.store.wait(move |connection| {
            let (device, inode) = id.map(|(device, inode)| (bits(device), bits(inode))).unzip();
            connection.execute(
                "INSERT OR REPLACE INTO tops (place, top, name, device, inode)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![place, top, name, device, inode],
            )
        })?;
        Ok(())
    }
}

const SELECT: &str = "SELECT d.path, d.final, d.kind, d.size, d.secs, d.nanos, d.hash, d.device,
    d.inode FROM deliveries d";

fn new_batch(
    transaction: &Transaction<'_>,
    place: i64,
    transfer: TransferId,
    now: u64,
) -> rusqlite::Result<i64> {
    transaction.execute(
        "INSERT INTO batches (place, transfer, at) VALUES (?1, ?2, ?3)",
        params![place, transfer.0, signed(now)],
    )?;
    Ok(transaction.last_insert_rowid())
}

fn put_all(
    connection: &Connection,
    place: i64,
    batch: i64,
    deliveries: &[Delivery],
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO deliveries
         (place, path, batch, final, kind, size, secs, nanos, hash, device, inode)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for delivery in deliveries {
        let (secs, nanos) = delivery.mtime;
        let (device, inode) = delivery.id.map(|(d, i)| (bits(d), bits(i))).unzip();
        statement.execute(params![
            place,
            delivery.path,
            batch,
            delivery.final_path,
            delivery.is_link,
            signed(delivery.size),
            secs,
            nanos,
            delivery.hash,
            device,
            inode,
        ])?;
    }
    Ok(())
}

fn put_losses(
    connection: &Connection,
    place: i64,
    transfer: TransferId,
    losses: &[u8],
    now: u64,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO losses (place, transfer, at, losses) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(sql, params![place, transfer.0, signed(now), losses]).map(drop)
}

fn note_end(
    connection: &Connection,
    batch: i64,
    (secs, nanos): (i64, u32),
) -> rusqlite::Result<()> {
    let sql = "UPDATE batches SET ended_secs = ?2, ended_nanos = ?3 WHERE id = ?1";
    connection.execute(sql, params![batch, secs, nanos]).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let size: i64 = row.get(3)?;
    Ok(Delivery {
        path: row.get(0)?,
        final_path: row.get(1)?,
        is_link: row.get(2)?,
        size: u64::try_from(size).unwrap_or(0),
        mtime: (row.get(4)?, row.get(5)?),
        hash: row.get(6)?,
        id: id_of(row.get(7)?, row.get(8)?),
    })
}

fn read_known(row: &Row<'_>) -> rusqlite::Result<Known> {
    let (secs, nanos): (Option<i64>, Option<u32>) = (row.get(10)?, row.get(11)?);
    Ok(Known { delivery: read(row)?, by_this: row.get(9)?, ended: secs.zip(nanos) })
}

fn id_of(device: Option<i64>, inode: Option<i64>) -> Option<(u64, u64)> {
    device.zip(inode).map(|(device, inode)| (device.cast_unsigned(), inode.cast_unsigned()))
}

/// SQLite's integers are signed; all 64 bits of a device's or inode's number matter.
fn bits(number: u64) -> i64 {
    number.cast_signed()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
