//! How much others may put on this user's screen: each sender a little, strangers together a little
//! more. What is over it is not lost; it waits where requests and transfers are listed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use filefleet_ctl::proto::{RequestView, TransferView};

/// So many at once, and then one each time.
#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// As many as a stranger may have waiting; a stranger who withdraws and asks again gets few more.
const STRANGER: Rate = Rate { burst: 3, every: Duration::from_secs(60) };
/// Names are cheap: many strangers together get no more than a person can answer.
const STRANGERS: Rate = Rate { burst: 30, every: Duration::from_secs(10) };
const CONTACT: Rate = Rate { burst: 30, every: Duration::from_secs(5) };
/// Ends of transfers with one person.
const ENDS: Rate = Rate { burst: 10, every: Duration::from_secs(20) };
/// The note that stands for all the requests without one.
const MORE: Rate = Rate { burst: 3, every: Duration::from_secs(60) };
/// People who are counted at one time. Whoever has used up nothing is not.
const MAX_PEOPLE: usize = 512;

/// Whom something is counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whom {
    /// By identity.
    Sender(String),
    /// By name.
    Ends(String),
    Strangers,
    More,
}

/// What has been used. The value is when it will all be there again (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub(super) struct Budget {
    used: HashMap<Whom, Instant>,
}

impl Budget {
    /// Whether this request may be shown.
    pub(super) fn takes_request(&mut self, request: &RequestView, now: Instant) -> bool {
        let sender = Whom::Sender(request.identity.clone());
        match request.known {
            true => self.take(sender, CONTACT, now),
            false => self.take(sender, STRANGER, now) && self.take(Whom::Strangers, STRANGERS, now),
        }
    }

    /// Whether the end of this transfer may be shown.
    pub(super) fn takes_end(&mut self, transfer: &TransferView, now: Instant) -> bool {
        self.take(Whom::Ends(transfer.peer.clone()), ENDS, now)
    }

    /// Whether it may be shown that there are more requests.
    pub(super) fn takes_more(&mut self, now: Instant) -> bool {
        self.take(Whom::More, MORE, now)
    }

    fn take(&mut self, whom: Whom, rate: Rate, now: Instant) -> bool {
        if self.used.len() >= MAX_PEOPLE {
            self.used.retain(|_, full_at| *full_at > now);
        }
        if self.used.len() >= MAX_PEOPLE && !self.used.contains_key(&whom) {
            return false;
        }
        let full_at = self.used.get(&whom).copied().unwrap_or(now).max(now);
        let fits = full_at.duration_since(now) <= rate.every * (rate.burst - 1);
        if fits {
            self.used.insert(whom, full_at + rate.every);
        }
        fits
    }
}

#[cfg(test)]
#[path = "budget/tests.rs"]
mod tests;
