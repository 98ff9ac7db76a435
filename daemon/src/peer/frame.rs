//! Frames of a link's control stream: `type u8 ‖ length u32 ‖ payload`, all big-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use filefleet_server::protos::certificate::{CertificateError, DeviceCertificate};

/// The longest payload of a frame.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// The longest message of the transfer engine.
pub const MAX_MESSAGE: usize = 60 * 1024;
/// Type and length.
pub const HEADER_LEN: usize = 5;

const TYPE_HELLO: u8 = 1;
const TYPE_MESSAGE: u8 = 2;
const TYPE_ACK: u8 = 3;

/// Who reads a message. A kind that this version does not know is skipped, but acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(u8);

impl Kind {
    /// The transfer engine.
    pub const ENGINE: Self = Self(0);
    /// The session itself: candidates.
    pub const SIGNAL: Self = Self(1);
}

/// The first frame of both sides: which session state speaks, and for which device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Picked when the speaker's session state was made.
    pub incarnation: u64,
    /// The speaker's certificate.
    pub certificate: DeviceCertificate,
}

/// One numbered message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Counted from 0 within a session and direction.
    pub seq: u64,
    /// Who reads it.
    pub kind: Kind,
    /// What it says.
    pub body: Bytes,
}

/// What a control stream carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// 1: `incarnation u64 ‖ device certificate`.
    Hello(Hello),
    /// 2: `seq u64 ‖ kind u8 ‖ body`; see [`Kind`].
    Message(Message),
    /// 3: `next u64`: every message below `next` has been delivered.
    Ack(u64),
}

/// Why a frame was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The header claims more than [`MAX_PAYLOAD`].
    #[error("a frame of {0} bytes is too long")]
    TooLong(u32),
    /// The payload ends too early.
    #[error("a frame is cut short")]
    Truncated,
    /// The certificate in a hello is not valid.
    #[error("the peer's device certificate is not valid")]
    Certificate(#[from] CertificateError),
}

/// Reads type and length, and refuses a length before anything is allocated for it.
pub fn decode_header(header: [u8; HEADER_LEN]) -> Result<(u8, usize), FrameError> {
    let [kind, length @ ..] = header;
    let length = u32::from_be_bytes(length);
    match usize::try_from(length) {
        Ok(payload) if payload <= MAX_PAYLOAD => Ok((kind, payload)),
        _ => Err(FrameError::TooLong(length)),
    }
}

impl Frame {
    /// Reads a payload; `None` if this version does not know the type.
    pub fn decode(frame_type: u8, mut payload: Bytes) -> Result<Option<Self>, FrameError> {
        let frame = match frame_type {
            TYPE_HELLO => {
                let incarnation = payload.try_get_u64().map_err(|_| FrameError::Truncated)?;
                let certificate = DeviceCertificate::decode(&payload)?;
                Self::Hello(Hello { incarnation, certificate })
            }
            TYPE_MESSAGE => {
                let seq = payload.try_get_u64().map_err(|_| FrameError::Truncated)?;
                let kind = Kind(payload.try_get_u8().map_err(|_| FrameError::Truncated)?);
                Self::Message(Message { seq, kind, body: payload })
            }
            TYPE_ACK => Self::Ack(payload.try_get_u64().map_err(|_| FrameError::Truncated)?),
            _ => return Ok(None),
        };
        Ok(Some(frame))
    }

    /// Header and payload; the body of a message is shared, not copied.
    pub fn encode(&self) -> [Bytes; 2] {
        match self {
            Self::Hello(hello) => {
                let certificate = hello.certificate.encode();
                let mut head = header(TYPE_HELLO, 8 + certificate.len());
                head.put_u64(hello.incarnation);
                [head.freeze(), certificate.into()]
            }
            Self::Message(message) => {
                let mut head = header(TYPE_MESSAGE, 9 + message.body.len());
                head.put_u64(message.seq);
                head.put_u8(message.kind.0);
                [head.freeze(), message.body.clone()]
            }
            Self::Ack(next) => {
                let mut head = header(TYPE_ACK, 8);
                head.put_u64(*next);
                [head.freeze(), Bytes::new()]
            }
        }
    }
}

fn header(frame_type: u8, payload: usize) -> BytesMut {
    let mut head = BytesMut::with_capacity(HEADER_LEN + 16);
    head.put_u8(frame_type);
    head.put_u32(u32::try_from(payload).expect("payloads are bounded by MAX_PAYLOAD"));
    head
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ed25519_dalek::SigningKey;
    use filefleet_server::protos::certificate::DeviceKey;
    use proptest::prelude::*;

    use super::*;

    fn round_trip(frame: &Frame) -> Frame {
        let bytes = frame.encode().concat();
        let (head, payload) = bytes.split_at(HEADER_LEN);
        let (frame_type, length) = decode_header(head.try_into().unwrap()).unwrap();
        assert_eq!(length, payload.len());
        Frame::decode(frame_type, Bytes::copy_from_slice(payload)).unwrap().unwrap()
    }

    #[test]
    fn frames_keep_their_bytes() {
        let message = Message { seq: 0x0102, kind: Kind::SIGNAL, body: Bytes::from_static(b"hey") };
        let frame = Frame::Message(message);
        let bytes = frame.encode().concat();
        assert_eq!(bytes, [2, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 1, 2, 1, b'h', b'e', b'y']);
        assert_eq!(round_trip(&frame), frame);
        let ack = Frame::Ack(7);
        assert_eq!(ack.encode().concat(), [3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(round_trip(&ack), ack);
    }

    #[test]
    fn a_hello_carries_a_verified_certificate() {
        let identity = SigningKey::from_bytes(&[1; 32]);
        let device =
            DeviceKey::from_bytes(SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes());
        let certificate = DeviceCertificate::issue(&identity, device, "laptop", 0, 1);
        let frame = Frame::Hello(Hello { incarnation: 9, certificate });
        assert_eq!(round_trip(&frame), frame);
        let mut forged = frame.encode().concat();
        *forged.last_mut().unwrap() ^= 1;
        let payload = Bytes::copy_from_slice(&forged[HEADER_LEN..]);
        assert!(matches!(Frame::decode(TYPE_HELLO, payload), Err(FrameError::Certificate(_))));
    }

    #[test]
    fn a_claimed_length_is_refused_before_allocation() {
        assert!(matches!(decode_header([2, 0xff, 0xff, 0xff, 0xff]), Err(FrameError::TooLong(_))));
        assert!(decode_header([2, 0, 1, 0, 0]).is_ok());
        assert!(decode_header([2, 0, 1, 0, 1]).is_err());
    }

    #[test]
    fn unknown_types_are_skipped() {
        assert!(Frame::decode(200, Bytes::from_static(b"??")).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(kind: u8, payload: Vec<u8>) {
            let _ = Frame::decode(kind, payload.into());
        }
    }
}
