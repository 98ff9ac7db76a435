//! Why a transfer or one of its files does not go on: the numbers that cross the wire.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)+) => {
        /// Why a transfer or a file ends without being delivered. Numbers are never used again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub(crate) enum Reason { $($(#[$doc])* $name = $number,)+ }

        impl Reason {
            /// Every reason there is.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// The number on the wire.
            pub(crate) fn number(self) -> u8 {
                match self { $(Self::$name => $number,)+ }
            }

            /// The reason of a number; one from a newer peer is [`Reason::Other`].
            pub(crate) fn from_number(number: u8) -> Self {
                match number { $($number => Self::$name,)+ _ => Self::Other }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)+ })
            }
        }
    };
}

reasons! {
    /// Anything that has no number of its own.
    Other = 0, "an error";
    /// A person said no.
    Declined = 1, "declined";
    /// The contact's setting is `never`.
    NotAllowed = 2, "not accepted from this sender";
    /// More than the receiver takes from this sender.
    TooLarge = 3, "larger than the receiver accepts";
    /// The destination's disk (or quota) is full.
    NoSpace = 4, "no space left at the destination";
    /// The destination cannot be written.
    PermissionDenied = 5, "the destination cannot be written";
    /// The destination folder is gone.
    DestinationGone = 6, "the destination folder does not exist";
    /// A name cannot be stored at the destination.
    BadName = 7, "the name cannot be stored at the destination";
    /// The source changed while it was sent.
    SourceChanged = 8, "the file changed while it was sent";
    /// The source cannot be read.
    SourceUnreadable = 9, "the file cannot be read";
    /// A person (or Ctrl-C) cancelled.
    Cancelled = 10, "cancelled";
    /// The program is being stopped.
    GoingAway = 11, "the other side's FileFleet was stopped";
    /// What the peer sent is not the protocol.
    Protocol = 12, "the other side broke the protocol";
    /// Too many requests wait already.
    Busy = 13, "too many requests are waiting already";
    /// The transfer is not known (any more).
    Unknown = 14, "the transfer is not known to the other side";
    /// Reading or writing failed.
    Io = 15, "reading or writing failed";
    /// Content and hash do not agree, again and again.
    Corrupt = 16, "the content does not match its hash";
}

impl Reason {
    /// What the other side may read of `text`, which says more about it here: why something cannot be
    /// read names where it lies on this machine.
    pub(crate) fn text_for_peer(self, text: &str) -> String {
        match self {
            Self::SourceUnreadable => String::new(),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back_to_its_reason() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_number(reason.number()), *reason);
        }
        assert_eq!(Reason::from_number(250), Reason::Other);
    }
}
