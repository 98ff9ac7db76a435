//! An identity on its way to another machine: PKCS#8 encrypted by PBES2 with scrypt and AES-256-CBC
//! (RFC 8018, RFC 7914), in PEM, so that other tools can read it too.

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use pkcs8::der::pem::PemLabel;
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument};

use super::IdentityError;

/// scrypt's cost: N = 2^15, r = 8, p = 1 takes 32 MiB and about a tenth of a second.
const LOG_N: u8 = 15;

pub(super) fn encrypt(key: &SigningKey, passphrase: &str) -> Result<String, IdentityError> {
    if passphrase.is_empty() {
        return Err(IdentityError::EmptyPassphrase);
    }
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    getrandom::fill(&mut salt).expect("the system gives random bytes");
    getrandom::fill(&mut iv).expect("the system gives random bytes");
    let cost = scrypt::Params::new(LOG_N, 8, 1, 32).expect("the cost is within scrypt's bounds");
    let parameters = pbes2::Parameters::scrypt_aes256cbc(cost, &salt, &iv)
        .map_err(|_| IdentityError::Encrypt)?;
    let document = key.to_pkcs8_der().map_err(|_| IdentityError::Encrypt)?;
    let info = PrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| IdentityError::Encrypt)?;
    let encrypted =
        info.encrypt_with_params(parameters, passphrase).map_err(|_| IdentityError::Encrypt)?;
    let pem = encrypted
        .to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF)
        .map_err(|_| IdentityError::Encrypt)?;
    Ok(pem.to_string())
}

pub(super) fn decrypt(pem: &str, passphrase: &str) -> Result<SigningKey, IdentityError> {
    let (label, document) =
        SecretDocument::from_pem(pem.trim()).map_err(|_| IdentityError::NotAnExport)?;
    if label != EncryptedPrivateKeyInfo::PEM_LABEL {
        return Err(IdentityError::NotAnExport);
    }
    let info = EncryptedPrivateKeyInfo::try_from(document.as_bytes())
        .map_err(|_| IdentityError::NotAnExport)?;
    let plain = info.decrypt(passphrase).map_err(|_| IdentityError::WrongPassphrase)?;
    SigningKey::from_pkcs8_der(plain.as_bytes()).map_err(|_| IdentityError::NotAnExport)
}
