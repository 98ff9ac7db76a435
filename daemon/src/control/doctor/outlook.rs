//! What to expect of sending, in one sentence.

use crate::doctor::verdict::Outlook;

pub(super) fn words(outlook: Outlook) -> &'static str {
    match outlook {
        Outlook::Nameless => "Nothing can be sent or received before you have claimed a name.",
        Outlook::Unreachable => {
            "Nobody can be found and nothing relayed until the server is reached, but for contacts on \
             the same network; links that are up go on."
        }
        Outlook::RelayOnly => {
            "Sending works, but everything goes through the relay, over TLS: no UDP gets out of this \
             network."
        }
        Outlook::Everybody => {
            "Direct links work with everybody whose own network lets UDP through."
        }
        Outlook::AllButStrict { guessing: true } => {
            "Direct links work with everybody; with people behind a strict NAT it may take some \
             seconds, and the relay carries until then."
        }
        Outlook::AllButStrict { guessing: false } => {
            "Direct links work with everybody but people behind a strict NAT, to whom the relay \
             carries."
        }
        Outlook::FromBehindStrict { guessing: true } => {
            "Direct links work with everybody but people behind a strict NAT, to whom the relay \
             carries; with those behind a moderate one it may take some seconds."
        }
        Outlook::FromBehindStrict { guessing: false } => {
            "Direct links work with people behind an open NAT or none; to all others the relay \
             carries."
        }
        Outlook::Unknown => {
            "Sending works; with whom links are direct could not be found out, and to all others the \
             relay carries."
        }
    }
}
