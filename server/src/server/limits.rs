//! Rate limits per address, in bounded memory.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Addresses remembered at a time; between two sweeps, no more than this are added.
const MAX_ADDRESSES: usize = 65_536;
/// How often [`AddressLimiter::sweep`] is to be called.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Limits what comes from one address; for IPv6 from one /64, which is one customer.
#[derive(Debug)]
pub(super) struct AddressLimiter {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
}

impl AddressLimiter {
    pub(super) fn per_second(amount: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_second(amount)) }
    }

    pub(super) fn per_minute(amount: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_minute(amount)) }
    }

    /// Whether one more from this address is within its limit.
    ///
    /// While too many addresses are active to remember them, everything is: such a flood does not
    /// come from any one of them, and shutting everybody out would be its success.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        self.limiter.len() >= MAX_ADDRESSES || self.limiter.check_key(&customer(address)).is_ok()
    }

    /// Forgets the addresses that have been quiet.
    pub(super) fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

fn customer(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let prefix = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_address_has_its_own_limit() {
        let limiter = AddressLimiter::per_minute(NonZeroU32::new(2).unwrap());
        let [first, second] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        assert!(limiter.admits(first) && limiter.admits(first) && !limiter.admits(first));
        assert!(limiter.admits(second));
    }

    #[test]
    fn an_ipv6_customer_is_a_64_bit_prefix() {
        let limiter = AddressLimiter::per_minute(NonZeroU32::new(1).unwrap());
        assert!(limiter.admits("2001:db8:0:1::1".parse().unwrap()));
        assert!(!limiter.admits("2001:db8:0:1:ffff::2".parse().unwrap()));
        assert!(limiter.admits("2001:db8:0:2::1".parse().unwrap()));
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let limiter = AddressLimiter::per_second(NonZeroU32::new(1_000_000).unwrap());
        for number in 0..u32::try_from(MAX_ADDRESSES).unwrap() + 1000 {
            assert!(limiter.admits(IpAddr::from(number.to_be_bytes())));
        }
        assert_eq!(limiter.limiter.len(), MAX_ADDRESSES);
        limiter.sweep();
        assert!(limiter.limiter.len() < MAX_ADDRESSES);
    }
}
