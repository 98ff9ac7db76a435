//! What lists and events show of a transfer: little of each, so that all of it stays one message,
//! whatever other people have said. Asked for one transfer alone, the daemon tells everything.

use super::{ControlError, FileFailure, LossExample, TransferView};

/// Failures, and losses of each kind, that are named.
const MAX_NAMED: usize = 3;
/// The most bytes of a text.
const MAX_TEXT: usize = 96;

impl TransferView {
    /// The transfer with the first three failures and losses of each kind, their texts shortened, and
    /// the others counted.
    #[must_use]
    pub fn brief(mut self) -> Self {
        self.name_failures(MAX_NAMED);
        for FileFailure { path, message } in &mut self.failures {
            shorten(path);
            shorten(message);
        }
        for loss in &mut self.losses {
            loss.examples.truncate(MAX_NAMED);
            for LossExample { path, detail } in &mut loss.examples {
                shorten(path);
                shorten(detail);
            }
        }
        self
    }

    /// The transfer with nothing of any length that somebody else may have chosen.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.name_failures(0);
        self.losses.iter_mut().for_each(|loss| loss.examples.clear());
        self.paths.clear();
        self.text = None;
        shorten(&mut self.label);
        self.detail.iter_mut().for_each(shorten);
        for ControlError { message, hint, .. } in self.error.iter_mut().chain(&mut self.reason) {
            shorten(message);
            hint.iter_mut().for_each(shorten);
        }
        self
    }

    fn name_failures(&mut self, most: usize) {
        let more = self.failures.len().saturating_sub(most);
        self.failures.truncate(most);
        self.failures_more += u64::try_from(more).unwrap_or(u64::MAX);
    }
}

fn shorten(text: &mut String) {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::proto::{LossKind, LossView, TransferState};
    use crate::testing;

    /// A transfer of which the other side has said as much as it can, in characters that take most.
    fn loud() -> TransferView {
        let text = "\u{1}".repeat(512);
        let failure = FileFailure { path: text.clone(), message: text.clone() };
        let example = LossExample { path: text.clone(), detail: text.clone() };
        let loss = LossView { kind: LossKind::Name, count: 70, examples: vec![example; 10] };
        TransferView {
            failures: vec![failure; 100],
            failures_more: 5,
            losses: vec![loss; 9],
            text: Some(text.repeat(32)),
            label: text,
            ..testing::transfer(TransferState::Failed)
        }
    }

    fn len(view: &TransferView) -> usize {
        serde_json::to_string(view).unwrap().len()
    }

    #[test]
    fn a_brief_transfer_names_few_and_counts_all() {
        let brief = TransferView { text: None, ..loud() }.brief();
        assert_eq!((brief.failures.len(), brief.failures_more), (3, 102));
        assert_eq!((brief.losses[0].examples.len(), brief.losses[0].count), (3, 70));
        assert!(len(&brief) < 64 << 10, "{}", len(&brief));
        assert_eq!(brief.clone().brief().failures_more, 102, "briefer it does not get");
        let bare = loud().bare();
        assert_eq!((bare.failures.len(), bare.failures_more), (0, 105));
        assert!(len(&bare) < 3 << 10, "{}", len(&bare));
    }

    #[test]
    fn texts_are_cut_between_characters_and_short_ones_stay() {
        let cut = |text: String| {
            let mut text = text;
            shorten(&mut text);
            text
        };
        assert_eq!(cut("é".repeat(48)), "é".repeat(48));
        assert_eq!(cut(format!("a{}", "é".repeat(48))), format!("a{}…", "é".repeat(47)));
    }
}
