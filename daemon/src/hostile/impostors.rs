//! Those who are not who they say: certificates of others, keys of others.

use ed25519_dalek::SigningKey;
use filefleet_server::protos::certificate::{DeviceCertificate, DeviceKey};
use quinn::ConnectionError;

use super::{
    raw::{RawLink, connect},
    support::Scene,
};
use crate::{
    peer::{
        CloseReason, ConnectError, PeerEvent,
        close::CloseCode,
        frame::{Frame, Hello},
        tests::support::{User, keys, soon},
    },
    transport::tls::Tls,
};

fn device_of(key: &SigningKey) -> DeviceKey {
    DeviceKey::from_bytes(key.verifying_key().to_bytes())
}

#[tokio::test]
async fn a_certificate_that_is_not_the_one_the_server_named_gets_nothing() {
    let scene = Scene::start().await;
    let (eves, registered) = keys("eve", 7);
    let other_identity = SigningKey::from_bytes(&[8; 32]);
    let shown = [
        // Another person's word for the same device; that of a trusted person, for hers; one more
        // device of the same person.
        (
            DeviceCertificate::issue(&other_identity, device_of(&eves), "eve", 0, 1),
            CloseReason::IdentityChanged,
        ),
        (keys("alice", 1).1, CloseReason::Protocol),
        (
            DeviceCertificate::issue(
                &SigningKey::from_bytes(&[7 ^ 0xff; 32]),
                device_of(&SigningKey::from_bytes(&[9; 32])),
                "eve",
                0,
                1,
            ),
            CloseReason::Protocol,
        ),
    ];
    for (shown, reason) in shown {
        let (key, registered) = (eves.clone(), registered.clone());
        let mut eve = User::start_showing("eve", key, registered, shown, &scene.server).await;
        let refused = soon(eve.peers.session(&"bob".parse().unwrap(), None)).await;
        match refused {
            Err(ConnectError::Failed(found)) => assert_eq!(found, reason),
            other => panic!("{other:?}"),
        }
        assert!(!matches!(eve.events.try_recv(), Ok(PeerEvent::Session { .. })));
    }
    scene.finish().await;
}

#[tokio::test]
async fn a_forged_certificate_gets_nothing() {
    let scene = Scene::start().await;
    let (device_key, certificate) = keys("mallory", 66);
    let honest = Frame::Hello(Hello { incarnation: 1, certificate }).encode().concat();
    // Each byte of the certificate but its frame and the incarnation before it.
    for at in (13..honest.len()).step_by(17).chain([honest.len() - 1]) {
        let mut forged = honest.clone();
        forged[at] ^= 1;
        let mut link = RawLink::open(&scene.mallory, &device_key).await;
        link.write(&forged).await;
        let code = link.closed().await;
        assert!(
            matches!(code, Some(CloseCode::Protocol | CloseCode::IdentityChanged)),
            "{at}: {code:?}"
        );
    }
    scene.finish().await;
}

#[tokio::test]
async fn a_device_key_without_its_private_key_gets_nothing() {
    let scene = Scene::start().await;
    let (device_key, certificate) = keys("mallory", 66);
    let stolen = Tls::impostor(certificate.device(), &SigningKey::from_bytes(&[9; 32])).unwrap();
    let alices = Tls::impostor(keys("alice", 1).1.device(), &device_key).unwrap();
    // The key that the server named, shown without having it; a trusted one; one of nobody.
    for tls in [stolen, alices, Tls::new(&SigningKey::from_bytes(&[9; 32])).unwrap()] {
        let (_path, connected) = connect(&scene.mallory, &device_key, &tls).await;
        // A client learns of the refusal of its key after its own handshake is done.
        let error = match connected {
            Ok(connection) => soon(connection.closed()).await,
            Err(error) => error,
        };
        assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error:?}");
    }
    scene.finish().await;
}
