//! Who a person and a machine are: identity keys, device keys and the certificate between them.
//!
//! A [`DeviceCertificate`] cannot exist with a wrong signature, so whoever holds one need not
//! check it again. What it does not prove is possession of the device key: that is TLS's business
//! between peers, and the registration proof's at the server.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::hex;

/// Bytes that precede whatever an identity key signs as a device certificate.
const DOMAIN: &[u8] = b"filefleet device certificate\0";
/// The only version of the encoding there is.
const VERSION: u8 = 1;
/// version, identity, device, epoch, issued at, length of the device name
const FIXED_LEN: usize = 1 + 32 + 32 + 4 + 8 + 1;
const SIGNATURE_LEN: usize = 64;
/// The longest device name, in bytes.
pub const MAX_DEVICE_NAME: usize = 64;

/// Why a text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 64 hexadecimal digits")]
pub struct InvalidKey;

macro_rules! public_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// The key of these bytes; whether they are a point of the curve shows when it is used.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The key's bytes, as RFC 8032 encodes them.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// SHA-256 of the key, in groups of hexadecimal digits that people can compare.
            pub fn fingerprint(&self) -> String {
                hex::grouped(digest::digest(&digest::SHA256, &self.0).as_ref())
            }

            /// Whether `signature` over `message` was made by this key.
            pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
                // Strict: refuses small-order keys and signatures with a second encoding.
                VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
                    key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
                })
            }
        }

        impl From<VerifyingKey> for $name {
            fn from(key: VerifyingKey) -> Self {
                Self(key.to_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex::encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(&self.0))
            }
        }

        impl FromStr for $name {
            type Err = InvalidKey;

            fn from_str(text: &str) -> Result<Self, InvalidKey> {
                hex::decode_array(text).map(Self).ok_or(InvalidKey)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidKey;

            fn try_from(text: String) -> Result<Self, InvalidKey> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(key: $name) -> Self {
                hex::encode(&key.0)
            }
        }
    };
}

public_key! {
    /// The public key that is a person (Ed25519).
    IdentityKey
}
public_key! {
    /// The public key that is one machine of a person (Ed25519).
    DeviceKey
}

/// A person's signature under one of their machines. Its signature is always valid.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceCertificate {
    identity: IdentityKey,
    device: DeviceKey,
    device_name: String,
    epoch: u32,
    issued_at: u64,
    signature: [u8; SIGNATURE_LEN],
}

/// Why bytes are no [`DeviceCertificate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Of the wrong length, or a field is out of bounds.
    #[error("malformed device certificate")]
    Malformed,
    /// Made by a newer program.
    #[error("device certificate of unknown version {0}")]
    UnknownVersion(u8),
    /// Not signed by the identity it names.
    #[error("device certificate with a wrong signature")]
    WrongSignature,
}

impl DeviceCertificate {
    /// Signs `device` with `identity`. A name longer than 64 bytes is cut between characters.
    ///
    /// `issued_at` is in seconds since 1970; `epoch` grows when an identity changes its device.
    pub fn issue(
        identity: &SigningKey,
        device: DeviceKey,
        device_name: &str,
        epoch: u32,
        issued_at: u64,
    ) -> Self {
        let cut = device_name.floor_char_boundary(MAX_DEVICE_NAME);
        let mut certificate = Self {
            identity: identity.verifying_key().into(),
            device,
            device_name: device_name[..cut].to_owned(),
            epoch,
            issued_at,
            signature: [0; SIGNATURE_LEN],
        };
        certificate.signature = identity.sign(&signed_bytes(&certificate.body())).to_bytes();
        certificate
    }

    /// The person who signed.
    pub const fn identity(&self) -> IdentityKey {
        self.identity
    }

    /// The machine that was signed for.
    pub const fn device(&self) -> DeviceKey {
        self.device
    }

    /// What the person calls the machine, at most 64 bytes. Quote it before showing it.
    pub fn device_name(&self) -> &str {
        &self.device_name
    }

    /// Which one of the identity's devices, counted from the first.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// When it was signed, in seconds since 1970 by the signer's clock.
    pub const fn issued_at(&self) -> u64 {
        self.issued_at
    }

