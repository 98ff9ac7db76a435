//! Who this user is: the identity key, the device key, and the device certificate that binds them.
//! Keys are PKCS#8 files that only the user can read; an identity leaves the machine only encrypted.

mod export;
mod safety;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding};
use filefleet_server::protos::certificate::{DeviceCertificate, DeviceKey, IdentityKey};
use thiserror::Error;

pub(crate) use self::safety::safety_phrase;

const IDENTITY_FILE: &str = "identity.pem";
const DEVICE_FILE: &str = "device.pem";
/// Version 1 has one device per name, so a certificate has no successor yet.
const EPOCH: u32 = 1;

/// Why keys cannot be used.
#[derive(Debug, Error)]
pub(crate) enum IdentityError {
    #[error("cannot use the key file {}", file_path.display())]
    File { file_path: PathBuf, source: io::Error },
    #[error("the key file {} holds no Ed25519 key", file_path.display())]
    Key { file_path: PathBuf },
    #[error("this is no exported identity")]
    NotAnExport,
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    #[error("the identity cannot be encrypted")]
    Encrypt,
}

/// The keys of one user on one machine.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    dir: PathBuf,
    identity: SigningKey,
    device: SigningKey,
    certificate: DeviceCertificate,
}

impl Identity {
    /// The keys in `dir`, made when they are not there yet.
    pub(crate) fn open(dir: &Path, device_name: &str) -> Result<Self, IdentityError> {
        create_private_dir(dir).map_err(|source| file_error(dir, source))?;
        let identity = load_or_create(&dir.join(IDENTITY_FILE))?;
        let device = load_or_create(&dir.join(DEVICE_FILE))?;
        let device_key = DeviceKey::from_bytes(device.verifying_key().to_bytes());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let certificate = DeviceCertificate::issue(&identity, device_key, device_name, EPOCH, now);
        Ok(Self { dir: dir.to_owned(), identity, device, certificate })
    }

    pub(crate) fn key(&self) -> IdentityKey {
        self.certificate.identity()
    }

    pub(crate) fn device(&self) -> &SigningKey {
        &self.device
    }

    pub(crate) fn certificate(&self) -> &DeviceCertificate {
        &self.certificate
    }

    /// The identity as PEM, encrypted with a passphrase. Slow on purpose.
    pub(crate) fn export(&self, passphrase: &str) -> Result<String, IdentityError> {
        export::encrypt(&self.identity, passphrase)
    }

    /// Puts an exported identity in the place of this one, which is kept beside it under a name of
    /// its own. Takes effect when the keys are opened again.
    pub(crate) fn import(&self, pem: &str, passphrase: &str) -> Result<(), IdentityError> {
        let imported = export::decrypt(pem, passphrase)?;
        if imported == self.identity {
            return Ok(());
        }
        let file_path = self.dir.join(IDENTITY_FILE);
        let kept = self.dir.join(format!("identity-{}.pem", &self.key().to_string()[..16]));
        write_key(&kept, &self.identity)?;
        write_key(&file_path, &imported)
    }
}

fn file_error(file_path: &Path, source: io::Error) -> IdentityError {
    IdentityError::File { file_path: file_path.to_owned(), source }
}

/// Makes a folder that only its owner may look into.
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn load_or_create(file_path: &Path) -> Result<SigningKey, IdentityError> {
    match fs::read_to_string(file_path) {
        Ok(pem) => SigningKey::from_pkcs8_pem(&pem)
            .map_err(|_| IdentityError::Key { file_path: file_path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).expect("the system gives random bytes");
            let key = SigningKey::from_bytes(&secret);
            write_key(file_path, &key)?;
            Ok(key)
        }
        Err(error) => Err(file_error(file_path, error)),
    }
}

/// Writes a key so that either the old file or the whole new one is there, whatever happens.
fn write_key(file_path: &Path, key: &SigningKey) -> Result<(), IdentityError> {
    let failed = |source| file_error(file_path, source);
    let pem = key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|_| IdentityError::Key { file_path: file_path.to_owned() })?;
    replace_private_file(file_path, pem.as_bytes()).map_err(failed)
}

/// Puts `content` in the place of a file that only its owner may read, durably and atomically.
pub(crate) fn replace_private_file(file_path: &Path, content: &[u8]) -> io::Result<()> {
    let new = file_path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, file_path)?;
    // The rename is durable when the folder is; Windows has no such call and needs none.
    #[cfg(unix)]
    if let Some(dir) = file_path.parent() {
        fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn keys_stay_the_same_and_nobody_else_can_read_them() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("keys");
        let first = Identity::open(&dir, "laptop").unwrap();
        let again = Identity::open(&dir, "laptop").unwrap();
        assert_eq!(first.key(), again.key());
        assert_eq!(first.device(), again.device());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&dir), 0o700);
            assert_eq!(mode(&dir.join(IDENTITY_FILE)), 0o600);
        }
    }

    #[test]
    fn an_identity_moves_to_another_machine_and_the_old_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let alice = Identity::open(&dir.path().join("a"), "one").unwrap();
        let pem = alice.export("correct horse").unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));

        let other = Identity::open(&dir.path().join("b"), "two").unwrap();
        let before = other.key();
        assert!(matches!(other.import(&pem, "wrong"), Err(IdentityError::WrongPassphrase)));
        assert!(matches!(other.import("hello", "x"), Err(IdentityError::NotAnExport)));
        assert_eq!(Identity::open(&dir.path().join("b"), "two").unwrap().key(), before);
        other.import(&pem, "correct horse").unwrap();
        assert_eq!(Identity::open(&dir.path().join("b"), "two").unwrap().key(), alice.key());
        let kept = dir.path().join("b").join(format!("identity-{}.pem", &before.to_string()[..16]));
        assert!(kept.exists());
    }
}
