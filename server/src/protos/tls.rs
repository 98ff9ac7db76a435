//! What both ends need of TLS: the crypto provider, pins and raw public keys.

mod suites;

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::{
    crypto::{CryptoProvider, aws_lc_rs as provider},
    pki_types::CertificateDer,
    server::ParsedCertificate,
};

use super::certificate::DeviceKey;

/// SHA-256 of a certificate's SubjectPublicKeyInfo.
pub type Pin = [u8; 32];

/// An Ed25519 SubjectPublicKeyInfo up to the key (RFC 8410 section 4).
const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The SubjectPublicKeyInfo of a device key: the raw public key of RFC 7250.
pub fn spki(device: &DeviceKey) -> [u8; 44] {
    let mut spki = [0; 44];
    spki[..12].copy_from_slice(&ED25519_SPKI_PREFIX);
    spki[12..].copy_from_slice(device.as_bytes());
    spki
}

/// The device key in a SubjectPublicKeyInfo, if it is one of an Ed25519 key.
pub fn device_key_of_spki(spki: &[u8]) -> Option<DeviceKey> {
    let key = spki.strip_prefix(&ED25519_SPKI_PREFIX)?;
    Some(DeviceKey::from_bytes(key.try_into().ok()?))
}

/// The pin of an X.509 certificate's key; `None` if the certificate cannot be read.
pub fn pin_of(certificate: &CertificateDer<'_>) -> Option<Pin> {
    let spki = ParsedCertificate::try_from(certificate).ok()?.subject_public_key_info();
    digest::digest(&digest::SHA256, &spki).as_ref().try_into().ok()
}

/// TLS 1.3 with the suite first that this processor is fastest at.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { cipher_suites: suites::fastest(), ..provider::default_provider() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use ed25519_dalek::{SigningKey, pkcs8::EncodePublicKey};

    use super::*;

    #[test]
    fn spki_is_what_pkcs8_says() {
        let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
        let ours = spki(&key.into());
        assert_eq!(ours, key.to_public_key_der().unwrap().as_bytes());
        assert_eq!(device_key_of_spki(&ours), Some(key.into()));
    }

    #[test]
    fn other_spki_are_no_device_keys() {
        let mut spki = spki(&DeviceKey::from_bytes([1; 32]));
        assert_eq!(device_key_of_spki(&spki[..43]), None);
        assert_eq!(device_key_of_spki(&[&spki[..], &[0]].concat()), None);
        spki[8] ^= 1;
        assert_eq!(device_key_of_spki(&spki), None);
    }
}
