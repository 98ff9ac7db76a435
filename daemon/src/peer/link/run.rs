//! Running a link: its control stream in both directions, and the streams that the peer opens.

use std::net::SocketAddr;

use filefleet_server::udp::canonical;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    super::{
        IncomingStream, LinkId, LinkKind,
        close::CloseCode,
        frame::{Frame, Message},
    },
    FAREWELL, LinkError, Opened, OwnPath, read_frame, write_frame,
};
use crate::transport::relayed::Gone;

/// How a link ended.
#[derive(Debug)]
pub(in crate::peer) struct LinkEnd {
    pub(in crate::peer) id: LinkId,
    /// What the peer said, if it was the peer who closed and said anything we know.
    pub(in crate::peer) code: Option<CloseCode>,
    /// Whether the peer broke the protocol. Then the connection is still open: the peer may call
    /// again as soon as it is told, and the session must be over by then.
    pub(in crate::peer) violation: bool,
    /// Takes the goodbye, if that is ours to say.
    goodbye: Option<OwnPath>,
}

impl LinkEnd {
    /// Lets the goodbye leave, which it does through a socket that goes away with the path. Apart
    /// from [`Opened::run`], because whoever was closed may call again before it has: the session
    /// must know by then.
    pub(in crate::peer) async fn say_goodbye(self) {
        if let Some(path) = self.goodbye {
            let _ = timeout(FAREWELL, path.endpoint().wait_idle()).await;
        }
    }
}

/// The session's ends of a running link.
#[derive(Debug)]
pub(in crate::peer) struct Wiring {
    /// Frames from the peer. While it is full the link reads no more, and QUIC holds the peer back.
    pub(in crate::peer) frames: mpsc::Sender<Frame>,
    /// Messages for the peer; holds a whole window, so that the session never waits.
    pub(in crate::peer) messages: mpsc::Receiver<Message>,
    /// What has been delivered here; only the last word counts.
    pub(in crate::peer) acks: watch::Receiver<u64>,
    /// Streams from the peer. While it is full no more are accepted, and the peer has to wait.
    pub(in crate::peer) streams: mpsc::Sender<IncomingStream>,
}

impl Opened {
    /// Where packets of this link go.
    pub(in crate::peer) fn remote(&self) -> SocketAddr {
        canonical(self.connection.remote_address())
    }

    /// Runs the link until it ends. Aborting it drops the connection, which closes it.
    pub(in crate::peer) async fn run(self, wiring: Wiring) -> LinkEnd {
        let Self { id, kind, connection, path, mut send, mut recv, .. } = self;
        let Wiring { frames, messages, acks, streams } = wiring;
        let error = tokio::select! {
            error = read_frames(&mut recv, &frames) => error,
            error = write_frames(&mut send, messages, acks) => error,
            error = accept_streams(id, kind, &connection, &streams) => error,
            () = gone(path.as_ref()) => LinkError::Gone(Gone),
        };
        // Whichever of the three noticed first, the connection knows what the peer said.
        let code = connection.close_reason().as_ref().and_then(CloseCode::of);
        let violation = connection.close_reason().is_none()
            && !matches!(error, LinkError::Gone(_) | LinkError::Write(_));
        if !violation {
            connection.close(error.code().wire(), b"");
        }
        tracing::debug!(link = id.0, ?kind, %error, ?code, "link ended");
        let closed = connection.close_reason();
        let ours = violation || matches!(closed, Some(ConnectionError::LocallyClosed));
        LinkEnd { id, code, violation, goodbye: path.filter(|_| ours) }
    }
}

async fn gone(path: Option<&OwnPath>) {
    match path {
        Some(OwnPath::Relayed(path)) => path.gone().await,
        Some(OwnPath::Scattered(_)) | None => std::future::pending().await,
    }
}

impl OwnPath {
    fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Relayed(path) => path.endpoint(),
            Self::Scattered(path) => path.endpoint(),
        }
    }
}

async fn read_frames(recv: &mut RecvStream, frames: &mpsc::Sender<Frame>) -> LinkError {
    loop {
        match read_frame(recv).await {
            Ok(Some(frame)) => {
                // The session is gone; it closes the connection.
                let Ok(()) = frames.send(frame).await else { std::future::pending().await };
            }
            Ok(None) => {}
            Err(error) => return error,
        }
    }
}

async fn write_frames(
    send: &mut SendStream,
    mut messages: mpsc::Receiver<Message>,
    mut acks: watch::Receiver<u64>,
) -> LinkError {
    loop {
        let frame = tokio::select! {
            biased;
            Ok(()) = acks.changed() => Frame::Ack(*acks.borrow_and_update()),
            Some(message) = messages.recv() => Frame::Message(message),
            // The session is gone; it closes the connection.
            else => std::future::pending().await,
        };
        if let Err(error) = write_frame(send, &frame).await {
            return error.into();
        }
    }
}

async fn accept_streams(
    link: LinkId,
    kind: LinkKind,
    connection: &Connection,
    streams: &mpsc::Sender<IncomingStream>,
) -> LinkError {
    loop {
        match connection.accept_uni().await {
            Ok(stream) => {
                let stream = IncomingStream { link, kind, stream };
                // Nobody takes streams any more; messages may still be read.
                let Ok(()) = streams.send(stream).await else { std::future::pending().await };
            }
            Err(error) => return error.into(),
        }
    }
}
