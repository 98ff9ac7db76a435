//! The one map from what goes wrong in the daemon to the stable codes, messages and hints of the
//! control protocol.

use filefleet_ctl::format::size;
use filefleet_ctl::proto::{ControlError, ErrorCode, MAX_TEXT, MIN_LIMIT, TransferState};
use filefleet_server::client as rendezvous;
use filefleet_server::protos::address::ServerAddress;
use filefleet_server::protos::name::Name;

use crate::error::chain;
use crate::identity::IdentityError;
use crate::peer::ConnectError;
use crate::settings::SettingsError;
use crate::transfer::entry::PathError;
use crate::transfer::progress::{Cause, Fault};
use crate::transfer::source::{GlobError, SourceError};
use crate::transfer::{Reason, TransferId};

fn new(code: ErrorCode, message: impl Into<String>) -> ControlError {
    ControlError::new(code, message)
}

/// A name that a client gave.
pub(crate) fn name(text: &str) -> Result<Name, ControlError> {
    if text.contains('@') {
        return Err(new(
            ErrorCode::BadArgument,
            format!("'{text}' names a server; one server for now"),
        )
        .with_hint("leave out '@' and what follows"));
    }
    text.parse().map_err(|_| {
        new(ErrorCode::BadArgument, format!("'{text}' is no name")).with_hint(
            "names have 1 to 32 of a-z, 0-9, '.', '_' and '-', and begin with a letter or digit",
        )
    })
}

/// A server's address that a client gave.
pub(crate) fn server(text: &str) -> Result<ServerAddress, ControlError> {
    text.parse().map_err(|_| {
        new(ErrorCode::BadArgument, format!("'{text}' is no server address"))
            .with_hint("an address is HOST[:PORT][#FINGERPRINT], as the server prints it")
    })
}

pub(crate) fn transfer_id(text: &str) -> Result<TransferId, ControlError> {
    text.parse().map_err(|()| no_such_transfer())
}

pub(crate) fn request_id(text: &str) -> Result<TransferId, ControlError> {
    text.parse().map_err(|()| no_such_request())
}

/// A transfer that could not be written down.
pub(crate) fn not_kept(why: &str) -> ControlError {
    new(ErrorCode::Internal, format!("it is not sent, for it cannot be written down: {why}"))
        .with_hint("see whether the disk with your home folder is full")
}

pub(crate) fn no_such_transfer() -> ControlError {
    new(ErrorCode::NoSuchTransfer, "there is no such transfer").with_hint("see 'ffctl transfers'")
}

/// A transfer that was to be cancelled and has ended.
pub(crate) fn has_ended(state: TransferState) -> ControlError {
    match state {
        TransferState::Done => new(ErrorCode::Delivered, "everything had been delivered already")
            .with_hint("what was delivered stays"),
        _ => new(ErrorCode::NoSuchTransfer, "the transfer has ended already"),
    }
}

pub(crate) fn no_such_request() -> ControlError {
    new(ErrorCode::NoSuchRequest, "there is no such request").with_hint("see 'ffctl requests'")
}

pub(crate) fn request_changed() -> ControlError {
    new(ErrorCode::RequestChanged, "more is offered by now than was shown")
        .with_hint("the request still waits: look at it again")
}

pub(crate) fn no_such_contact(name: &Name) -> ControlError {
    new(ErrorCode::NoSuchContact, format!("'{name}' is no contact"))
        .with_hint(format!("'ffctl contacts set {name} --accept ask' looks them up and adds them"))
}

pub(crate) fn not_registered() -> ControlError {
    new(ErrorCode::NotRegistered, "this computer is not registered at a server")
        .with_hint("use 'ffctl register NAME --server ADDRESS'")
}

pub(crate) fn stopping() -> ControlError {
    new(ErrorCode::Interrupted, "filefleetd is being stopped")
}

/// What became of a transfer that was not to wait and that a stop of the daemon cut off.
pub(crate) fn cut_off() -> ControlError {
    new(ErrorCode::Interrupted, "filefleetd was stopped before it began")
        .with_hint("send it again, without --no-queue if it may wait")
}

/// What became of a transfer whose sender did not come back for so many days.
pub(crate) fn sender_gone(peer: &str, days: u64) -> ControlError {
    new(ErrorCode::Offline, format!("'{peer}' did not come back within {days} days"))
        .with_hint("what had arrived was removed; ask them to send it again")
}

/// The outbox holds as much as it may.
pub(crate) fn outbox_full() -> ControlError {
    new(ErrorCode::RateLimited, "too many transfers wait to be sent already")
        .with_hint("see 'ffctl transfers'; 'ffctl cancel ID' gives one up")
}

/// A source is not there, or not to be seen.
pub(crate) fn source_missing(source: &std::path::Path, failure: &std::io::Error) -> ControlError {
    let code = match failure.kind() {
        std::io::ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
        _ => ErrorCode::FileNotFound,
    };
    new(code, format!("cannot read {}: {failure}", source.display()))
        .with_hint("nothing was sent; check the path")
}

