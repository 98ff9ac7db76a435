//! Transfers and waiting requests: what is shown of them, and what they need to go on after a restart.

use filefleet_ctl::proto::{EntryView, LossView, RequestView, TransferView, WirePath};
use filefleet_server::protos::certificate::IdentityKey;
use rusqlite::{OptionalExtension, Row, params};

use super::{Incoming, Outgoing, Plan, Store, StoreError};
use crate::transfer::TransferId;

/// How long the outcome of a transfer is remembered, so that a repeated request is answered.
const KEEP_SECONDS: u64 = 90 * 24 * 3_600;

/// A transfer as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TransferRecord {
    pub(crate) id: TransferId,
    pub(crate) identity: Option<IdentityKey>,
    /// Whether it has ended.
    pub(crate) is_final: bool,
    /// Last change, in seconds since 1970.
    pub(crate) at: u64,
    pub(crate) view: TransferView,
    pub(crate) plan: Plan,
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
            connection.execute(
                "INSERT OR REPLACE INTO transfers (id, incoming, identity, final, at, view, plan)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    record.id.0,
                    record.plan.is_incoming(),
                    record.identity.map(|key| *key.as_bytes()),
                    record.is_final,
                    i64::try_from(record.at).unwrap_or(i64::MAX),
                    json(&record.view),
                    json(&record.plan),
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

    /// Notes, durably, that all of an incoming transfer has arrived: before its sender hears so, who
    /// does not come back once it has.
    pub(crate) async fn note_received(
        &self,
        id: TransferId,
        files: u64,
        bytes: u64,
        losses: Vec<LossView>,
    ) -> Result<(), StoreError> {
        let [files, bytes] = [files, bytes].map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        self.call(move |connection| {
            connection.execute(
                "UPDATE transfers
                 SET final = 1,
                     view = json_set(view, '$.state', 'done', '$.rate', 0, '$.detail', NULL,
                                     '$.files_done', ?2, '$.bytes_done', ?3,
                                     '$.losses', json(?4))
                 WHERE id = ?1 AND incoming = 1",
                params![id.0, files, bytes, json(&losses)],
            )
        })
        .await
        .map(drop)
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

    /// The newest transfers as lists show them, newest first.
    pub(crate) async fn brief_views(&self, limit: u32) -> Result<Vec<TransferView>, StoreError> {
        self.call(move |connection| {
            let sql = format!("{SELECT} ORDER BY at DESC LIMIT ?1");
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map([limit], read)?;
            Ok(rows.filter_map(|row| row.ok().flatten()).map(|it| it.view.brief()).collect())
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

const SELECT: &str = "SELECT id, incoming, identity, final, at, view, sources, plan FROM transfers";

fn read(row: &Row<'_>) -> rusqlite::Result<Option<TransferRecord>> {
    let view: String = row.get(5)?;
    let identity: Option<[u8; 32]> = row.get(2)?;
    let at: i64 = row.get(4)?;
    let Ok(view) = serde_json::from_str(&view) else { return Ok(None) };
    Ok(Some(TransferRecord {
        id: TransferId(row.get(0)?),
        identity: identity.map(IdentityKey::from_bytes),
        is_final: row.get(3)?,
        at: u64::try_from(at).unwrap_or(0),
        view,
        plan: read_plan(row)?,
    }))
}

/// The plan of a transfer; one that the first version wrote has its sources in a column of its own.
fn read_plan(row: &Row<'_>) -> rusqlite::Result<Plan> {
    let (incoming, sources, plan): (bool, String, String) = (row.get(1)?, row.get(6)?, row.get(7)?);
    Ok(serde_json::from_str(&plan).unwrap_or_else(|_| match incoming {
        true => Plan::Incoming(Incoming::default()),
        false => {
            let sources: Vec<WirePath> = serde_json::from_str(&sources).unwrap_or_default();
            Plan::Outgoing(Outgoing { sources, queue: true, ..Outgoing::default() })
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use filefleet_ctl::proto::{LossKind, SendOptions, TransferState};

    use super::super::testing;
    use super::*;
    use crate::store::{Agreed, Ended};

    fn record(plan: Plan) -> TransferRecord {
        let view = filefleet_ctl::proto::TransferView {
            id: "01".repeat(16),
            ..serde_json::from_str(VIEW).unwrap()
        };
        TransferRecord {
            id: TransferId([1; 16]),
            identity: Some(IdentityKey::from_bytes([7; 32])),
            is_final: false,
            at: 5,
            view,
            plan,
        }
    }

    /// As the first version wrote it.
    const VIEW: &str = r#"{"id":"","direction":"outgoing","peer":"bob","state":"waiting",
        "label":"a","files":1,"files_done":0,"bytes":3,"bytes_done":0,"total_known":true,"rate":0,
        "link":null,"links":{},"seconds":0.0,"started_at":1,"detail":null,"error":null,
        "failures":[],"dest":null}"#;

    #[tokio::test]
    async fn plans_of_both_directions_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _thread) = testing::open(dir.path());
        let ended = Some(Ended { reason: 4, text: "full".to_owned() });
        let plans = [
            Plan::Outgoing(Outgoing {
                number: 9,
                sources: vec![Path::new("/a b").into()],
                options: SendOptions {
                    exclude: vec!["*.o".to_owned()],
                    limit: Some(7),
                    checksum: true,
                    update: true,
                    xattrs: true,
                },
                spooled: true,
                text: Some("hi".to_owned()),
                queue: true,
                asked: true,
                accepted: false,
                untold: true,
                ended: ended.clone(),
            }),
            Plan::Incoming(Incoming {
                make_dir: true,
                max_bytes: Some(u64::MAX),
                agreed: Some(Agreed { files: 1, bytes: 2 }),
                update: true,
                ended,
            }),
        ];
        for plan in plans {
            let record = record(plan);
            store.put_transfer(record.clone()).await.unwrap();
            assert_eq!(store.transfer(record.id).await.unwrap(), Some(record));
        }
    }

    #[tokio::test]
    async fn what_has_arrived_is_done_and_what_is_sent_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _thread) = testing::open(dir.path());
        let outgoing = Plan::Outgoing(Outgoing::default());
        for (plan, is_done) in [(Plan::Incoming(Incoming::default()), true), (outgoing, false)] {
            let record = record(plan);
            store.put_transfer(record.clone()).await.unwrap();
            let losses = vec![LossView { kind: LossKind::Holes, count: 4, examples: Vec::new() }];
            store.note_received(record.id, 2, 3, losses.clone()).await.unwrap();
            let read = store.transfer(record.id).await.unwrap().unwrap();
            assert_eq!(read.is_final, is_done);
            assert_eq!(read.view.state == TransferState::Done, is_done);
            assert_eq!((read.view.files_done, read.view.bytes_done) == (2, 3), is_done);
            assert_eq!(read.view.losses == losses, is_done);
        }
    }

    #[tokio::test]
    async fn a_transfer_of_the_first_version_still_has_its_sources() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _thread) = testing::open(dir.path());
        let record = record(Plan::Incoming(Incoming::default()));
        store.put_transfer(record.clone()).await.unwrap();
        let old = "UPDATE transfers SET incoming = 0, plan = '{}', sources = '[\"/a\"]'";
        store.call(|connection| connection.execute(old, [])).await.unwrap();
        let read = store.transfer(record.id).await.unwrap().unwrap();
        let plan = read.plan.outgoing().unwrap();
        assert_eq!(plan.sources(), [Path::new("/a")]);
        assert!(plan.queue && !plan.accepted);
    }
}
