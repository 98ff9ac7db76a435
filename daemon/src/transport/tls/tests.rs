#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use filefleet_server::udp::{bind_udp, wrap};
use quinn::{Connection, ConnectionError, Endpoint, TokioRuntime};

use super::*;
use crate::transport::endpoint_config;

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn device(seed: u8) -> DeviceKey {
    DeviceKey::from_bytes(signing_key(seed).verifying_key().to_bytes())
}

fn tls(seed: u8) -> Tls {
    Tls::new(&signing_key(seed)).unwrap()
}

fn endpoint(seed: u8, expected: Expected) -> Endpoint {
    let key = signing_key(seed);
    let server = tls(seed).server(expected).unwrap();
    let server = quinn::ServerConfig::with_crypto(Arc::new(server));
    let socket = wrap(bind_udp("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
    let (config, runtime) = (endpoint_config(&key), Arc::new(TokioRuntime));
    Endpoint::new_with_abstract_socket(config, Some(server), socket, runtime).unwrap()
}

/// What both sides have of a handshake between the client and device 2.
async fn handshake(
    tls: Tls,
    at_client: Expected,
    at_server: Expected,
) -> (Result<Connection, ConnectionError>, Result<Connection, ConnectionError>) {
    let server = endpoint(2, at_server);
    let client = endpoint(1, Expected::Among(KeySet::default()));
    let config = tls.client(at_client).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(config));
    let to = server.local_addr().unwrap();
    let connecting = client.connect_with(config, to, SERVER_NAME).unwrap();
    tokio::join!(connecting, async { server.accept().await.unwrap().await })
}

#[tokio::test]
async fn both_sides_prove_their_device_keys() {
    let keys = KeySet::default();
    let _guard = keys.admit(device(1));
    let (client, server) =
        handshake(tls(1), Expected::Exactly(device(2)), Expected::Among(keys)).await;
    assert_eq!(peer_device_key(&client.unwrap()), Some(device(2)));
    assert_eq!(peer_device_key(&server.unwrap()), Some(device(1)));
}

#[tokio::test]
async fn a_server_with_another_key_is_refused() {
    let here = Expected::Exactly(device(1));
    let (client, server) = handshake(tls(1), Expected::Exactly(device(3)), here).await;
    assert!(client.is_err() && server.is_err());
}

#[tokio::test]
async fn a_client_with_another_key_is_refused() {
    let there = || Expected::Exactly(device(2));
    let (_, server) = handshake(tls(1), there(), Expected::Exactly(device(3))).await;
    assert!(server.is_err());
    let (_, server) = handshake(tls(1), there(), Expected::Among(KeySet::default())).await;
    assert!(server.is_err());
}

#[tokio::test]
async fn a_key_without_its_private_key_proves_nothing() {
    let there = || Expected::Exactly(device(2));
    let (_, server) = handshake(
        Tls::impostor(device(1), &signing_key(9)).unwrap(),
        there(),
        Expected::Exactly(device(1)),
    )
    .await;
    assert!(server.is_err());
    let (_, server) = handshake(tls(1), there(), Expected::Exactly(device(1))).await;
    assert!(server.is_ok());
}

#[test]
fn a_key_is_admitted_as_long_as_any_guard_lives() {
    let keys = KeySet::default();
    let (one, two) = (keys.admit(device(1)), keys.admit(device(1)));
    drop(one);
    assert!(keys.contains(&device(1)) && !keys.contains(&device(2)));
    drop(two);
    assert!(!keys.contains(&device(1)));
}