/// A source that cannot be sent as it was named.
pub(crate) fn of_source(failure: &SourceError) -> ControlError {
    new(ErrorCode::BadArgument, chain(failure)).with_hint("nothing was sent; check the path")
}

/// What was to be sent and could not be put on the disk.
pub(crate) fn cannot_spool(failure: &std::io::Error) -> ControlError {
    let (code, hint) = match failure.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => (
            ErrorCode::DiskFull,
            "it is kept in FileFleet's state folder until it is sent: make room there",
        ),
        std::io::ErrorKind::PermissionDenied => (ErrorCode::PermissionDenied, "nothing was sent"),
        _ => (ErrorCode::Internal, "nothing was sent"),
    };
    new(code, format!("cannot keep what is to be sent: {failure}")).with_hint(hint)
}

/// A name that a file cannot have.
pub(crate) fn bad_file_name(name: &str, failure: PathError) -> ControlError {
    new(ErrorCode::BadArgument, format!("'{name}' is no name for a file: {failure}"))
        .with_hint("nothing was sent; a name has no '/' and at most 255 bytes")
}

pub(crate) fn text_too_long() -> ControlError {
    let text = format!("a text has at most {}", size(u64::try_from(MAX_TEXT).unwrap_or(u64::MAX)));
    new(ErrorCode::TooLarge, text)
        .with_hint("send it as a file: 'ffctl send NAME - --name text.txt'")
}

/// What was to be left out and is not understood.
pub(crate) fn of_glob(failure: &GlobError) -> ControlError {
    new(ErrorCode::BadArgument, chain(failure))
        .with_hint("nothing was sent; see 'ffctl send --help'")
}

pub(crate) fn limit_too_low() -> ControlError {
    let text = format!("a limit of less than {} per second is none", size(MIN_LIMIT));
    new(ErrorCode::BadArgument, text).with_hint("nothing was sent; '--limit 64K' is the least")
}

pub(crate) fn no_attributes() -> ControlError {
    new(ErrorCode::BadArgument, "extended attributes cannot be sent from this system")
        .with_hint("nothing was sent; leave out '--xattrs'")
}

/// What a transfer waits for whose last run ended with `fault`.
pub(crate) fn of_waiting(peer: &str, fault: &Fault) -> ControlError {
    let error = of_fault(peer, fault);
    match fault.cause {
        Cause::Offline => error.with_hint("it is sent as soon as both computers are on"),
        Cause::NotRegistered => error,
        _ => error.with_hint("it is tried again by itself; 'ffctl cancel ID' gives it up"),
    }
}

pub(crate) fn other_server(server: &ServerAddress) -> ControlError {
    let text = format!("that person is at another server, {}:{}", server.host, server.port);
    new(ErrorCode::BadArgument, text)
        .with_hint(format!("'ffctl register NAME --server {server}' moves you there"))
}

pub(crate) fn pinned_otherwise(name: &Name) -> ControlError {
    new(ErrorCode::IdentityChanged, format!("'{name}' is pinned with another identity key"))
        .with_hint(format!(
            "if {name} really has a new key, 'ffctl contacts remove {name}' and add them again"
        ))
}

pub(crate) fn server_silent(server: &ServerAddress) -> ControlError {
    let text = format!("the server {}:{} does not answer", server.host, server.port);
    new(ErrorCode::ServerUnreachable, text)
        .with_hint("check the address, and that nothing blocks that port")
}

pub(crate) fn of_settings(failure: &SettingsError) -> ControlError {
    let code = match failure {
        SettingsError::UnknownKey(_) | SettingsError::BadValue { .. } => ErrorCode::BadArgument,
        SettingsError::File { .. } | SettingsError::Syntax { .. } => ErrorCode::Internal,
    };
    new(code, chain(failure)).with_hint("'ffctl config list' shows all settings")
}

pub(crate) fn of_identity(failure: &IdentityError) -> ControlError {
    let code = match failure {
        IdentityError::WrongPassphrase => ErrorCode::WrongPassphrase,
        IdentityError::NotAnExport | IdentityError::EmptyPassphrase => ErrorCode::BadArgument,
        _ => ErrorCode::Internal,
    };
    new(code, chain(failure))
}

/// What the rendezvous server's refusal means for a question about `name`.
pub(crate) fn of_rendezvous(name: &Name, failure: &rendezvous::Error) -> ControlError {
    use rendezvous::Error;
    match failure {
        Error::UnknownName => unknown_name(name),
        Error::Offline => offline(name),
        Error::NameTaken => new(
            ErrorCode::NameTaken,
            format!("the name '{name}' belongs to somebody else at this server"),
        )
        .with_hint("choose another name, or import the identity that claimed it"),
        Error::NotRegistered => not_registered(),
        Error::RateLimited => new(ErrorCode::RateLimited, "the server says: too many requests")
            .with_hint("try again in a minute"),
        Error::ServerIdentity => new(
            ErrorCode::ServerIdentity,
            "the server is not the one that it should be: its key does not match",
        )
        .with_hint("check the fingerprint in the address with whoever runs the server"),
        other => new(ErrorCode::ServerUnreachable, chain(other))
            .with_hint("check the address, and that nothing blocks that port"),
    }
}

