//! What could not be kept of what was sent: counted by kind, with the first examples of each, so that
//! it stays small whatever a transfer holds.
//!
//! Each side collects what it notices itself: the sender what it does not send, the receiver what its
//! file system does not take. The receiver tells at the end, with the word that all is there.

use std::collections::BTreeMap;

use filefleet_ctl::proto::{LossExample, LossKind as ShownKind, LossView};

/// The most examples of one kind.
pub(crate) const MAX_EXAMPLES: usize = 10;
/// The most bytes of an example's path, and of what is said about it.
pub(crate) const MAX_PATH_TEXT: u16 = 256;
pub(crate) const MAX_DETAIL: u16 = 128;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)+) => {
        /// What was lost. Numbers are never used again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum LossKind { $($(#[$doc])* $name,)+ }

        impl LossKind {
            /// Every kind there is.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// The number on the wire.
            pub(crate) fn number(self) -> u8 {
                match self { $(Self::$name => $number,)+ }
            }

            /// The kind of a number; one from a newer peer is [`LossKind::Other`].
            pub(crate) fn from_number(number: u8) -> Self {
                match number { $($number => Self::$name,)+ _ => Self::Other }
            }

            fn shown(self) -> ShownKind {
                match self { $(Self::$name => ShownKind::$name,)+ }
            }

            fn of_shown(kind: ShownKind) -> Self {
                match kind { $(ShownKind::$name => Self::$name,)+ }
            }
        }
    };
}

kinds! {
    /// What a newer version calls by a name of its own.
    Other = 0;
    /// Permission bits that the destination's file system does not keep.
    Permissions = 1;
    /// A modification time that it keeps less exactly, or not at all.
    Time = 2;
    /// A further name of a file that became a file of its own.
    HardLink = 3;
    /// A name that was taken: the entry has another one.
    Name = 4;
    /// Set-id and sticky bits, which are never sent.
    SpecialBits = 5;
    /// Extended attributes that the destination did not take.
    Attributes = 6;
    /// Holes of a sparse file that occupy the disk now.
    Holes = 7;
    /// A socket, pipe or device.
    NotSent = 8;
    /// Extended attributes that were not sent because nobody asked for it.
    AttributesNotSent = 9;
    /// Extended attributes that are never sent: of another namespace than the user's, or too many.
    AttributesNeverSent = 10;
}

/// One thing that an entry lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub(crate) kind: LossKind,
    /// More about it, such as the name that it has instead.
    pub(crate) detail: String,
}

impl Lost {
    pub(crate) fn new(kind: LossKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

/// All that a transfer lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Losses(BTreeMap<LossKind, Count>);

/// How often one kind of thing was lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Count {
    pub(crate) count: u64,
    /// The first entries that lost it: path and detail, as texts.
    pub(crate) examples: Vec<(String, String)>,
}

impl Losses {
    /// Notes that the entry at `path`, a text, lost something.
    pub(crate) fn add(&mut self, path: &str, lost: Lost) {
        let kind = self.0.entry(lost.kind).or_default();
        kind.count = kind.count.saturating_add(1);
        if kind.examples.len() < MAX_EXAMPLES {
            let example = (cut(path, MAX_PATH_TEXT), cut(&lost.detail, MAX_DETAIL));
            kind.examples.push(example);
        }
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn add_count(&mut self, kind: LossKind, Count { count, examples }: Count) {
        let known = self.0.entry(kind).or_default();
        known.count = known.count.saturating_add(count);
        let room = MAX_EXAMPLES.saturating_sub(known.examples.len());
        known.examples.extend(examples.into_iter().take(room));
    }

    /// These and `others`.
    pub(crate) fn and(&self, others: &Self) -> Self {
        let mut all = self.clone();
        others.iter().for_each(|(kind, count)| all.add_count(kind, count.clone()));
        all
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (LossKind, &Count)> {
        self.0.iter().map(|(kind, count)| (*kind, count))
    }

    /// As clients are shown it.
    pub(crate) fn views(&self) -> Vec<LossView> {
        let example = |(path, detail): &(String, String)| LossExample {
            path: path.clone(),
            detail: detail.clone(),
        };
        let view = |(kind, lost): (LossKind, &Count)| LossView {
            kind: kind.shown(),
            count: lost.count,
            examples: lost.examples.iter().map(example).collect(),
        };
        self.iter().map(view).collect()
    }

    /// What [`Self::views`] shows.
    pub(crate) fn of_views(views: &[LossView]) -> Self {
        let mut losses = Self::default();
        for LossView { kind, count, examples } in views {
            let example = |example: &LossExample| {
                (cut(&example.path, MAX_PATH_TEXT), cut(&example.detail, MAX_DETAIL))
            };
            let examples = examples.iter().map(example).collect();
            losses.add_count(LossKind::of_shown(*kind), Count { count: *count, examples });
        }
        losses
    }
}

/// The beginning of a text that is too long, marked as such.
pub(super) fn cut(text: &str, most: u16) -> String {
    const MARK: &str = "…";
    match usize::from(most) {
        most if text.len() > most => {
            format!("{}{MARK}", &text[..text.floor_char_boundary(most - MARK.len())])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back_to_its_kind() {
        for kind in LossKind::ALL {
            assert_eq!(LossKind::from_number(kind.number()), *kind);
            assert_eq!(LossKind::of_shown(kind.shown()), *kind);
        }
        assert_eq!(LossKind::from_number(250), LossKind::Other);
    }

    #[test]
    fn everything_is_counted_and_only_the_first_are_named() {
        let mut losses = Losses::default();
        for number in 0..1_000 {
            losses.add(&number.to_string(), Lost::new(LossKind::Time, ""));
        }
        losses.add(&"é".repeat(1_000), Lost::new(LossKind::Name, "ü".repeat(1_000)));
        let views = losses.views();
        let [times, names] = &views[..] else { panic!("{views:?}") };
        assert_eq!((times.count, times.examples.len()), (1_000, MAX_EXAMPLES));
        assert_eq!(times.examples[9].path, "9");
        assert!(names.examples[0].path.len() <= MAX_PATH_TEXT.into());
        assert!(names.examples[0].detail.ends_with("ü…"));
        assert_eq!(Losses::of_views(&views), losses);
    }

    #[test]
    fn what_both_sides_lost_is_added_up() {
        let mut ours = Losses::default();
        ours.add("a", Lost::new(LossKind::HardLink, ""));
        let mut theirs = ours.clone();
        theirs.add("b", Lost::new(LossKind::Holes, ""));
        theirs.add_count(LossKind::HardLink, Count { count: u64::MAX, examples: Vec::new() });
        let all = ours.and(&theirs);
        let counts: Vec<_> = all.iter().map(|(kind, lost)| (kind, lost.count)).collect();
        assert_eq!(counts, [(LossKind::HardLink, u64::MAX), (LossKind::Holes, 1)]);
        assert!(!all.is_empty() && Losses::default().is_empty());
    }
}
