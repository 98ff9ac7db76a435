//! Clients that mean no good, or are not well.
#![allow(clippy::unwrap_used)]

use tokio::io::{AsyncReadExt, DuplexStream};

use super::*;
use crate::proto::Call;
use crate::testing;

/// Bytes that a pipe holds: fewer than a queue does.
const PIPE: usize = 4096;

fn connected() -> (DuplexStream, ServerConnection<DuplexStream>) {
    let (client, daemon) = tokio::io::duplex(PIPE);
    let hello = Hello { version: 1, daemon: "0.1.0".to_owned(), pid: 7 };
    (client, ServerConnection::new(daemon, &hello))
}

/// Everything that the daemon says to a client that has said `bytes`, and what the daemon got.
async fn say(bytes: &[u8]) -> (Vec<Message>, Vec<Request>, Option<FrameError>) {
    let (client, mut connection) = connected();
    let (mut read, mut write) = tokio::io::split(client);
    let serving = async {
        let mut requests = Vec::new();
        let error = loop {
            match connection.next().await {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        connection.close().await;
        (requests, error)
    };
    let saying = async {
        // The daemon may hang up before it has heard everything.
        let _hung_up = write.write_all(bytes).await;
        let _hung_up = write.shutdown().await;
    };
    let hearing = async {
        let mut heard = Vec::new();
        read.read_to_end(&mut heard).await.unwrap();
        heard.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(decoded).collect()
    };
    let ((requests, error), (), heard) = tokio::join!(serving, saying, hearing);
    (heard, requests, error)
}

fn decoded(line: &[u8]) -> Message {
    Message::decode(line).unwrap().unwrap()
}

#[track_caller]
fn assert_refused(message: &Message, expected_id: u64, expected_code: ErrorCode) {
    match message {
        Message::Response(Response { id, result: Err(ControlError { code, .. }) }) => {
            assert_eq!((*id, *code), (expected_id, expected_code));
        }
        other => panic!("expected an error, got {other:?}"),
    }
}

#[tokio::test]
async fn the_daemon_says_hello_first() {
    let (heard, requests, error) = say(b"").await;
    assert!(matches!(&heard[..], [Message::Hello(hello)] if hello.pid == 7));
    assert!(requests.is_empty() && error.is_none());
}

#[tokio::test]
async fn garbage_is_answered_and_ends_the_connection() {
    for garbage in [&b"GET / HTTP/1.1\r\n"[..], b"\x00\xff\xfe\n", b"{}\n", b"[1]\n", b"\n"] {
        let line = [garbage, &b"{\"id\":1,\"method\":\"status\"}\n"[..]].concat();
        let (heard, requests, error) = say(&line).await;
        assert_refused(&heard[1], 0, ErrorCode::BadArgument);
        assert!(requests.is_empty(), "{garbage:?}");
        assert!(matches!(error, Some(FrameError::Malformed(_))));
    }
}

#[tokio::test]
async fn a_call_that_is_not_known_is_answered_and_skipped() {
    let lines = b"{\"id\":3,\"method\":\"dance\"}\n{\"id\":4,\"method\":\"cancel\"}\n\
        {\"id\":5,\"method\":\"status\"}\n";
    let (heard, requests, error) = say(lines).await;
    assert_refused(&heard[1], 3, ErrorCode::BadArgument);
    assert_refused(&heard[2], 4, ErrorCode::BadArgument);
    assert_eq!(requests, [Request { id: 5, call: Call::Status }]);
    assert!(error.is_none());
}

#[tokio::test]
async fn a_line_that_is_too_long_is_answered_and_ends_the_connection() {
    let mut line = b"{\"id\":1,\"method\":\"".to_vec();
    line.resize(frame::MAX_REQUEST + 2, b'x');
    let (heard, requests, error) = say(&line).await;
    assert_refused(&heard[1], 0, ErrorCode::TooLarge);
    assert!(requests.is_empty());
    assert!(matches!(error, Some(FrameError::TooLong(_))));
}

#[tokio::test]
async fn a_client_that_never_reads_is_dropped() {
    let (client, mut connection) = connected();
    let responder = connection.responder();
    for _ in 0..=MAX_QUEUED_LINES {
        responder.event(testing::state(Vec::new()));
    }
    // Not one await of the daemon has waited for the client, and the connection is over.
    assert!(connection.next().await.unwrap().is_none());
    assert!(responder.is_closed());
    drop(client);
}

#[tokio::test]
async fn the_bytes_that_wait_for_a_client_are_bounded() {
    let (_client, mut connection) = connected();
    let responder = connection.responder();
    let message = "x".repeat(1 << 20);
    for _ in 0..MAX_QUEUED_BYTES >> 20 {
        responder.event(Event::Warning { message: message.clone() });
    }
    tokio::task::yield_now().await;
    assert!(!responder.is_closed());
    responder.event(Event::Warning { message });
    assert!(connection.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_client_that_reads_gets_everything_in_order() {
    let (client, connection) = connected();
    let responder = connection.responder();
    let mut lines = LineReader::new(client, frame::MAX_MESSAGE);
    lines.next_line().await.unwrap().unwrap();
    for id in 0..10 * u64::try_from(MAX_QUEUED_LINES).unwrap() {
        responder.respond(id, Ok(Reply::Done));
        let line = lines.next_line().await.unwrap().unwrap();
        assert_eq!(decoded(line), Message::Response(Response { id, result: Ok(Reply::Done) }));
    }
    drop(connection);
    assert!(lines.next_line().await.unwrap().is_none());
    assert!(responder.is_closed());
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_an_error_instead() {
    let (client, connection) = connected();
    let pem = "x".repeat(frame::MAX_MESSAGE);
    connection.responder().respond(1, Ok(Reply::Identity { pem }));
    let mut lines = LineReader::new(client, frame::MAX_MESSAGE);
    lines.next_line().await.unwrap().unwrap();
    assert_refused(&decoded(lines.next_line().await.unwrap().unwrap()), 1, ErrorCode::TooLarge);
}

#[tokio::test]
async fn an_event_that_is_too_long_is_a_warning_instead() {
    let (client, connection) = connected();
    let name = "x".repeat(frame::MAX_MESSAGE);
    connection.responder().event(Event::ContactGone { name });
    let mut lines = LineReader::new(client, frame::MAX_MESSAGE);
    lines.next_line().await.unwrap().unwrap();
    let heard = decoded(lines.next_line().await.unwrap().unwrap());
    assert!(matches!(heard, Message::Event(Event::Warning { .. })), "{heard:?}");
}
