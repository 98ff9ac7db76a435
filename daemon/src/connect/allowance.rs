//! How often somebody who does not answer may be asked, sans-IO: a peer can name any address as its
//! own, and then whoever lives there has not asked for our checks.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Requests to one address, whatever their ports, that may go unanswered within ten minutes.
pub const MOST: u32 = 10;
/// After this long an address may be asked afresh, and an answer counts no longer.
const WINDOW: Duration = Duration::from_secs(600);
/// Addresses at a time; further ones have to wait until others are forgotten.
const MAX_ADDRESSES: usize = 512;

/// Why an address is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The peer has named it.
    Named,
    /// A request of the peer's came from there, or the peer has forged its source.
    Heard,
}

/// What has been asked of the addresses of one peer, by all searches for paths to it. It outlives
/// them: who is called again and again may ask others no more often.
#[derive(Debug, Default)]
pub struct Allowances {
    accounts: HashMap<(IpAddr, Reason), Account>,
    unlimited: bool,
}

#[derive(Debug)]
struct Account {
    since: Instant,
    asked: u32,
    /// Somebody who holds the peer's key is there: asking again harms nobody.
    answered: bool,
}

impl Allowances {
    /// Of the user's own server, which waits for requests: only strangers have to be spared.
    pub fn unlimited() -> Self {
        Self { unlimited: true, ..Self::default() }
    }

    /// Before when this address may not be asked; `None` if it may.
    pub fn earliest(&self, ip: IpAddr, reason: Reason) -> Option<Instant> {
        match self.accounts.get(&(ip, reason)) {
            _ if self.unlimited => None,
            Some(account) if account.is_used_up() => Some(account.end()),
            None if self.accounts.len() >= MAX_ADDRESSES => {
                self.accounts.values().map(Account::end).min()
            }
            Some(_) | None => None,
        }
    }

    /// The address is asked.
    pub fn spend(&mut self, now: Instant, ip: IpAddr, reason: Reason) {
        self.account(now, ip, reason).asked += 1;
    }

    /// An authentic request came from there: one more may go there, for this reason. Only the peer
    /// could have forged its source, and each packet of its own would then draw two: the answer, and
    /// this one.
    pub fn heard(&mut self, now: Instant, ip: IpAddr, reason: Reason) {
        if let Some(account) = self.accounts.get_mut(&(ip, reason)) {
            account.asked = account.asked.saturating_sub(1);
        }
        self.forget_old(now);
    }

    /// An authentic answer came from there.
    pub fn answered(&mut self, now: Instant, ip: IpAddr) {
        for reason in [Reason::Named, Reason::Heard] {
            *self.account(now, ip, reason) = Account { since: now, asked: 0, answered: true };
        }
    }

    /// This machine is in another network, where other machines may have these addresses.
    pub fn forgive(&mut self) {
        self.accounts.clear();
    }

    /// Whether nothing has to be remembered any more.
    pub fn is_settled(&mut self, now: Instant) -> bool {
        self.forget_old(now);
        self.accounts.is_empty()
    }

    fn account(&mut self, now: Instant, ip: IpAddr, reason: Reason) -> &mut Account {
        self.forget_old(now);
        let new = || Account { since: now, asked: 0, answered: false };
        self.accounts.entry((ip, reason)).or_insert_with(new)
    }

    fn forget_old(&mut self, now: Instant) {
        self.accounts.retain(|_, account| account.end() > now);
    }
}

impl Account {
    fn end(&self) -> Instant {
        self.since + WINDOW
    }

    fn is_used_up(&self) -> bool {
        !self.answered && self.asked >= MOST
    }
}

#[cfg(test)]
mod tests;
