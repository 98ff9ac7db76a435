#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const SESSION: SessionId = [0x11; 16];

fn v4() -> SocketAddr {
    "192.0.2.1:258".parse().unwrap()
}

fn v6() -> SocketAddr {
    "[2001:db8::1]:65535".parse().unwrap()
}

fn frames() -> Vec<BindFrame> {
    let key = SessionKey::from_bytes([7; 32]);
    vec![
        BindFrame::Hello { session: SESSION, side: Side::Callee },
        BindFrame::Challenge { session: SESSION, cookie: [0x22; 24] },
        key.bind(SESSION, Side::Caller, 5, [0x22; 24]),
        BindFrame::Bound { session: SESSION, observed: v4() },
        BindFrame::Bound { session: SESSION, observed: v6() },
        BindFrame::Gone { session: SESSION },
    ]
}

#[test]
fn encoding_stays_as_it_is() {
    let session = "11".repeat(16);
    let cookie = "22".repeat(24);
    let mac = "6c64630fa8da8bbb596dcb88b9a24ec7379913cbcaff56d8441d82b35af1db01";
    let encoded: Vec<_> = frames().iter().map(|frame| hex::encode(&frame.encode())).collect();
    assert_eq!(encoded[0], format!("0801{session}01{}", "00".repeat(45)));
    assert_eq!(encoded[1], format!("0802{session}{cookie}"));
    let padding = "00".repeat(13);
    assert_eq!(encoded[2], format!("0803{session}000000000000000005{cookie}{mac}{padding}"));

    assert_eq!(encoded[3], format!("0804{session}00000000000000000000ffffc00002010102"));
    assert_eq!(encoded[4], format!("0804{session}20010db8000000000000000000000001ffff"));
    assert_eq!(encoded[5], format!("0805{session}"));
}

#[test]
fn frames_are_read_back_at_their_exact_length_only() {
    for frame in frames() {
        let mut bytes = frame.encode();
        assert_eq!(BindFrame::decode(&bytes), Some(frame));
        assert_eq!(BindFrame::decode(&bytes[..bytes.len() - 1]), None);
        bytes.push(0);
        assert_eq!(BindFrame::decode(&bytes), None);
    }
}

#[test]
fn no_answer_is_longer_than_its_request() {
    let longest = |frames: &[BindFrame]| frames.iter().map(|frame| frame.encode().len()).max();
    let frames = frames();
    assert!(longest(&frames[1..2]).max(longest(&frames[5..])) <= Some(HELLO_LEN));
    assert!(longest(&frames[3..]) <= Some(BIND_LEN));
}

#[test]
fn a_mac_holds_for_its_own_bind_only() {
    let key = SessionKey::from_bytes([7; 32]);
    let BindFrame::Bind { session, side, sequence, cookie, mac } =
        key.bind(SESSION, Side::Caller, 5, [0x22; 24])
    else {
        unreachable!()
    };
    let verifier = key.verifier();
    assert!(verifier.verify(&session, side, sequence, &cookie, &mac));
    assert!(!verifier.verify(&session, Side::Callee, sequence, &cookie, &mac));
    assert!(!verifier.verify(&session, side, 6, &cookie, &mac));
    assert!(!verifier.verify(&[0; 16], side, sequence, &cookie, &mac));
    assert!(!verifier.verify(&session, side, sequence, &[0; 24], &mac));
    let other = SessionKey::from_bytes([8; 32]).verifier();
    assert!(!other.verify(&session, side, sequence, &cookie, &mac));
}

#[test]
fn a_cookie_holds_for_its_own_source_and_session_only() {
    let key = CookieKey::new(&[1; 32]);
    let cookie = key.issue(v4(), &SESSION, 77);
    assert_eq!(key.issued_at(&cookie, v4(), &SESSION), Some(77));
    assert_eq!(key.issued_at(&cookie, v6(), &SESSION), None);
    assert_eq!(key.issued_at(&cookie, v4(), &[0; 16]), None);
    let mut later = cookie;
    later[7] += 1;
    assert_eq!(key.issued_at(&later, v4(), &SESSION), None);
    assert_eq!(CookieKey::new(&[2; 32]).issued_at(&cookie, v4(), &SESSION), None);
}

proptest! {
    #[test]
    fn decoding_never_panics(
        number in any::<u8>(),
        rest in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let _ = BindFrame::decode(&rest);
        let _ = BindFrame::decode(&[&[FIRST_BYTE, number][..], &rest].concat());
    }
}
