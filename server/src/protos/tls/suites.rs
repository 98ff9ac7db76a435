//! Which cipher suites are offered, and whose code runs them.
//!
//! Packets are sealed and opened one by one, so AES-GCM is what a link spends most time of its own on.
//! aws-lc uses a processor's wide AES instructions (VAES) only together with AVX-512, which most
//! processors do not have; there ring takes about 0.6 of its time for a packet, with AVX2.

use rustls::{SupportedCipherSuite, crypto::aws_lc_rs};

/// The suites of TLS 1.3, the one first that this processor is fastest at.
pub(super) fn fastest() -> Vec<SupportedCipherSuite> {
    let [aes_128, aes_256, chacha20] = implemented();
    match has_aes_instructions() {
        true => vec![aes_128, aes_256, chacha20],
        false => vec![chacha20, aes_128, aes_256],
    }
}

#[cfg(target_arch = "x86_64")]
fn implemented() -> [SupportedCipherSuite; 3] {
    if has_wide_aes() && !has_avx512() { ring() } else { aws_lc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn implemented() -> [SupportedCipherSuite; 3] {
    aws_lc()
}

#[cfg(target_arch = "x86_64")]
fn ring() -> [SupportedCipherSuite; 3] {
    use rustls::crypto::ring::cipher_suite::{
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };
    [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256]
}

fn aws_lc() -> [SupportedCipherSuite; 3] {
    use aws_lc_rs::cipher_suite::{
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };
    [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256]
}

/// What ring's AES-GCM wants for two blocks at a time.
#[cfg(target_arch = "x86_64")]
fn has_wide_aes() -> bool {
    std::arch::is_x86_feature_detected!("vaes")
        && std::arch::is_x86_feature_detected!("vpclmulqdq")
        && std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi2")
}

/// What aws-lc's AES-GCM wants, beside wide AES, for four blocks at a time.
#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512dq")
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_aes_instructions() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes_instructions() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes_instructions() -> bool {
    false
}

#[cfg(all(test, target_arch = "x86_64"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustls::{
        Side,
        quic::{Keys, Version},
    };

    use super::*;

    /// What a suite makes of a packet: its protected payload, its first byte and its number.
    fn protected(suite: SupportedCipherSuite) -> (Vec<u8>, u8, [u8; 4]) {
        let suite = suite.tls13().unwrap();
        let keys = Keys::initial(Version::V1, suite, suite.quic.unwrap(), b"peer", Side::Client);
        let mut packet: Vec<u8> = (0..=u8::MAX).cycle().take(1_425).collect();
        let tag = keys.local.packet.encrypt_in_place(42, b"header", &mut packet).unwrap();
        packet.extend_from_slice(tag.as_ref());
        let (mut first, mut number) = (0x43, [1, 2, 3, 4]);
        keys.local.header.encrypt_in_place(&packet[..16], &mut first, &mut number).unwrap();
        (packet, first, number)
    }

    #[test]
    fn both_implementations_protect_packets_alike() {
        let named = |suites: [SupportedCipherSuite; 3]| suites.map(|suite| suite.suite());
        assert_eq!(named(ring()), named(aws_lc()));
        for (ring, aws_lc) in ring().into_iter().zip(aws_lc()) {
            assert_eq!(protected(ring), protected(aws_lc), "{ring:?}");
        }
    }

    #[test]
    fn wide_aes_is_used_where_it_is() {
        let [first, ..] = fastest()[..] else { panic!("no suite") };
        let expected = match (has_aes_instructions(), has_wide_aes() && !has_avx512()) {
            (true, true) => ring()[0],
            (true, false) => aws_lc()[0],
            (false, _) => aws_lc()[2],
        };
        assert_eq!(protected(first), protected(expected));
        assert_eq!(first.suite(), expected.suite());
    }
}
