//! TLS 1.3 between devices: raw public keys (RFC 7250) both ways, no names, no certificates, no
//! tickets, no early data. A handshake succeeds only with a device key that was expected.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey};
use filefleet_server::protos::{
    certificate::DeviceKey,
    tls::{crypto_provider, device_key_of_spki, spki},
};
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key},
    pki_types::{
        CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};

use super::ALPN;

/// QUIC wants a server name; with raw public keys it means nothing and is not sent.
pub const SERVER_NAME: &str = "peer.invalid";

/// This device's key pair as TLS wants it, and what goes with it.
#[derive(Clone)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
}

/// Which device keys a handshake may end with.
#[derive(Debug, Clone)]
pub enum Expected {
    /// Exactly this one.
    Exactly(DeviceKey),
    /// Any that has a live session now.
    Among(KeySet),
}

/// The device keys of live sessions, shared by the main endpoint's verifier and the sessions.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Arc<Mutex<HashMap<DeviceKey, usize>>>);

/// Keeps a key in a [`KeySet`] until it is dropped.
#[derive(Debug)]
pub struct KeyGuard {
    set: KeySet,
    key: DeviceKey,
}

impl Tls {
    /// Prepares the device key for handshakes.
    pub fn new(device_key: &SigningKey) -> Result<Self, Error> {
        let public = DeviceKey::from_bytes(device_key.verifying_key().to_bytes());
        let pkcs8 = device_key.to_pkcs8_der().map_err(|e| Error::General(e.to_string()))?;
        let der = PrivatePkcs8KeyDer::from(pkcs8.as_bytes());
        let signer = aws_lc_rs::sign::any_eddsa_type(&der)?;
        let key = CertifiedKey::new(vec![CertificateDer::from(spki(&public).to_vec())], signer);
        Ok(Self { provider: crypto_provider(), key: Arc::new(key) })
    }

    /// Shows the public key `shown` without having its private key.
    #[cfg(test)]
    pub(crate) fn impostor(shown: DeviceKey, device_key: &SigningKey) -> Result<Self, Error> {
        let own = Self::new(device_key)?;
        let shown = CertificateDer::from(spki(&shown).to_vec());
        let key = CertifiedKey::new(vec![shown], own.key.key.clone());
        Ok(Self { key: Arc::new(key), ..own })
    }

    /// The QUIC client's side.
    pub fn client(&self, expected: Expected) -> Result<QuicClientConfig, TlsError> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(expected))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                self.key.clone(),
            )));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Resumption would skip the verifier: the proof is made every time.
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        Ok(QuicClientConfig::try_from(config)?)
    }

    /// The QUIC server's side.
    pub fn server(&self, expected: Expected) -> Result<QuicServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(self.verifier(expected))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.key.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(QuicServerConfig::try_from(config)?)
    }

    fn verifier(&self, expected: Expected) -> Arc<Verifier> {
        Arc::new(Verifier { expected, provider: self.provider.clone() })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl KeySet {
    /// Admits `key` until the guard is dropped; guards of one key are counted.
    pub fn admit(&self, key: DeviceKey) -> KeyGuard {
        *self.lock().entry(key).or_default() += 1;
        KeyGuard { set: self.clone(), key }
    }

    fn contains(&self, key: &DeviceKey) -> bool {
        self.lock().contains_key(key)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DeviceKey, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KeyGuard {
    fn drop(&mut self) {
        let mut keys = self.set.lock();
        if let Some(count) = keys.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                keys.remove(&self.key);
            }
        }
    }
}

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// rustls refused the settings.
    #[error("TLS settings were refused")]
    Rustls(#[from] Error),
    /// The provider lacks the suite of QUIC's first packets.
    #[error("no initial cipher suite")]
    NoInitialCipherSuite(#[from] NoInitialCipherSuite),
}

/// The device key that the other end of `connection` has proved.
pub fn peer_device_key(connection: &quinn::Connection) -> Option<DeviceKey> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    device_key_of_spki(chain.first()?)
}

#[derive(Debug)]
struct Verifier {
    expected: Expected,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn check(&self, spki: &CertificateDer<'_>) -> Result<(), Error> {
        let key = device_key_of_spki(spki)
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let admitted = match &self.expected {
            Expected::Exactly(expected) => *expected == key,
            Expected::Among(keys) => keys.contains(&key),
        };
        if admitted {
            return Ok(());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn check_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &spki, signature, algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is never spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is never spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
