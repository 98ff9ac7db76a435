//! The client against daemons that say strange things.
#![allow(clippy::unwrap_used)]

use tokio::io::AsyncReadExt;

use super::*;
use crate::proto::ErrorCode;
use crate::socket::listen;
use crate::testing::{self, FakeDaemon};

const HELLO: &str = "{\"type\":\"hello\",\"version\":1,\"daemon\":\"0.1.0\",\"pid\":7}\n";

/// What a client makes of a daemon that says this and then ends the connection.
async fn hear(said: &str) -> Result<Reply, ClientError> {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();
    let listener = listen(&home).unwrap();
    let daemon = async {
        let mut stream = listener.accept().await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        if said.contains('\n') {
            // Until the client has asked, or is gone.
            let _asked = stream.read(&mut [0; 1024]).await;
        }
    };
    let client = async { Client::connect(&home).await?.call(Call::Status).await };
    let (result, ()) = tokio::join!(client, daemon);
    result
}

async fn hear_after_hello(said: &str) -> Result<Reply, ClientError> {
    hear(&format!("{HELLO}{said}")).await
}

#[tokio::test]
async fn an_answer_is_heard_behind_what_is_not_known() {
    let reply = hear_after_hello(concat!(
        "{\"type\":\"weather\"}\n",
        "{\"type\":\"event\",\"event\":\"rain\"}\n",
        "{\"type\":\"response\",\"id\":1,\"result\":{\"ok\":{\"reply\":\"done\"}}}\n",
    ));
    assert_eq!(reply.await.unwrap(), Reply::Done);
}

#[tokio::test]
async fn an_error_is_an_error() {
    let reply = hear_after_hello(concat!(
        "{\"type\":\"response\",\"id\":1,\"result\":",
        "{\"error\":{\"code\":\"internal\",\"message\":\"oh\"}}}\n",
    ));
    let Err(ClientError::Refused(error)) = reply.await else { panic!("expected an error") };
    assert_eq!(error.code, ErrorCode::Internal);
}

#[tokio::test]
async fn the_end_of_the_connection_is_told() {
    for said in ["", HELLO, &HELLO[..20], &format!("{HELLO}{{\"type\"")] {
        let result = hear(said).await;
        assert!(matches!(result, Err(ClientError::ClosedByDaemon)), "{said:?}: {result:?}");
    }
}

#[tokio::test]
async fn garbage_is_a_protocol_error() {
    for said in ["HTTP/1.1 200 OK\r\n", "{}\n", "\n"] {
        let result = hear(said).await;
        assert!(matches!(result, Err(ClientError::Protocol(_))), "{said:?}: {result:?}");
    }
}

#[tokio::test]
async fn an_answer_to_another_question_is_not_taken() {
    for said in [
        "{\"type\":\"response\",\"id\":2,\"result\":{\"ok\":{\"reply\":\"done\"}}}\n",
        "{\"type\":\"event\",\"event\":\"request_gone\",\"data\":{\"id\":\"1\"}}\n",
        HELLO,
    ] {
        let result = hear_after_hello(said).await;
        assert!(matches!(result, Err(ClientError::UnexpectedReply)), "{said:?}: {result:?}");
    }
}

#[tokio::test]
async fn another_version_is_known_by_its_hello() {
    let result = hear(&HELLO.replace("\"version\":1", "\"version\":2")).await;
    assert!(matches!(result, Err(ClientError::Version(Hello { pid: 7, .. }))), "{result:?}");
}

#[tokio::test]
async fn a_daemon_that_says_nothing_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();
    let _listener = listen(&home).unwrap();
    let result = Client::connect_within(&home, Duration::ZERO).await;
    assert!(matches!(result, Err(ClientError::TimedOut)));
}

#[tokio::test]
async fn a_call_that_is_too_long_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();
    let _daemon = FakeDaemon::start(&home, |_| Reply::Done.into()).unwrap();
    let mut client = Client::connect(&home).await.unwrap();
    let link = "x".repeat(frame::MAX_REQUEST);
    let result = client.call(Call::ContactAdd { link }).await;
    assert!(matches!(result, Err(ClientError::TooLong)));
    // The connection is as good as before.
    assert_eq!(client.call(Call::Status).await.unwrap(), Reply::Done);
}

#[tokio::test]
async fn whoever_watches_gets_the_state_and_then_changes() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();
    let daemon = FakeDaemon::start(&home, |_| {
        testing::Answer::from(Reply::Done).then([testing::state(Vec::new())])
    })
    .unwrap();
    let mut watch = Client::connect(&home).await.unwrap().watch().await.unwrap();
    assert_eq!(watch.next().await.unwrap(), testing::state(Vec::new()));
    let event = Event::ContactGone { name: "bob".to_owned() };
    daemon.event(event.clone());
    assert_eq!(watch.next().await.unwrap(), event);
    drop(daemon);
    assert!(matches!(watch.next().await, Err(ClientError::ClosedByDaemon)));
}
