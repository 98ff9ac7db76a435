//! What the server keeps as files in its data folder: its TLS key with a self-signed certificate,
//! and the keys that let it reset its predecessor's connections.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use crate::{
    config::{CertificateFiles, Settings},
    protos::tls::{Pin, pin_of},
};

const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";
const RESET_FILE: &str = "reset.key";
/// What the self-signed certificate says it is for: nobody looks, the key is pinned.
const SUBJECT: &str = "filefleet-server";

/// Why the server's keys cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file system said no.
    #[error("cannot use {0}")]
    File(PathBuf, #[source] io::Error),
    /// Not PEM, or of the wrong kind.
    #[error("cannot read {0}")]
    Pem(PathBuf, #[source] pem::Error),
    /// The certificate file is empty or not X.509.
    #[error("{0} holds no certificate")]
    NoCertificate(PathBuf),
    /// The self-signed certificate cannot be made.
    #[error("cannot make a certificate")]
    Making(#[from] rcgen::Error),
    /// The file has another length than ours.
    #[error("{0} is damaged")]
    Damaged(PathBuf),
    /// The system gives no randomness.
    #[error("no randomness")]
    Randomness(#[from] getrandom::Error),
}

/// The server's certificate chain and private key.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) pin: Pin,
}

/// Keys that outlive the process, so that a restarted server recognises the connections of the one
/// before and resets them.
#[derive(Debug)]
pub(super) struct ResetKeys {
    /// Keys the stateless reset tokens.
    pub(super) reset: [u8; 64],
    /// Marks connection ids as ours.
    pub(super) connection_id: u64,
}

/// The certificate of these settings, made if it is self-signed and not there yet.
pub(super) fn certificate(settings: &Settings) -> Result<Certificate, KeyError> {
    let files = match &settings.certificate {
        Some(files) => files.clone(),
        None => self_signed(&settings.data_dir)?,
    };
    let CertificateFiles { chain: chain_path, key } = files;
    let chain = CertificateDer::pem_file_iter(&chain_path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| KeyError::Pem(chain_path.clone(), error))?;
    let pin = chain.first().and_then(pin_of).ok_or(KeyError::NoCertificate(chain_path))?;
    let key = PrivateKeyDer::from_pem_file(&key).map_err(|error| KeyError::Pem(key, error))?;
    Ok(Certificate { chain, key, pin })
}

fn self_signed(data_dir: &Path) -> Result<CertificateFiles, KeyError> {
    create_dir(data_dir)?;
    let files =
        CertificateFiles { chain: data_dir.join(CERTIFICATE_FILE), key: data_dir.join(KEY_FILE) };
    if !files.key.exists() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        write_secret(&files.key, key.serialize_pem().as_bytes())?;
    }
    if !files.chain.exists() {
        let pem = fs::read_to_string(&files.key)
            .map_err(|error| KeyError::File(files.key.clone(), error))?;
        let key = KeyPair::from_pem(&pem)?;
        let certificate = CertificateParams::new([SUBJECT.to_owned()])?.self_signed(&key)?;
        write_secret(&files.chain, certificate.pem().as_bytes())?;
    }
    Ok(files)
}

/// The reset keys in this folder, made if they are not there yet.
pub(super) fn reset_keys(data_dir: &Path) -> Result<ResetKeys, KeyError> {
    create_dir(data_dir)?;
    let path = data_dir.join(RESET_FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes.try_into().map_err(|_| KeyError::Damaged(path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 72];
            getrandom::fill(&mut bytes)?;
            write_secret(&path, &bytes)?;
            bytes
        }
        Err(error) => return Err(KeyError::File(path, error)),
    };
    let bytes: [u8; 72] = bytes;
    let (reset, connection_id) = bytes.split_first_chunk().expect("72 bytes are 64 and 8");
    let connection_id = connection_id.try_into().expect("72 bytes are 64 and 8");
    Ok(ResetKeys { reset: *reset, connection_id: u64::from_be_bytes(connection_id) })
}

pub(super) fn create_dir(dir: &Path) -> Result<(), KeyError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| KeyError::File(dir.to_owned(), error))
}

/// Writes a file that only this user can read, all of it or nothing, durably.
fn write_secret(path: &Path, content: &[u8]) -> Result<(), KeyError> {
    let write = || {
        let partial = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&partial)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        #[cfg(unix)]
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    };
    write().map_err(|error| KeyError::File(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Options;

    fn settings(data_dir: &Path) -> Settings {
        let data_dir = Some(data_dir.to_owned());
        Settings::load(Options { data_dir, ..Options::default() }).unwrap()
    }

    #[test]
    fn keys_are_made_once_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(&home.path().join("deep/data"));
        let (first, keys) =
            (certificate(&settings).unwrap(), reset_keys(&settings.data_dir).unwrap());
        let (second, again) =
            (certificate(&settings).unwrap(), reset_keys(&settings.data_dir).unwrap());
        assert_eq!(first.pin, second.pin);
        assert_eq!((keys.reset, keys.connection_id), (again.reset, again.connection_id));
        assert_ne!(keys.reset, [0; 64]);
    }

    #[test]
    fn a_lost_certificate_is_made_again_for_the_same_key() {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(home.path());
        let pin = certificate(&settings).unwrap().pin;
        fs::remove_file(home.path().join(CERTIFICATE_FILE)).unwrap();
        assert_eq!(certificate(&settings).unwrap().pin, pin);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_keys() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let settings = settings(&home.path().join("data"));
        certificate(&settings).unwrap();
        reset_keys(&settings.data_dir).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&settings.data_dir), 0o700);
        assert_eq!(mode(&settings.data_dir.join(KEY_FILE)), 0o600);
        assert_eq!(mode(&settings.data_dir.join(RESET_FILE)), 0o600);
    }

    #[test]
    fn damaged_keys_are_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(RESET_FILE), "short").unwrap();
        assert!(matches!(reset_keys(home.path()), Err(KeyError::Damaged(_))));
    }
}
