//! Checks of people who are known without a session, and the addresses from which they passed one:
//! from there they may connect for a while.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use filefleet_server::{protos::certificate::DeviceKey, udp::OtherDatagram};

use super::keys::Credentials;
use crate::connect::offer::{Secret, Tag};

/// From a check to the connection that it is made for.
const CALL_TIME: Duration = Duration::from_secs(15);
/// Addresses that are remembered.
const MAX_CALLERS: usize = 256;

/// Somebody whose checks are answered.
#[derive(Debug, Clone)]
pub struct Caller {
    /// How they name this side.
    pub tag: Tag,
    /// With what they key their checks.
    pub secret: Secret,
    /// Who they are.
    pub device: DeviceKey,
}

/// Who may call, and who has knocked; shared by the driver and its handles.
#[derive(Debug, Clone, Default)]
pub(super) struct Callers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    expected: HashMap<Tag, (Credentials, DeviceKey)>,
    passed: HashMap<SocketAddr, (DeviceKey, Instant)>,
}

impl Callers {
    /// From now on these, and nobody else.
    pub(super) fn expect(&self, callers: impl Iterator<Item = Caller>) {
        let credentials = |caller: Caller| {
            (caller.tag, (Credentials::new(caller.tag, &caller.secret), caller.device))
        };
        self.lock().expected = callers.map(credentials).collect();
    }

    /// Answers a check that names somebody expected, and who that is; `None` if it is not theirs.
    pub(super) fn answer(
        &self,
        now: Instant,
        request: &OtherDatagram,
        ours: Tag,
    ) -> Option<(Vec<u8>, DeviceKey)> {
        let mut state = self.lock();
        let (credentials, device) = state.expected.get(&ours)?.clone();
        let answer = credentials.answer(request)?;
        // Before the answer leaves: they may connect as soon as it is there.
        state.passed.retain(|_, (_, at)| now.saturating_duration_since(*at) < CALL_TIME);
        if state.passed.len() < MAX_CALLERS {
            state.passed.insert(request.source, (device, now));
        }
        Some((answer, device))
    }

    /// Who passed a check from this address a moment ago.
    pub(super) fn passed(&self, now: Instant, remote: SocketAddr) -> Option<DeviceKey> {
        let (device, at) = *self.lock().passed.get(&remote)?;
        (now.saturating_duration_since(at) < CALL_TIME).then_some(device)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use filefleet_server::{protos::stun, udp::Datagram};

    use super::super::keys::Keys;
    use super::*;

    const BOB: DeviceKey = DeviceKey::from_bytes([2; 32]);

    fn check(secret: u8, source: &str) -> OtherDatagram {
        let credentials = |tag, secret| Credentials::new(Tag(tag), &Secret([secret; 16]));
        let keys = Keys { ours: credentials(9, 9), theirs: credentials(1, secret) };
        says(source, keys.request())
    }

    fn says(source: &str, payload: Vec<u8>) -> OtherDatagram {
        let (source, payload) = (source.parse().unwrap(), Bytes::from(payload));
        OtherDatagram { source, local_ip: None, kind: Datagram::Stun, payload }
    }

    fn expecting_bob() -> Callers {
        let callers = Callers::default();
        callers.expect([Caller { tag: Tag(1), secret: Secret([7; 16]), device: BOB }].into_iter());
        callers
    }

    #[test]
    fn who_is_expected_is_answered_and_may_connect_from_there_for_a_while() {
        let (callers, now) = (expecting_bob(), Instant::now());
        let request = check(7, "10.0.0.2:2");
        assert_eq!(callers.passed(now, request.source), None);
        assert!(callers.answer(now, &request, Tag(1)).is_some());
        assert_eq!(callers.passed(now, request.source), Some(BOB));
        assert_eq!(callers.passed(now, "10.0.0.2:3".parse().unwrap()), None);
        assert_eq!(callers.passed(now + CALL_TIME, request.source), None);
    }

    #[test]
    fn a_stranger_is_neither_answered_nor_let_in() {
        let (callers, now) = (expecting_bob(), Instant::now());
        let plain = says("10.0.0.3:3", stun::request([1; 12]));
        for (request, tag) in [(check(8, "10.0.0.3:3"), 1), (check(7, "10.0.0.3:3"), 2), (plain, 1)]
        {
            assert_eq!(callers.answer(now, &request, Tag(tag)), None);
            assert_eq!(callers.passed(now, request.source), None);
        }
        callers.expect(std::iter::empty());
        assert_eq!(callers.answer(now, &check(7, "10.0.0.2:2"), Tag(1)), None);
    }

    #[test]
    fn no_more_addresses_are_remembered_than_there_is_room_for() {
        let (callers, now) = (expecting_bob(), Instant::now());
        for port in 1..=1_000_u16 {
            callers.answer(now, &check(7, &format!("10.0.0.2:{port}")), Tag(1));
        }
        assert_eq!(callers.lock().passed.len(), MAX_CALLERS);
        let later = check(7, "10.0.0.2:2000");
        callers.answer(now + CALL_TIME, &later, Tag(1));
        assert_eq!(callers.passed(now + CALL_TIME, later.source), Some(BOB));
    }
}
