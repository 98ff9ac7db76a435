//! Numbers, times and views as people read them, and sizes as people write them: the same words in
//! every program.

use std::time::{Duration, SystemTime};

use crate::proto::{
    Check, Direction, Level, LinkChange, LinkEvent, LinkKind, LinkLoss, RelayedCode, RequestView,
    TransferState, TransferView,
};
use crate::text;

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A number of bytes: `17 B`, `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for next in UNITS {
        // Rounded to a tenth, so that 1,023.96 is shown as 1.0 of the next unit.
        if (tenths + 5) / 10 < 1024 {
            break;
        }
        tenths = (tenths + 512) / 1024;
        unit = next;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

/// Bytes per second.
pub fn rate(bytes_per_second: u64) -> String {
    format!("{}/s", size(bytes_per_second))
}

/// A duration to the precision that matters: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// How long ago an instant in Unix seconds was.
pub fn ago(instant: u64) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    match now.checked_sub(Duration::from_secs(instant)) {
        Some(past) if past >= Duration::from_secs(10) => format!("{} ago", duration(past)),
        _ => "just now".to_owned(),
    }
}

/// How long it is until an instant in Unix seconds; `None` if it is over.
pub fn until(instant: u64) -> Option<Duration> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Duration::from_secs(instant).checked_sub(now)
}

/// `1 file`, `3 files`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// How much something is: `3 files, 1.5 GiB`, with "at least" while more may come.
pub fn amount(files: u64, bytes: u64, total_known: bool) -> String {
    let at_least = if total_known { "" } else { "at least " };
    format!("{at_least}{}, {}", count(files, "file"), size(bytes))
}

/// An id as tables show it; commands take any beginning that is unique.
pub fn short_id(id: &str) -> String {
    text::display(&id.chars().take(8).collect::<String>()).to_string()
}

/// `yes` or `no`.
pub fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// What joins two daemons, in a word.
pub fn link(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Lan => "lan",
        LinkKind::Direct => "direct",
        LinkKind::Relayed => "relayed",
    }
}

/// What a transfer goes over, and in short why over nothing better: `relayed: guessing ports`.
pub fn link_of(transfer: &TransferView) -> Option<String> {
    let kind = link(transfer.link?);
    Some(match &transfer.why_relayed {
        Some(why) => format!("{kind}: {}", why_relayed(why.code)),
        None => kind.to_owned(),
    })
}

/// Why something goes through the relay, in a few words.
pub fn why_relayed(code: RelayedCode) -> &'static str {
    match code {
        RelayedCode::NotAcceptedYet => "not accepted yet",
        RelayedCode::UdpBlocked => "no UDP gets out of here",
        RelayedCode::Searching => "looking for a direct path",
        RelayedCode::GuessingPorts => "guessing ports",
        RelayedCode::LanIsolated => "the router keeps you apart",
        RelayedCode::NoPath => "no direct path",
        RelayedCode::DirectSlower => "faster than the direct link",
        RelayedCode::DirectSilent => "the direct link is silent",
        RelayedCode::Other => "no better link",
    }
}

/// Why a link is no more, in a few words.
pub fn link_loss(loss: LinkLoss) -> &'static str {
    match loss {
        LinkLoss::Silent => "nothing came in over it",
        LinkLoss::Surplus => "others are better",
        LinkLoss::ClosedByPeer => "the other side closed it",
        LinkLoss::Broken => "it broke",
        LinkLoss::SessionOver => "all links have ended",
        LinkLoss::Other => "it is of no use any more",
    }
}

/// A change of links, in a line.
pub fn link_event(event: &LinkEvent) -> String {
    let (peer, kind) = (text::display(&event.peer), link(event.kind));
    match event.change {
        LinkChange::Joined => format!("{peer}: a {kind} link came up"),
        LinkChange::Lost => match event.loss {
            Some(loss) => format!("{peer}: a {kind} link is gone: {}", link_loss(loss)),
            None => format!("{peer}: a {kind} link is gone"),
        },
        LinkChange::InUse => match &event.why_relayed {
            Some(why) => {
                format!("{peer}: the {kind} link is in use: {}", why_relayed(why.code))
            }
            None => format!("{peer}: the {kind} link is in use"),
        },
    }
}

/// What an examination has looked at, in a word or two.
pub fn check(check: Check) -> &'static str {
    match check {
        Check::Resolution => "server",
        Check::Udp => "udp",
        Check::Tcp => "tcp",
        Check::Certificate => "certificate",
        Check::Registration => "registration",
        Check::Relay => "relay",
        Check::RoundTrip => "round trip",
        Check::Clock => "clock",
        Check::Address => "address",
        Check::Nat => "nat",
        Check::PortMapping => "port mapping",
        Check::Ipv6 => "ipv6",
        Check::Other => "other",
    }
}

/// How bad it is, in a word.
pub fn level(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Problem => "problem",
    }
}

/// A transfer's state, in a word.
pub fn state(state: TransferState) -> &'static str {
    match state {
        TransferState::Queued => "queued",
        TransferState::Waiting => "waiting",
        TransferState::Active => "active",
        TransferState::Paused => "paused",
        TransferState::Done => "done",
        TransferState::Failed => "failed",
        TransferState::Declined => "declined",
        TransferState::Cancelled => "cancelled",
    }
}

/// Who sends to whom, as this user sees it.
pub fn route(transfer: &TransferView) -> String {
    let peer = text::display(&transfer.peer);
    match transfer.direction {
        Direction::Outgoing => format!("to {peer}"),
        Direction::Incoming => format!("from {peer}"),
    }
}

/// What is known of whoever wants to send something.
pub fn standing(request: &RequestView) -> &'static str {
    match (request.known, request.verified) {
        (false, _) => "a stranger",
        (true, false) => "a contact, not verified",
        (true, true) => "a contact, verified",
    }
}

/// How far a transfer is: `45% of 1.5 GiB`.
pub fn progress(transfer: &TransferView) -> String {
    match percent(transfer) {
        Some(percent) => format!("{percent}% of {}", size(transfer.bytes)),
        None => format!("{} so far", size(transfer.bytes_done)),
    }
}

/// How much of a transfer is delivered; unknown while more may come.
pub fn percent(transfer: &TransferView) -> Option<u64> {
    let done = u128::from(transfer.bytes_done) * 100;
    let percent = done.checked_div(u128::from(transfer.bytes)).unwrap_or(100);
    transfer.total_known.then(|| u64::try_from(percent).unwrap_or(100).min(100))
}

/// Time left at the present rate.
pub fn time_left(transfer: &TransferView) -> Option<Duration> {
    let left = transfer.bytes.saturating_sub(transfer.bytes_done);
    let seconds = left.checked_div(transfer.rate)?;
    transfer.total_known.then(|| Duration::from_secs(seconds))
}

/// Reads a size: a number with `K`, `M`, `G` or `T` (powers of 1,024, as with `iB`; of 1,000 with
/// `B`), or without (bytes).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().map_err(|_| "a size is a number, as in 500M".to_owned())?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let (power, rest) = match unit.chars().next() {
        None | Some('b') => (0, unit.as_str()),
        Some(prefix) => match "kmgt".find(prefix) {
            Some(index) => (index + 1, &unit[1..]),
            None => return Err(format!("{unit:?} is no unit of size; try K, M, G or T")),
        },
    };
    let base: u64 = match rest {
        "" | "ib" => 1024,
        "b" => 1000,
        _ => return Err(format!("{unit:?} is no unit of size; try K, M, G or T")),
    };
    let factor = (0..power).try_fold(1_u64, |factor, _| factor.checked_mul(base));
    factor.and_then(|factor| number.checked_mul(factor)).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn sizes_are_shown_to_a_tenth() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17b", 17),
            ("500M", 500 << 20),
            ("500 MiB", 500 << 20),
            ("1kb", 1000),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "1X", "1Mx", "99999999T", "1 000"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_lose_what_does_not_matter() {
        let shown = |seconds| duration(Duration::from_secs_f64(seconds));
        assert_eq!(shown(0.44), "0.4 s");
        assert_eq!(shown(59.9), "59 s");
        assert_eq!(shown(200.0), "3 min 20 s");
        assert_eq!(shown(7500.0), "2 h 5 min");
        assert_eq!(shown(90000.0), "1 d 1 h");
    }
}
