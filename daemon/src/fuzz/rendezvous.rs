//! What servers, relays and whoever sends us a datagram say.

use std::fmt::Debug;

use ed25519_dalek::SigningKey;
use filefleet_server::protos::address::ServerAddress;
use filefleet_server::protos::certificate::{DeviceCertificate, IdentityKey};
use filefleet_server::protos::name::Name;
use filefleet_server::protos::relay::{BindFrame, SessionKey, Side};
use filefleet_server::protos::rendezvous::{
    CallFrame, ClientFrame, ErrorCode, FrameReader, MAX_FRAME, Proof, RefuseReason, ServerFrame,
    Session, Transaction, encode,
};
use filefleet_server::protos::stun::{self, StunKey, StunMessage};
use filefleet_server::protos::tls::{device_key_of_spki, spki};
use filefleet_server::udp::classify;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::{fuzz, fuzz_within};
use super::peer::certificate;

fn name() -> Name {
    "bob".parse().unwrap()
}

fn call() -> CallFrame {
    let key = SessionKey::from_bytes([7; 32]);
    CallFrame { session: Session([1; 16]), key, name: name(), certificate: certificate() }
}

/// Reads one frame of a stream and nothing more.
fn read<T: DeserializeOwned>(stream: &[u8]) -> Option<T> {
    // Always ready: the stream is in memory.
    let mut reader = FrameReader::new(stream);
    let next = std::pin::pin!(reader.next());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match next.poll(&mut context) {
        std::task::Poll::Ready(read) => read.ok().flatten(),
        std::task::Poll::Pending => panic!("a stream in memory is always ready"),
    }
}

fn fuzz_frames<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    target: &str,
    frames: &[T],
    is_known: impl Fn(&T) -> bool,
) {
    // A stream's reader makes room for the frame that is announced.
    let free_memory = u64::try_from(MAX_FRAME).unwrap() + (4 << 10);
    fuzz_within(free_memory, target, frames.iter().map(encode).collect(), |bytes| {
        let Some(frame) = read::<T>(bytes).filter(&is_known) else { return false };
        assert_eq!(read::<T>(&encode(&frame)), Some(frame));
        true
    });
}

#[test]
fn frames_of_a_client() {
    let certificate = Box::new(certificate());
    let proof = Proof::sign(&SigningKey::from_bytes(&[2; 32]), &[3; 32]);
    let identities = vec![IdentityKey::from_bytes([9; 32]); 3];
    let frames = [
        ClientFrame::Register { name: name(), certificate, proof },
        ClientFrame::LookUp { id: 1, name: name() },
        ClientFrame::Call { id: u64::MAX, name: name() },
        ClientFrame::Refuse { session: Session([4; 16]), reason: RefuseReason::Busy },
        ClientFrame::Contacts { replace: true, identities },
        ClientFrame::Probe { id: 2, transaction: Transaction([6; 12]) },
        ClientFrame::Ping,
    ];
    fuzz_frames("frames of a client", &frames, |frame| *frame != ClientFrame::Unknown);
}

#[test]
fn frames_of_a_server() {
    let identity = IdentityKey::from_bytes([9; 32]);
    let frames = [
        ServerFrame::Registered { relay_port: 7836, observed: "192.0.2.1:5".parse().unwrap() },
        ServerFrame::Found { id: 1, identity },
        ServerFrame::Called { id: 2, call: call() },
        ServerFrame::Incoming { call: call() },
        ServerFrame::Refused { session: Session([4; 16]), reason: RefuseReason::Blocked },
        ServerFrame::Presence { identity, online: true },
        ServerFrame::Probed { id: 3, observed: "192.0.2.1:5".parse().unwrap(), sent: true, now: 1 },
        ServerFrame::Pong,
        ServerFrame::Error { id: None, code: ErrorCode::Offline, message: "no".to_owned() },
    ];
    fuzz_frames("frames of a server", &frames, |frame| *frame != ServerFrame::Unknown);
}

#[test]
fn stun_messages() {
    let key = StunKey::new("key");
    let id = [5; 12];
    let mapped = ["192.0.2.1:32853", "[2001:db8::1]:1"].map(|address| address.parse().unwrap());
    let seeds = vec![
        stun::request(id),
        stun::indication(id),
        stun::response(id, mapped[0]),
        stun::keyed_request(id, "session", &key),
        stun::keyed_response(id, mapped[1], &key),
    ];
    fuzz("STUN messages", seeds, |bytes| {
        let plain = stun::decode(bytes, None);
        let keyed = stun::decode(bytes, Some(&key));
        assert_eq!(plain.is_ok(), keyed.is_ok());
        match plain {
            Ok(StunMessage::Request { authenticated, .. }) => assert!(!authenticated),
            Ok(StunMessage::Response { id, mapped, authenticated }) => {
                assert!(!authenticated);
                let again = stun::decode(&stun::response(id, mapped), None);
                assert_eq!(again, Ok(StunMessage::Response { id, mapped, authenticated }));
            }
            Ok(StunMessage::Indication) => {}
            Err(_) => return false,
        }
        true
    });
}

#[test]
fn datagrams_of_a_relay() {
    let (session, cookie) = ([1; 16], [2; 24]);
    let seeds = [
        BindFrame::Hello { session, side: Side::Callee },
        BindFrame::Challenge { session, cookie },
        SessionKey::from_bytes([7; 32]).bind(session, Side::Caller, 5, cookie),
        BindFrame::Bound { session, observed: "192.0.2.1:258".parse().unwrap() },
        BindFrame::Bound { session, observed: "[2001:db8::1]:1".parse().unwrap() },
        BindFrame::Gone { session },
    ];
    fuzz("datagrams of a relay", seeds.iter().map(BindFrame::encode).collect(), |bytes| {
        let _ = classify(bytes);
        let Some(frame) = BindFrame::decode(bytes) else { return false };
        assert_eq!(BindFrame::decode(&frame.encode()), Some(frame));
        true
    });
}

#[test]
fn certificates_and_keys() {
    let certificate = certificate();
    fuzz("device certificates", vec![certificate.encode()], |bytes| {
        let Ok(read) = DeviceCertificate::decode(bytes) else { return false };
        // Nobody but the holder of the identity makes a second one.
        assert_eq!((read.encode(), &read), (bytes.to_vec(), &certificate));
        true
    });
    fuzz("keys of TLS peers", vec![spki(&certificate.device()).to_vec()], |bytes| {
        let Some(device) = device_key_of_spki(bytes) else { return false };
        assert_eq!(spki(&device), bytes);
        true
    });
}

#[test]
fn addresses_and_names() {
    let pin = "ab".repeat(32);
    let seeds =
        ["example.org", "10.0.0.1:99", "[::1]", "[2001:db8::1]:7", &format!("host:1#{pin}")];
    fuzz(
        "server addresses",
        seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect(),
        |bytes| {
            let Ok(text) = str::from_utf8(bytes) else { return false };
            let Ok(address) = text.parse::<ServerAddress>() else { return false };
            assert_eq!(address.to_string().parse(), Ok(address));
            true
        },
    );
    fuzz("names of people", vec![b"bob".to_vec(), b"a.b_c-d0".to_vec()], |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return false };
        let Ok(name) = text.parse::<Name>() else { return false };
        assert!(name.as_str() == text && text.is_ascii() && (1..=32).contains(&text.len()));
        true
    });
}
