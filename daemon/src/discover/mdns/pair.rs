//! What two devices that know each other have in common and nobody else has: the secret by which
//! one recognises the announcements of the other, and may call it without a server.
//!
//! The secret is X25519 between the two device keys (Ed25519 keys serve for both, see libsodium's
//! `crypto_sign_ed25519_sk_to_curve25519` and Thormarker, "On using the same key pair for Ed25519
//! and an X25519 based KEM"), so that nothing has to be exchanged or kept beside the certificates.
//! Each use has a key of its own.

use std::fmt;

use ed25519_dalek::{SigningKey, VerifyingKey};
use filefleet_server::protos::certificate::{DeviceCertificate, DeviceKey};

use super::announcement::Nonce;
use crate::connect::offer::{Secret, Tag};

const PAIR: &str = "filefleet 1 lan: what two devices have in common";
const TAG: &str = "filefleet 1 lan: tag of a day";
const CHECK: &str = "filefleet 1 lan: connectivity checks after an announcement";

/// The bytes of a mark: a guess is right once in 2^64.
pub const MARK_LEN: usize = 8;

/// What an announcement shows for one contact: a MAC over the rest of it that only that contact
/// can compute, besides the announcer. To everybody else it is random.
pub type Mark = [u8; MARK_LEN];

/// Days since 1970, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u64);

/// The secret of this device and another one.
#[derive(Clone)]
pub struct Pair {
    ours: DeviceKey,
    theirs: DeviceKey,
    secret: [u8; 32],
}

/// Makes or checks the marks of one device for the other, for a day.
#[derive(Clone)]
pub struct DayKey([u8; 32]);

impl Pair {
    /// `None` if the other device's key is of a kind that shares its secrets with everybody.
    pub fn new(
        device_key: &SigningKey,
        ours: &DeviceCertificate,
        theirs: &DeviceCertificate,
    ) -> Option<Self> {
        let their_key = VerifyingKey::from_bytes(theirs.device().as_bytes()).ok()?;
        if their_key.is_weak() {
            return None;
        }
        let shared = their_key.to_montgomery().mul_clamped(device_key.to_scalar_bytes());
        let mut sides = [ours, theirs].map(|side| (side.device(), side.identity()));
        sides.sort();
        let mut hasher = blake3::Hasher::new_derive_key(PAIR);
        hasher.update(shared.as_bytes());
        for (device, identity) in sides {
            hasher.update(device.as_bytes()).update(identity.as_bytes());
        }
        let secret = *hasher.finalize().as_bytes();
        Some(Self { ours: ours.device(), theirs: theirs.device(), secret })
    }

    /// The other device.
    pub fn device(&self) -> DeviceKey {
        self.theirs
    }

    /// For what this device announces.
    pub fn to_announce(&self, day: Day) -> DayKey {
        self.day_key(self.ours, day)
    }

    /// For what the other device announces.
    pub fn to_recognise(&self, day: Day) -> DayKey {
        self.day_key(self.theirs, day)
    }

    /// Each direction has marks of its own, or who sees both announcements would know that the two
    /// know each other.
    fn day_key(&self, announcer: DeviceKey, day: Day) -> DayKey {
        let mut hasher = blake3::Hasher::new_derive_key(TAG);
        hasher.update(&self.secret).update(announcer.as_bytes()).update(&day.0.to_be_bytes());
        DayKey(*hasher.finalize().as_bytes())
    }

    /// With what the other device checks whether this one answers, after an announcement of this
    /// one's.
    pub fn checks_of_us(&self, nonce: &Nonce) -> (Tag, Secret) {
        self.checks(self.ours, nonce)
    }

    /// With what this device checks whether the other one answers, after an announcement of the
    /// other one's.
    pub fn checks_of_them(&self, nonce: &Nonce) -> (Tag, Secret) {
        self.checks(self.theirs, nonce)
    }

