//! What happens with a request: one pure function of who sends, what and where to, used by every
//! path that leads to an answer.

use std::path::PathBuf;

pub(crate) use filefleet_ctl::proto::Accept;

/// Who sends, as far as the answer depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sender {
    /// What the user set for this contact; `None` for a stranger.
    pub(crate) accept: Option<Accept>,
    pub(crate) dest_dir: Option<PathBuf>,
    pub(crate) max_bytes: Option<u64>,
}

/// What the user's settings say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// What strangers get.
    pub(crate) strangers: Accept,
    /// What contacts get who are set to `Ask`: that, or `Always`.
    pub(crate) contacts: Accept,
    /// Whether nothing is taken without a person's word.
    pub(crate) paused: bool,
    /// Where files go unless the contact has a folder of its own.
    pub(crate) received_dir: PathBuf,
    /// The most bytes that are taken without asking, if there is such a bound.
    pub(crate) max_bytes: Option<u64>,
    /// Requests of this sender that wait already, and of all senders.
    pub(crate) waiting: Count,
    /// Transfers that are being received.
    pub(crate) running: Count,
    /// Accepted ones whose sender is away.
    pub(crate) kept: Count,
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Count {
    pub(crate) of_sender: usize,
    pub(crate) of_all: usize,
}

/// The most requests of one stranger that may wait.
pub(crate) const MAX_WAITING_OF_STRANGER: usize = 3;
/// The most requests that may wait in all.
pub(crate) const MAX_WAITING: usize = 100;
/// Of these places, the ones that strangers may take; the rest is kept for contacts.
pub(crate) const MAX_WAITING_OF_STRANGERS: usize = 60;

/// The most transfers that are received at once; each has a thread and open files.
pub(crate) const MAX_RUNNING: usize = 64;
/// Of one sender, who shall not keep others out.
pub(crate) const MAX_RUNNING_OF_SENDER: usize = 32;

/// The most unfinished transfers that are kept while their senders are away; each has content on the
/// disk.
pub(crate) const MAX_KEPT: usize = 1_000;
/// Of one sender.
pub(crate) const MAX_KEPT_OF_SENDER: usize = 100;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Take it, to this folder, and at most so many bytes whatever the request says.
    Accept { dest_dir: PathBuf, max_bytes: Option<u64> },
    /// A person has to say.
    Ask,
    /// Never from this sender.
    Refuse,
    /// More than this sender may send.
    TooLarge { most: u64 },
    /// Too many requests wait already.
    Busy,
}

/// What happens to a file that was delivered before and comes again with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Update {
    /// Nobody wishes that it is replaced: the new one lies beside it.
    #[default]
    Unwanted,
    /// The sender wishes it and may not: the new one lies beside it, and that is told.
    Refused,
    /// The new one replaces it, unless the user has altered it.
    Allowed,
}

/// Decides whether what this contact sent before may be replaced. `overwrite` is what the user set for
/// them; strangers never may.
pub(crate) fn update(is_wanted: bool, overwrite: Option<bool>) -> Update {
    match (is_wanted, overwrite) {
        (false, _) => Update::Unwanted,
        (true, Some(true)) => Update::Allowed,
        (true, _) => Update::Refused,
    }
}

/// Decides about a request that says to hold `bytes`.
pub(crate) fn decide(sender: &Sender, bytes: u64, rules: &Rules) -> Decision {
    let max_bytes = sender.max_bytes.or(rules.max_bytes);
    match wish(sender, rules) {
        Accept::Never => Decision::Refuse,
        Accept::Ask | Accept::Always if max_bytes.is_some_and(|most| bytes > most) => {
            Decision::TooLarge { most: max_bytes.unwrap_or_default() }
        }
        Accept::Always if rules.running.of_all >= MAX_RUNNING => Decision::Busy,
        Accept::Always if rules.running.of_sender >= MAX_RUNNING_OF_SENDER => Decision::Busy,
        Accept::Always if rules.kept.of_all >= MAX_KEPT => Decision::Busy,
        Accept::Always if rules.kept.of_sender >= MAX_KEPT_OF_SENDER => Decision::Busy,
        Accept::Always => {
            let dest_dir = sender.dest_dir.clone().unwrap_or_else(|| rules.received_dir.clone());
            Decision::Accept { dest_dir, max_bytes }
        }
        Accept::Ask if rules.waiting.of_all >= places(sender) => Decision::Busy,
        Accept::Ask
            if sender.accept.is_none() && rules.waiting.of_sender >= MAX_WAITING_OF_STRANGER =>
        {
            Decision::Busy
        }
        Accept::Ask => Decision::Ask,
    }
}

