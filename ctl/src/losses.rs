//! What could not be kept of a transfer, in words: what it is, what became of it, and what to do.

use crate::format::count;
use crate::proto::{LossExample, LossKind, LossView, TransferView};
use crate::text;

/// The most examples that are named; all that are known are in the JSON.
const MAX_NAMED: usize = 3;
/// The most characters of each.
const MAX_SHOWN: usize = 120;

/// A line for each kind of loss, and one below it for each of the first examples.
pub fn describe(losses: &[LossView]) -> Vec<String> {
    let mut lines = Vec::new();
    for loss in losses {
        lines.push(what(loss));
        lines.extend(
            loss.examples.iter().take(MAX_NAMED).map(|example| format!("  {}", one(example))),
        );
        let named = loss.examples.len().min(MAX_NAMED);
        let more = loss.count.saturating_sub(u64::try_from(named).unwrap_or(0));
        if more > 0 && named > 0 {
            lines.push(format!("  and {more} more"));
        }
    }
    lines
}

/// What can be done about them, a sentence each.
pub fn advice(transfer: &TransferView) -> Vec<&'static str> {
    let mut advice = Vec::new();
    let sentences =
        transfer.losses.iter().filter_map(|loss| what_to_do(loss.kind, transfer.update));
    for sentence in sentences {
        if !advice.contains(&sentence) {
            advice.push(sentence);
        }
    }
    advice
}

fn what(LossView { kind, count: number, .. }: &LossView) -> String {
    let entries = if *number == 1 { "1 entry".to_owned() } else { format!("{number} entries") };
    match kind {
        LossKind::Permissions => format!("permissions not kept: {entries}"),
        LossKind::Time => format!("times not kept exactly: {entries}"),
        LossKind::HardLink => format!("hard links that became files of their own: {number}"),
        LossKind::Name => format!("names that were taken, so that another was given: {number}"),
        LossKind::SpecialBits => format!("set-id or sticky bits dropped: {entries}"),
        LossKind::Attributes => format!("extended attributes not kept: {entries}"),
        LossKind::AttributesNotSent => format!("extended attributes not sent: {entries}"),
        LossKind::AttributesNeverSent => {
            format!("extended attributes that are never sent: {entries}")
        }
        LossKind::Holes => format!("holes filled with zeros: {}", count(*number, "file")),
        LossKind::NotSent => format!("sockets, pipes and devices not sent: {number}"),
        LossKind::Other => format!("other things not kept: {number}"),
    }
}

fn what_to_do(kind: LossKind, updates: bool) -> Option<&'static str> {
    const NO_SUCH_THING: &str = "the receiver's file system does not have all of this; what a tar archive holds stays in it";
    match kind {
        LossKind::Permissions
        | LossKind::Time
        | LossKind::HardLink
        | LossKind::Holes
        | LossKind::Attributes => Some(NO_SUCH_THING),
        LossKind::Name if updates => None,
        LossKind::Name => Some("to replace what you sent before: ffctl send --update"),
        LossKind::AttributesNotSent => {
            Some("to send the attributes of the namespace user: ffctl send --xattrs")
        }
        LossKind::SpecialBits
        | LossKind::AttributesNeverSent
        | LossKind::NotSent
        | LossKind::Other => None,
    }
}

fn one(LossExample { path, detail }: &LossExample) -> String {
    let path = text::brief(path, MAX_SHOWN);
    match detail.as_str() {
        "" => path,
        detail => format!("{path}: {}", text::brief(detail, MAX_SHOWN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::TransferState;
    use crate::testing;

    fn loss(kind: LossKind, number: u64, path: &str, detail: &str) -> LossView {
        let example = LossExample { path: path.to_owned(), detail: detail.to_owned() };
        let examples = (0..number.min(10)).map(|_| example.clone()).collect();
        LossView { kind, count: number, examples }
    }

    #[test]
    fn advice_is_given_once_and_fits_what_was_lost() {
        let transfer = testing::transfer(TransferState::Done);
        let advice_on = |losses| advice(&TransferView { losses, ..transfer.clone() });
        let poor = vec![
            loss(LossKind::Time, 1, "a", "off by 1s"),
            loss(LossKind::Attributes, 1, "a", "unsupported: user.x"),
            loss(LossKind::Holes, 1, "a", ""),
        ];
        assert_eq!(advice_on(poor).len(), 1);
        let unasked = vec![loss(LossKind::AttributesNotSent, 1, "a", "user.x")];
        assert!(advice_on(unasked)[0].ends_with("--xattrs"));
        let never = vec![loss(LossKind::AttributesNeverSent, 1, "a", "security.x")];
        assert_eq!(advice_on(never), [""; 0]);
        let renamed = vec![loss(LossKind::Name, 1, "a", "a (2)")];
        assert!(advice_on(renamed.clone())[0].ends_with("--update"));
        let update = TransferView { losses: renamed, update: true, ..transfer.clone() };
        assert_eq!(advice(&update), [""; 0]);
        assert_eq!(advice_on(vec![loss(LossKind::SpecialBits, 1, "a", "")]), [""; 0]);
    }

    #[test]
    fn losses_are_counted_and_the_first_are_named() {
        let losses =
            [loss(LossKind::Name, 1, "a", "a (2)"), loss(LossKind::Time, 5, "b\u{1b}[2J", "")];
        assert_eq!(
            describe(&losses),
            [
                "names that were taken, so that another was given: 1",
                "  a: a (2)",
                "times not kept exactly: 5 entries",
                "  b\\u{1b}[2J",
                "  b\\u{1b}[2J",
                "  b\\u{1b}[2J",
                "  and 2 more",
            ]
        );
    }
}