fn unknown_name(name: &Name) -> ControlError {
    new(ErrorCode::UnknownName, format!("nobody is called '{name}' at this server"))
        .with_hint("check the spelling; they must have registered with 'ffctl register'")
}

fn offline(name: &Name) -> ControlError {
    new(ErrorCode::Offline, format!("'{name}' is not online"))
        .with_hint(format!("try again when {name}'s computer is on"))
}

/// Why a person cannot be reached.
pub(crate) fn of_connect(name: &Name, failure: &ConnectError) -> ControlError {
    let fault = crate::transfer::connect_fault(failure);
    of_fault(name.as_str(), &fault)
}

/// What a transfer's end means for its user. `peer` is the other person's name.
pub(crate) fn of_fault(peer: &str, fault: &Fault) -> ControlError {
    let (code, message, hint) = match fault.cause {
        Cause::Reason(reason) => of_reason(peer, reason, fault),
        Cause::UnknownName => (
            ErrorCode::UnknownName,
            format!("nobody is called '{peer}' at this server"),
            "check the spelling; they must have registered with 'ffctl register'",
        ),
        Cause::Offline => (
            ErrorCode::Offline,
            format!("'{peer}' is not online"),
            "try again when their computer is on",
        ),
        Cause::IdentityChanged => (
            ErrorCode::IdentityChanged,
            format!("'{peer}' and this computer know each other by other identity keys: refused"),
            "somebody may be posing as the other one. Compare fingerprints ('ffctl contacts show', \
             'ffctl status'); whoever has pinned the old key removes the contact and adds it again",
        ),
        Cause::NotRegistered => {
            let error = not_registered();
            return error;
        }
        Cause::ServerUnreachable => (
            ErrorCode::ServerUnreachable,
            "the rendezvous server cannot be reached".to_owned(),
            "see 'ffctl status'",
        ),
        Cause::SomeFilesFailed => {
            (ErrorCode::SourceChanged, fault.text.clone(), "the report says which; send them again")
        }
    };
    let error = new(code, message);
    if hint.is_empty() { error } else { error.with_hint(hint) }
}

fn of_reason(peer: &str, reason: Reason, fault: &Fault) -> (ErrorCode, String, &'static str) {
    let code = match reason {
        Reason::Declined | Reason::NotAllowed | Reason::Busy => ErrorCode::Declined,
        Reason::TooLarge => ErrorCode::TooLarge,
        Reason::NoSpace => ErrorCode::DiskFull,
        Reason::PermissionDenied | Reason::DestinationGone => ErrorCode::PermissionDenied,
        Reason::SourceChanged => ErrorCode::SourceChanged,
        Reason::SourceUnreadable => ErrorCode::FileNotFound,
        Reason::Cancelled => ErrorCode::Cancelled,
        Reason::GoingAway | Reason::Unknown => ErrorCode::Interrupted,
        Reason::BadName => ErrorCode::BadArgument,
        Reason::Protocol => ErrorCode::Incompatible,
        _ => ErrorCode::Internal,
    };
    let subject = if fault.by_peer { format!("{peer}: ") } else { String::new() };
    let message = match fault.text.as_str() {
        "" => format!("{subject}{reason}"),
        // It may be the peer's.
        text => format!("{subject}{reason} ({})", filefleet_ctl::text::display(text)),
    };
    (code, message, hint_of(reason, fault.by_peer))
}

fn hint_of(reason: Reason, by_peer: bool) -> &'static str {
    match (reason, by_peer) {
        (Reason::NoSpace, true) => "they must make room there; then send again",
        (Reason::NoSpace, false) => "make room, then ask the sender to send again",
        (Reason::PermissionDenied | Reason::DestinationGone, true) => {
            "they must choose another folder: 'ffctl contacts set YOU --dir DIR', or 'ffctl accept ID --to DIR'"
        }
        (Reason::GoingAway, _) => "it goes on when it runs again",
        (Reason::Unknown, _) => "send it again",
        (Reason::TooLarge, true) => {
            "send it anew, so that they see how much it is; where they set a bound, they can raise it: 'ffctl contacts set YOU --max-size SIZE'"
        }
        (Reason::SourceChanged, _) => "send it again when nothing writes to it",
        (Reason::Busy, _) => "ask them to answer your earlier requests",
        (Reason::Protocol, _) => "one of the two may run another version of FileFleet",
        _ => "",
    }
}
