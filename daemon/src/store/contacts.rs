//! Contacts: who is pinned, and what they may do.

use std::path::PathBuf;

use filefleet_ctl::proto::{Accept, WirePath};
use filefleet_server::protos::certificate::{DeviceCertificate, IdentityKey};
use filefleet_server::protos::name::Name;
use rusqlite::{Row, params};

use super::{Store, StoreError};

/// A person whose identity is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) name: Name,
    pub(crate) identity: IdentityKey,
    /// Whether the user compared the safety phrase, or added the person by an invite link.
    pub(crate) verified: bool,
    pub(crate) accept: Accept,
    pub(crate) dest_dir: Option<PathBuf>,
    pub(crate) max_bytes: Option<u64>,
    /// Whether what this person sent before may be replaced by what they send.
    pub(crate) overwrite: bool,
    /// What the user must know about this person, above all a changed identity.
    pub(crate) warning: Option<String>,
    /// The device on which they were met last.
    pub(crate) certificate: Option<DeviceCertificate>,
}

impl Store {
    /// All contacts at a server.
    pub(crate) async fn contacts(&self, server: &str) -> Result<Vec<Contact>, StoreError> {
        let server = server.to_owned();
        self.call(move |connection| {
            let mut statement = connection.prepare(
                "SELECT name, identity, verified, accept, dest_dir, max_size, warning, overwrite,
                        certificate
                 FROM contacts WHERE server = ?1 ORDER BY name",
            )?;
            let rows = statement.query_map([server], read)?;
            // A row that cannot be read belongs to no version we know; the others still count.
            Ok(rows.filter_map(|row| row.ok().flatten()).collect())
        })
        .await
    }

    /// Writes a contact in the place of the one of this name.
    pub(crate) async fn put_contact(
        &self,
        server: &str,
        contact: Contact,
    ) -> Result<(), StoreError> {
        let server = server.to_owned();
        self.call(move |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO contacts
                 (server, name, identity, verified, accept, dest_dir, max_size, warning, overwrite,
                  certificate)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    server,
                    contact.name.to_string(),
                    contact.identity.as_bytes(),
                    contact.verified,
                    accept_text(contact.accept),
                    contact.dest_dir.map(|dir| json(&WirePath::from(dir))),
                    contact.max_bytes.map(|most| i64::try_from(most).unwrap_or(i64::MAX)),
                    contact.warning,
                    contact.overwrite,
                    contact.certificate.map(|certificate| certificate.encode()),
                ],
            )
        })
        .await
        .map(drop)
    }

    /// Forgets a contact.
    pub(crate) async fn remove_contact(&self, server: &str, name: &Name) -> Result<(), StoreError> {
        let (server, name) = (server.to_owned(), name.to_string());
        self.call(move |connection| {
            connection
                .execute("DELETE FROM contacts WHERE server = ?1 AND name = ?2", [server, name])
        })
        .await
        .map(drop)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<Contact>> {
    let (name, identity): (String, [u8; 32]) = (row.get(0)?, row.get(1)?);
    let (accept, dest_dir): (String, Option<String>) = (row.get(3)?, row.get(4)?);
    let max_size: Option<i64> = row.get(5)?;
    let certificate: Option<Vec<u8>> = row.get(8)?;
    let identity = IdentityKey::from_bytes(identity);
    let (Ok(name), Some(accept)) = (name.parse(), accept_of(&accept)) else { return Ok(None) };
    Ok(Some(Contact {
        name,
        identity,
        verified: row.get(2)?,
        accept,
        dest_dir: dest_dir
            .and_then(|dir| serde_json::from_str::<WirePath>(&dir).ok())
            .map(|dir| dir.as_path().to_owned()),
        max_bytes: max_size.and_then(|most| u64::try_from(most).ok()),
        overwrite: row.get(7)?,
        warning: row.get(6)?,
        certificate: certificate
            .and_then(|bytes| DeviceCertificate::decode(&bytes).ok())
            .filter(|certificate| certificate.identity() == identity),
    }))
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own types are JSON")
}

fn accept_text(accept: Accept) -> &'static str {
    match accept {
        Accept::Always => "always",
        Accept::Ask => "ask",
        Accept::Never => "never",
    }
}

fn accept_of(text: &str) -> Option<Accept> {
    [Accept::Always, Accept::Ask, Accept::Never].into_iter().find(|a| accept_text(*a) == text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ed25519_dalek::SigningKey;
    use filefleet_server::protos::certificate::DeviceKey;

    use super::super::testing;
    use super::*;

    #[tokio::test]
    async fn contacts_are_kept_by_server_and_name() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _thread) = testing::open(dir.path());
        let identity = SigningKey::from_bytes(&[7; 32]);
        let device = DeviceKey::from_bytes([8; 32]);
        let bob = Contact {
            name: "bob".parse().unwrap(),
            identity: identity.verifying_key().into(),
            verified: true,
            accept: Accept::Always,
            dest_dir: Some("/from bob".into()),
            max_bytes: Some(1 << 40),
            overwrite: true,
            warning: None,
            certificate: Some(DeviceCertificate::issue(&identity, device, "laptop", 1, 2)),
        };
        store.put_contact("one", bob.clone()).await.unwrap();
        store.put_contact("two", Contact { verified: false, ..bob.clone() }).await.unwrap();
        let changed = Contact { accept: Accept::Never, dest_dir: None, ..bob.clone() };
        store.put_contact("one", changed.clone()).await.unwrap();
        assert_eq!(store.contacts("one").await.unwrap(), [changed]);
        store.remove_contact("one", &bob.name).await.unwrap();
        assert_eq!(store.contacts("one").await.unwrap(), []);
        assert_eq!(store.contacts("two").await.unwrap().len(), 1);
    }
}