    /// `version u8 = 1 ‖ identity 32 ‖ device 32 ‖ epoch u32 ‖ issued_at u64 ‖ len u8 ‖ name ‖
    /// signature 64`, integers in network order.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.body();
        bytes.extend(self.signature);
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote and checks the signature.
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&version) => return Err(CertificateError::UnknownVersion(version)),
            None => return Err(CertificateError::Malformed),
        }
        let certificate = Self::parse(&bytes[1..]).ok_or(CertificateError::Malformed)?;
        let signed = signed_bytes(&bytes[..bytes.len() - SIGNATURE_LEN]);
        if certificate.identity.verifies(&signed, &certificate.signature) {
            Ok(certificate)
        } else {
            Err(CertificateError::WrongSignature)
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (identity, rest) = bytes.split_first_chunk()?;
        let (device, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (issued_at, rest) = rest.split_first_chunk()?;
        let (&name_len, rest) = rest.split_first()?;
        let (name, signature) = rest.split_at_checked(usize::from(name_len))?;
        if name.len() > MAX_DEVICE_NAME {
            return None;
        }
        Some(Self {
            identity: IdentityKey(*identity),
            device: DeviceKey(*device),
            device_name: String::from_utf8(name.to_vec()).ok()?,
            epoch: u32::from_be_bytes(*epoch),
            issued_at: u64::from_be_bytes(*issued_at),
            signature: signature.try_into().ok()?,
        })
    }

    fn body(&self) -> Vec<u8> {
        let name = self.device_name.as_bytes();
        let mut bytes = Vec::with_capacity(FIXED_LEN + name.len() + SIGNATURE_LEN);
        bytes.push(VERSION);
        bytes.extend(self.identity.0);
        bytes.extend(self.device.0);
        bytes.extend(self.epoch.to_be_bytes());
        bytes.extend(self.issued_at.to_be_bytes());
        bytes.push(u8::try_from(name.len()).expect("a device name has at most 64 bytes"));
        bytes.extend(name);
        bytes
    }
}

fn signed_bytes(body: &[u8]) -> Vec<u8> {
    [DOMAIN, body].concat()
}

impl fmt::Debug for DeviceCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceCertificate")
            .field("identity", &self.identity)
            .field("device", &self.device)
            .field("device_name", &self.device_name)
            .field("epoch", &self.epoch)
            .field("issued_at", &self.issued_at)
            .finish_non_exhaustive()
    }
}

impl TryFrom<String> for DeviceCertificate {
    type Error = CertificateError;

    fn try_from(text: String) -> Result<Self, CertificateError> {
        Self::decode(&hex::decode(&text).ok_or(CertificateError::Malformed)?)
    }
}

impl From<DeviceCertificate> for String {
    fn from(certificate: DeviceCertificate) -> Self {
        hex::encode(&certificate.encode())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn certificate(name: &str) -> DeviceCertificate {
        let identity = SigningKey::from_bytes(&[1; 32]);
        let device = SigningKey::from_bytes(&[2; 32]).verifying_key().into();
        DeviceCertificate::issue(&identity, device, name, 3, 4)
    }

    #[test]
    fn encoding_stays_as_it_is() {
        let expected = "01\
            8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c\
            8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394\
            00000003000000000000000406\
            6c6170746f70";
        let bytes = certificate("laptop").encode();
        assert_eq!(hex::encode(&bytes[..bytes.len() - SIGNATURE_LEN]), expected);
    }

    #[test]
    fn reads_what_it_writes() {
        for name in ["", "laptop", "Ünï 😀"] {
            let certificate = certificate(name);
            assert_eq!(DeviceCertificate::decode(&certificate.encode()).unwrap(), certificate);
            let json = serde_json::to_string(&certificate).unwrap();
            assert_eq!(serde_json::from_str::<DeviceCertificate>(&json).unwrap(), certificate);
        }
    }

    #[test]
    fn cuts_a_long_device_name_between_characters() {
        let certificate = certificate(&"ä".repeat(40));
        assert_eq!(certificate.device_name(), "ä".repeat(32));
        assert_eq!(DeviceCertificate::decode(&certificate.encode()).unwrap(), certificate);
    }

    #[test]
    fn refuses_another_length_version_or_name() {
        let bytes = certificate("laptop").encode();
        for len in 0..bytes.len() {
            assert!(DeviceCertificate::decode(&bytes[..len]).is_err());
        }
        assert!(DeviceCertificate::decode(&[&bytes[..], &[0]].concat()).is_err());
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(DeviceCertificate::decode(&newer), Err(CertificateError::UnknownVersion(2)));
    }

    #[test]
    fn refuses_any_flipped_bit() {
        let bytes = certificate("laptop").encode();
        for position in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[position / 8] ^= 1 << (position % 8);
            assert!(DeviceCertificate::decode(&bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = DeviceCertificate::decode(&bytes);
            let versioned = [&[VERSION][..], &bytes].concat();
            let _ = DeviceCertificate::decode(&versioned);
        }
    }
}