/// What the user wants to happen with what this sender sends. A pause makes wait what would be taken.
fn wish(sender: &Sender, rules: &Rules) -> Accept {
    let wish = match sender.accept {
        Some(Accept::Ask) => rules.contacts,
        Some(own) => own,
        None => rules.strangers,
    };
    if rules.paused && wish == Accept::Always { Accept::Ask } else { wish }
}

/// The waiting requests beyond which this sender has to come again later.
fn places(sender: &Sender) -> usize {
    if sender.accept.is_none() { MAX_WAITING_OF_STRANGERS } else { MAX_WAITING }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            strangers: Accept::Ask,
            contacts: Accept::Ask,
            paused: false,
            received_dir: "/received".into(),
            max_bytes: None,
            waiting: Count::default(),
            running: Count::default(),
            kept: Count::default(),
        }
    }

    fn contact(accept: Accept) -> Sender {
        Sender { accept: Some(accept), ..Sender::default() }
    }

    #[test]
    fn a_contact_gets_what_the_user_set() {
        let accepted = Decision::Accept { dest_dir: "/received".into(), max_bytes: None };
        assert_eq!(decide(&contact(Accept::Always), 1, &rules()), accepted);
        assert_eq!(decide(&contact(Accept::Ask), 1, &rules()), Decision::Ask);
        assert_eq!(decide(&contact(Accept::Never), 1, &rules()), Decision::Refuse);
        let to =
            Sender { dest_dir: Some("/b".into()), max_bytes: Some(9), ..contact(Accept::Always) };
        let accepted = Decision::Accept { dest_dir: "/b".into(), max_bytes: Some(9) };
        assert_eq!(decide(&to, 9, &rules()), accepted);
        assert_eq!(decide(&to, 10, &rules()), Decision::TooLarge { most: 9 });
    }

    #[test]
    fn contacts_who_would_be_asked_about_get_what_the_settings_say() {
        let trusting = Rules { contacts: Accept::Always, ..rules() };
        let accepted = Decision::Accept { dest_dir: "/received".into(), max_bytes: None };
        assert_eq!(decide(&contact(Accept::Ask), 1, &trusting), accepted);
        assert_eq!(decide(&contact(Accept::Never), 1, &trusting), Decision::Refuse);
        assert_eq!(decide(&Sender::default(), 1, &trusting), Decision::Ask);
    }

    #[test]
    fn while_receiving_is_paused_everything_waits_that_would_be_taken() {
        let paused =
            Rules { strangers: Accept::Always, contacts: Accept::Always, paused: true, ..rules() };
        for sender in [Sender::default(), contact(Accept::Ask), contact(Accept::Always)] {
            assert_eq!(decide(&sender, 1, &paused), Decision::Ask);
        }
        assert_eq!(decide(&contact(Accept::Never), 1, &paused), Decision::Refuse);
    }

    #[test]
    fn only_a_contact_who_may_replaces_and_only_on_demand() {
        for overwrite in [None, Some(false), Some(true)] {
            assert_eq!(update(false, overwrite), Update::Unwanted);
        }
        assert_eq!(update(true, None), Update::Refused);
        assert_eq!(update(true, Some(false)), Update::Refused);
        assert_eq!(update(true, Some(true)), Update::Allowed);
    }

    #[test]
    fn a_stranger_gets_what_the_settings_say_and_cannot_fill_the_list() {
        let stranger = Sender::default();
        assert_eq!(decide(&stranger, 1, &rules()), Decision::Ask);
        let never = Rules { strangers: Accept::Never, ..rules() };
        assert_eq!(decide(&stranger, 1, &never), Decision::Refuse);
        let busy = |of_sender, of_all| Rules { waiting: Count { of_sender, of_all }, ..rules() };
        assert_eq!(decide(&stranger, 1, &busy(2, 59)), Decision::Ask);
        assert_eq!(decide(&stranger, 1, &busy(0, 60)), Decision::Busy);
        assert_eq!(decide(&contact(Accept::Ask), 1, &busy(0, 60)), Decision::Ask);
        assert_eq!(decide(&stranger, 1, &busy(3, 3)), Decision::Busy);
        assert_eq!(decide(&contact(Accept::Ask), 1, &busy(3, 3)), Decision::Ask);
        assert_eq!(decide(&contact(Accept::Ask), 1, &busy(0, 100)), Decision::Busy);
        for (of_sender, of_all) in [(0, MAX_RUNNING), (MAX_RUNNING_OF_SENDER, 40)] {
            let full = Rules { running: Count { of_sender, of_all }, ..rules() };
            assert_eq!(decide(&contact(Accept::Always), 1, &full), Decision::Busy);
        }
        for (of_sender, of_all) in [(0, MAX_KEPT), (MAX_KEPT_OF_SENDER, 100)] {
            let full = Rules { kept: Count { of_sender, of_all }, ..rules() };
            assert_eq!(decide(&contact(Accept::Always), 1, &full), Decision::Busy);
        }
    }
}
