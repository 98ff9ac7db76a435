//! Datagrams in a byte stream, for networks that let no UDP through.
//!
//! A *tunnel* is a TLS connection over TCP that stands for one UDP socket: what its client writes
//! into it leaves the server's end for one of the server's own two UDP ports, and what that port
//! answers comes back. Each datagram is a frame, `u16 length ‖ bytes`. Nothing else travels in it:
//! what the datagrams say is proven end to end as without a tunnel.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest datagram: longer ones would fit no path beyond the server.
pub const MAX_DATAGRAM: usize = 2048;
/// Bytes before each datagram.
const HEADER_LEN: usize = 2;

/// A frame that promises a longer datagram than there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a datagram of {0} bytes in a tunnel")]
pub struct TooLong(pub usize);

/// To which of the server's UDP ports a tunnel leads. Said by ALPN, so that it is settled before
/// the first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The main one.
    Rendezvous,
    /// The relay's.
    Relay,
}

impl Port {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Rendezvous, Self::Relay];

    /// The application protocol that leads there.
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Rendezvous => b"filefleet-tunnel-rendezvous/1",
            Self::Relay => b"filefleet-tunnel-relay/1",
        }
    }

    /// Where this application protocol leads.
    pub fn of_alpn(alpn: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|port| port.alpn() == alpn)
    }
}

/// Appends a frame. A datagram that is empty or too long is left out, as the network would lose it.
pub fn put_frame(out: &mut BytesMut, datagram: &[u8]) {
    if let Ok(len @ 1..) = u16::try_from(datagram.len())
        && datagram.len() <= MAX_DATAGRAM
    {
        out.reserve(HEADER_LEN + datagram.len());
        out.put_u16(len);
        out.put_slice(datagram);
    }
}

/// Takes the first whole frame's datagram out of what was read; `None` until it is all there.
///
/// What waits for its rest is never longer than a frame with [`MAX_DATAGRAM`] bytes.
pub fn take_frame(read: &mut BytesMut) -> Result<Option<Bytes>, TooLong> {
    let Some(header) = read.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes(*header));
    if len > MAX_DATAGRAM {
        return Err(TooLong(len));
    }
    if read.len() < HEADER_LEN + len {
        return Ok(None);
    }
    read.advance(HEADER_LEN);
    Ok(Some(read.split_to(len).freeze()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_keeps_its_bytes() {
        let mut out = BytesMut::new();
        put_frame(&mut out, b"abc");
        assert_eq!(&out[..], [0, 3, b'a', b'b', b'c']);
    }

    #[test]
    fn what_is_no_datagram_makes_no_frame() {
        let mut out = BytesMut::new();
        put_frame(&mut out, b"");
        put_frame(&mut out, &[0; MAX_DATAGRAM + 1]);
        assert!(out.is_empty());
        put_frame(&mut out, &[0; MAX_DATAGRAM]);
        assert_eq!(out.len(), HEADER_LEN + MAX_DATAGRAM);
        assert_eq!(take_frame(&mut BytesMut::from(&[8, 1][..])), Err(TooLong(2049)));
    }

    #[test]
    fn each_port_has_its_protocol() {
        for port in Port::ALL {
            assert_eq!(Port::of_alpn(port.alpn()), Some(port));
        }
        assert_eq!(Port::of_alpn(b"h2"), None);
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..2000), 0..20),
            cuts in prop::collection::vec(1_usize..500, 1..20),
        ) {
            let mut stream = BytesMut::new();
            datagrams.iter().for_each(|datagram| put_frame(&mut stream, datagram));
            let (mut read, mut out) = (BytesMut::new(), Vec::new());
            for cut in cuts.iter().cycle() {
                if stream.is_empty() {
                    break;
                }
                read.extend_from_slice(&stream.split_to((*cut).min(stream.len())));
                out.extend(std::iter::from_fn(|| take_frame(&mut read).unwrap()));
            }
            prop_assert_eq!(out, datagrams);
        }

        #[test]
        fn arbitrary_bytes_never_panic_nor_pile_up(bytes: Vec<u8>) {
            let mut read = BytesMut::from(&bytes[..]);
            loop {
                match take_frame(&mut read) {
                    Ok(Some(datagram)) => prop_assert!(datagram.len() <= MAX_DATAGRAM),
                    Ok(None) => break prop_assert!(read.len() < HEADER_LEN + MAX_DATAGRAM),
                    Err(TooLong(len)) => break prop_assert!(len > MAX_DATAGRAM),
                }
            }
        }
    }
}
