#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn certificate() -> DeviceCertificate {
    let device = SigningKey::from_bytes(&[2; 32]).verifying_key().into();
    DeviceCertificate::issue(&SigningKey::from_bytes(&[1; 32]), device, "laptop", 1, 2)
}

fn call() -> CallFrame {
    CallFrame {
        session: Session([0x11; 16]),
        key: SessionKey::from_bytes([0x22; 32]),
        name: "bob".parse().unwrap(),
        certificate: certificate(),
    }
}

fn client_frames() -> Vec<(ClientFrame, String)> {
    let name: Name = "bob".parse().unwrap();
    let certificate = certificate();
    let hex_certificate = String::from(certificate.clone());
    let proof = Proof([0x33; 64]);
    vec![
        (
            ClientFrame::Register { name: name.clone(), certificate: Box::new(certificate), proof },
            format!(
                r#"{{"type":"register","name":"bob","certificate":"{hex_certificate}","proof":"{}"}}"#,
                "33".repeat(64)
            ),
        ),
        (
            ClientFrame::LookUp { id: 7, name: name.clone() },
            r#"{"type":"look_up","id":7,"name":"bob"}"#.to_owned(),
        ),
        (ClientFrame::Call { id: 8, name }, r#"{"type":"call","id":8,"name":"bob"}"#.to_owned()),
        (
            ClientFrame::Refuse { session: Session([1; 16]), reason: RefuseReason::Busy },
            format!(r#"{{"type":"refuse","session":"{}","reason":"busy"}}"#, "01".repeat(16)),
        ),
        (
            ClientFrame::Reveal { session: Session([1; 16]) },
            format!(r#"{{"type":"reveal","session":"{}"}}"#, "01".repeat(16)),
        ),
        (
            ClientFrame::Contacts {
                replace: true,
                identities: vec![IdentityKey::from_bytes([4; 32])],
            },
            format!(r#"{{"type":"contacts","replace":true,"identities":["{}"]}}"#, "04".repeat(32)),
        ),
        (
            ClientFrame::Probe { id: 9, transaction: Transaction([2; 12]) },
            format!(r#"{{"type":"probe","id":9,"transaction":"{}"}}"#, "02".repeat(12)),
        ),
        (ClientFrame::Ping, r#"{"type":"ping"}"#.to_owned()),
    ]
}

fn server_frames() -> Vec<(ServerFrame, String)> {
    let call = call();
    let call_json = format!(
        r#""session":"{}","key":"{}","name":"bob","certificate":"{}"}}"#,
        "11".repeat(16),
        "22".repeat(32),
        String::from(call.certificate.clone())
    );
    let identity = IdentityKey::from_bytes([4; 32]);
    let key = "04".repeat(32);
    vec![
        (
            ServerFrame::Registered { relay_port: 7836, observed: "192.0.2.1:9".parse().unwrap() },
            r#"{"type":"registered","relay_port":7836,"observed":"192.0.2.1:9"}"#.to_owned(),
        ),
        (
            ServerFrame::Found { id: 7, identity },
            format!(r#"{{"type":"found","id":7,"identity":"{key}"}}"#),
        ),
        (
            ServerFrame::Called { id: 8, call: call.clone() },
            format!(r#"{{"type":"called","id":8,{call_json}"#),
        ),
        (ServerFrame::Incoming { call }, format!(r#"{{"type":"incoming",{call_json}"#)),
        (
            ServerFrame::Refused {
                session: Session([1; 16]),
                reason: RefuseReason::IdentityChanged,
            },
            format!(
                r#"{{"type":"refused","session":"{}","reason":"identity_changed"}}"#,
                "01".repeat(16)
            ),
        ),
        (
            ServerFrame::Revealed {
                session: Session([1; 16]),
                observed: "192.0.2.1:9".parse().unwrap(),
            },
            format!(
                r#"{{"type":"revealed","session":"{}","observed":"192.0.2.1:9"}}"#,
                "01".repeat(16)
            ),
        ),
        (
            ServerFrame::Presence { identity, online: true },
            format!(r#"{{"type":"presence","identity":"{key}","online":true}}"#),
        ),
        (
            ServerFrame::Probed {
                id: 9,
                observed: "192.0.2.1:9".parse().unwrap(),
                sent: true,
                now: 1_700_000_000_000,
            },
            r#"{"type":"probed","id":9,"observed":"192.0.2.1:9","sent":true,"now":1700000000000}"#
                .to_owned(),
        ),
        (ServerFrame::Pong, r#"{"type":"pong"}"#.to_owned()),
        (
            ServerFrame::Error {
                id: None,
                code: ErrorCode::NameTaken,
                message: "the name is taken".to_owned(),
            },
            r#"{"type":"error","id":null,"code":"name_taken","message":"the name is taken"}"#
                .to_owned(),
        ),
    ]
}

/// The first frame in `bytes`, read as if it came from the network.
fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<Option<T>, FrameError> {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async { FrameReader::new(bytes).next().await })
}

fn with_length(json: &str) -> Vec<u8> {
    [&u32::try_from(json.len()).unwrap().to_be_bytes()[..], json.as_bytes()].concat()
}

#[test]
fn encoding_stays_as_it_is_and_is_read_back() {
    for (frame, json) in client_frames() {
        assert_eq!(encode(&frame), with_length(&json));
        assert_eq!(read(&with_length(&json)).unwrap(), Some(frame));
    }
    for (frame, json) in server_frames() {
        assert_eq!(encode(&frame), with_length(&json));
        assert_eq!(read(&with_length(&json)).unwrap(), Some(frame));
    }
}

#[test]
fn unknown_types_codes_and_fields_are_no_errors() {
    let json = r#"{"type":"weather","sky":["blue"]}"#;
    assert_eq!(read(&with_length(json)).unwrap(), Some(ClientFrame::Unknown));
    assert_eq!(read(&with_length(json)).unwrap(), Some(ServerFrame::Unknown));
    let json = r#"{"type":"error","id":1,"code":"teapot","message":"","more":1}"#;
    let expected =
        ServerFrame::Error { id: Some(1), code: ErrorCode::Other, message: String::new() };
    assert_eq!(read(&with_length(json)).unwrap(), Some(expected));
}

#[test]
fn the_longest_frames_we_send_fit() {
    let identities = vec![IdentityKey::from_bytes([4; 32]); CONTACTS_PER_FRAME];
    assert!(encode(&ClientFrame::Contacts { replace: true, identities }).len() <= MAX_FRAME);
    let name = "x".repeat(32).parse().unwrap();
    let call = CallFrame { name, ..call() };
    assert!(encode(&ServerFrame::Called { id: u64::MAX, call }).len() < 1000);
}

#[test]
fn a_claimed_length_of_4_gib_is_refused_before_anything_is_kept() {
    let result = read::<ClientFrame>(&[0xff; 4]);
    assert!(matches!(result, Err(FrameError::TooLong(u32::MAX))));
    let just_too_long = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes();
    assert!(matches!(read::<ClientFrame>(&just_too_long), Err(FrameError::TooLong(_))));
}

#[test]
fn a_stream_that_breaks_off_inside_a_frame_is_an_error() {
    let bytes = encode(&ClientFrame::Ping);
    assert!(read::<ClientFrame>(&[]).unwrap().is_none());
    for len in 1..bytes.len() {
        assert!(matches!(read::<ClientFrame>(&bytes[..len]), Err(FrameError::Read(_))));
    }
}

#[tokio::test]
async fn reading_can_be_cancelled_anywhere() {
    use tokio::io::AsyncWriteExt;
    let (mut near, far) = tokio::io::duplex(64);
    let mut reader = FrameReader::new(far);
    let bytes = [encode(&ClientFrame::Ping), encode(&client_frames()[1].0)].concat();
    let mut frames = Vec::new();
    for byte in bytes {
        near.write_all(&[byte]).await.unwrap();
        tokio::select! {
            biased;
            frame = reader.next::<ClientFrame>() => frames.push(frame.unwrap().unwrap()),
            () = std::future::ready(()) => {}
        }
    }
    assert_eq!(frames, [ClientFrame::Ping, client_frames()[1].0.clone()]);
}

#[test]
fn a_proof_holds_for_its_key_and_connection_only() {
    let device = SigningKey::from_bytes(&[5; 32]);
    let other = SigningKey::from_bytes(&[6; 32]).verifying_key().into();
    let proof = Proof::sign(&device, &[1; 32]);
    assert!(proof.verify(&device.verifying_key().into(), &[1; 32]));
    assert!(!proof.verify(&device.verifying_key().into(), &[2; 32]));
    assert!(!proof.verify(&other, &[1; 32]));
}

proptest! {
    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read::<ClientFrame>(&bytes);
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        let _ = read::<ClientFrame>(&[&length[..], &bytes].concat());
        let _ = read::<ServerFrame>(&[&length[..], &bytes].concat());
    }

    #[test]
    fn damaged_frames_never_panic(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let frames = client_frames();
        let mut bytes = with_length(&frames[which.index(frames.len())].1);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read::<ClientFrame>(&bytes);
    }
}