    fn checks(&self, announcer: DeviceKey, nonce: &Nonce) -> (Tag, Secret) {
        let mut hasher = blake3::Hasher::new_derive_key(CHECK);
        hasher.update(&self.secret).update(announcer.as_bytes()).update(nonce);
        let mut bytes = [0; 20];
        hasher.finalize_xof().fill(&mut bytes);
        let [a, b, c, d, secret @ ..] = bytes;
        (Tag(u32::from_be_bytes([a, b, c, d])), Secret(secret))
    }
}

impl DayKey {
    /// The mark under an announcement.
    pub fn mark(&self, announced: &[u8]) -> Mark {
        let mac = blake3::keyed_hash(&self.0, announced);
        let mut mark = [0; MARK_LEN];
        mark.copy_from_slice(&mac.as_bytes()[..MARK_LEN]);
        mark
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("device", &self.theirs).finish_non_exhaustive()
    }
}

impl fmt::Debug for DayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DayKey(..)")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A device and its certificate.
    pub(crate) fn device(seed: u8) -> (SigningKey, DeviceCertificate) {
        let device_key = SigningKey::from_bytes(&[seed; 32]);
        let identity = SigningKey::from_bytes(&[seed ^ 0xff; 32]);
        let device = device_key.verifying_key().into();
        let certificate = DeviceCertificate::issue(&identity, device, "laptop", 1, 2);
        (device_key, certificate)
    }

    /// What the first device has in common with the second.
    pub(crate) fn pair(ours: u8, theirs: u8) -> Pair {
        let ((key, ours), (_, theirs)) = (device(ours), device(theirs));
        Pair::new(&key, &ours, &theirs).unwrap()
    }

    #[test]
    fn both_devices_come_to_the_same_secret_and_others_do_not() {
        let (alices, bobs) = (pair(1, 2), pair(2, 1));
        let day = Day(20_000);
        assert_eq!(alices.to_announce(day).mark(b"x"), bobs.to_recognise(day).mark(b"x"));
        assert_eq!(bobs.to_announce(day).mark(b"x"), alices.to_recognise(day).mark(b"x"));
        assert_eq!(alices.checks_of_us(&[7; 16]), bobs.checks_of_them(&[7; 16]));
        assert_ne!(alices.secret, pair(1, 3).secret);
        assert_ne!(alices.secret, pair(3, 2).secret);
    }

    #[test]
    fn a_mark_says_nothing_about_another_day_direction_or_content() {
        let pair = pair(1, 2);
        let mark = pair.to_announce(Day(1)).mark(b"x");
        assert_ne!(mark, pair.to_announce(Day(2)).mark(b"x"));
        assert_ne!(mark, pair.to_recognise(Day(1)).mark(b"x"));
        assert_ne!(mark, pair.to_announce(Day(1)).mark(b"y"));
        assert_ne!(pair.checks_of_us(&[1; 16]), pair.checks_of_us(&[2; 16]));
    }

    #[test]
    fn a_person_with_another_identity_is_another_pair() {
        let ((key, ours), (_, theirs)) = (device(1), device(2));
        let other = SigningKey::from_bytes(&[9; 32]);
        let moved = DeviceCertificate::issue(&other, theirs.device(), "laptop", 1, 2);
        let (one, other) = (Pair::new(&key, &ours, &theirs), Pair::new(&key, &ours, &moved));
        assert_ne!(one.unwrap().secret, other.unwrap().secret);
    }

    #[test]
    fn a_key_that_shares_its_secrets_with_everybody_is_refused() {
        let (key, ours) = device(1);
        let identity = SigningKey::from_bytes(&[5; 32]);
        let mut neutral = [0; 32];
        neutral[0] = 1;
        for weak in [[0; 32], neutral] {
            let weak = DeviceKey::from_bytes(weak);
            let theirs = DeviceCertificate::issue(&identity, weak, "evil", 1, 2);
            assert!(Pair::new(&key, &ours, &theirs).is_none());
        }
    }
}
