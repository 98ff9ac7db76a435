//! Transfers and waiting requests: what is shown of them, and what they need to go on after a restart.

use std::path::PathBuf;

use filefleet_ctl::proto::{EntryView, RequestView, TransferView, WirePath};
use filefleet_server::protos::certificate::IdentityKey;
use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError};
use crate::transfer::TransferId;

/// How long the outcome of a transfer is remembered, so that a repeated request is answered.
const KEEP_SECONDS: u64 = 90 * 24 * 3_600;

/// A transfer as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TransferRecord {
    pub(crate) id: TransferId,
    pub(crate) incoming: bool,
    pub(crate) identity: Option<IdentityKey>,
    /// Whether it has ended.
    pub(crate) is_final: bool,
    /// Last change, in seconds since 1970.
    pub(crate) at: u64,
    pub(crate) view: TransferView,
    pub(crate) sources: Vec<PathBuf>,
}

/// A request that waits for a person.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RequestRecord {
    pub(crate) id: TransferId,
    pub(crate) identity: IdentityKey,
    pub(crate) name: String,
    pub(crate) view: RequestView,
    /// The preview that came with the request.
    pub(crate) entries: Vec<EntryView>,
}

impl Store {
    /// Writes a transfer in the place of what was known of it.
    pub(crate) async fn put_transfer(&self, record: TransferRecord) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sources: Vec<_> = record.sources.into_iter().map(WirePath::from).collect();
            connection.execute(
                "INSERT OR REPLACE INTO transfers (id, incoming, identity, final, at, view, sources)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    record.id.0,
                    record.incoming,
                    record.identity.map(|key| *key.as_bytes()),
                    record.is_final,
                    i64::try_from(record.at).unwrap_or(i64::MAX),
                    json(&record.view),
                    json(&sources),
                ],
            )
        })
        .await
        .map(drop)
    }

    /// One transfer.
    pub(crate) async fn transfer(
        &self,
        id: TransferId,
    ) -> Result<Option<TransferRecord>, StoreError> {
        self.call(move |connection| {
            let sql = format!("{SELECT} WHERE id = ?1");
            Ok(connection.query_row(&sql, [id.0], read).optional()?.flatten())
        })
        .await
    }

    /// The newest transfers, newest first; with `open_only`, those that have not ended.
    pub(crate) async fn transfers(
        &self,
        open_only: bool,
        limit: u32,
    ) -> Result<Vec<TransferRecord>, StoreError> {
        self.call(move |connection| {
            let sql = format!("{SELECT} WHERE final = 0 OR ?1 = 0 ORDER BY at DESC LIMIT ?2");
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(params![open_only, limit], read)?;
            Ok(rows.filter_map(|row| row.ok().flatten()).collect())
        })
        .await
    }

    /// Forgets transfers that ended too long ago to matter.
    pub(crate) async fn forget_old_transfers(&self, now: u64) -> Result<(), StoreError> {
        let before = i64::try_from(now.saturating_sub(KEEP_SECONDS)).unwrap_or(0);
        self.call(move |connection| {
            connection.execute("DELETE FROM transfers WHERE final = 1 AND at < ?1", [before])
        })
        .await
        .map(drop)
    }

    /// Writes a waiting request.
    pub(crate) async fn put_request(&self, record: RequestRecord) -> Result<(), StoreError> {
        self.call(move |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO requests (id, identity, name, view, entries)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    record.id.0,
                    record.identity.as_bytes(),
                    record.name,
                    json(&record.view),
                    json(&record.entries),
                ],
            )
        })
        .await
        .map(drop)
    }

    /// Forgets a request: it was answered or withdrawn.
    pub(crate) async fn remove_request(&self, id: TransferId) -> Result<(), StoreError> {
        self.call(move |connection| {
            connection.execute("DELETE FROM requests WHERE id = ?1", [id.0])
        })
        .await
        .map(drop)
    }

    /// All waiting requests.
    pub(crate) async fn requests(&self) -> Result<Vec<RequestRecord>, StoreError> {
        self.call(|connection| {
            let mut statement =
                connection.prepare("SELECT id, identity, name, view, entries FROM requests")?;
            let rows = statement.query_map([], read_request)?;
            Ok(rows.filter_map(|row| row.ok().flatten()).collect())
        })
        .await
    }
}

const SELECT: &str = "SELECT id, incoming, identity, final, at, view, sources FROM transfers";

fn read(row: &Row<'_>) -> rusqlite::Result<Option<TransferRecord>> {
    let (view, sources): (String, String) = (row.get(5)?, row.get(6)?);
    let identity: Option<[u8; 32]> = row.get(2)?;
    let at: i64 = row.get(4)?;
    let (Ok(view), Ok(sources)) =
        (serde_json::from_str(&view), serde_json::from_str::<Vec<WirePath>>(&sources))
    else {
        return Ok(None);
    };
    Ok(Some(TransferRecord {
        id: TransferId(row.get(0)?),
        incoming: row.get(1)?,
        identity: identity.map(IdentityKey::from_bytes),
        is_final: row.get(3)?,
        at: u64::try_from(at).unwrap_or(0),
        view,
        sources: sources.iter().map(|path| path.as_path().to_owned()).collect(),
    }))
}

fn read_request(row: &Row<'_>) -> rusqlite::Result<Option<RequestRecord>> {
    let (view, entries): (String, String) = (row.get(3)?, row.get(4)?);
    let (Ok(view), Ok(entries)) = (serde_json::from_str(&view), serde_json::from_str(&entries))
    else {
        return Ok(None);
    };
    Ok(Some(RequestRecord {
        id: TransferId(row.get(0)?),
        identity: IdentityKey::from_bytes(row.get(1)?),
        name: row.get(2)?,
        view,
        entries,
    }))
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("our own types are JSON")
}
