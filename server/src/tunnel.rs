//! Copying datagrams between a UDP socket and a tunnel (see [`crate::protos::tunnel`]): the same at
//! both ends. Neither end's QUIC knows of it: each speaks UDP with a socket on its own machine.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::BytesMut;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::protos::tunnel::{MAX_DATAGRAM, put_frame, take_frame};

/// What a tunnel may hold back in each direction. Datagrams beyond it are lost, so that the two
/// ends' congestion control learns how fast the tunnel is before its queue is seconds long.
const QUEUE: usize = 512 * 1024;
/// A registration says something every 26 s at the latest, a relay bind every 5 s, and both are
/// answered: who says nothing for this long is gone.
const MAX_SILENCE: Duration = Duration::from_secs(90);
/// What is read or written at once.
const BATCH: usize = 16 * 1024;

/// A socket of this machine that talks with `peer`, a port of this machine, and nobody else.
pub(crate) fn local_socket(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any_port = SocketAddr::new(peer.ip(), 0);
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(QUEUE)?;
    socket.set_nonblocking(true)?;
    socket.bind(&any_port.into())?;
    socket.connect(&peer.into())?;
    UdpSocket::from_std(socket.into())
}

/// How this machine reaches a port that one of its own sockets is bound to.
pub(crate) fn own_address(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        // A socket that is bound for both families; without IPv6 there is no such socket.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// Readies a connection to be a tunnel.
pub(crate) fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    SockRef::from(tcp).set_send_buffer_size(QUEUE)
}

/// Waits for what comes out of the stream, no longer than a tunnel in use is ever silent.
async fn read<S: AsyncRead>(reader: &mut ReadHalf<S>, into: &mut BytesMut) -> io::Result<usize> {
    timeout(MAX_SILENCE, reader.read_buf(into)).await?
}

/// Copies until the stream ends or breaks. Dropped, it ends the tunnel.
pub(crate) async fn forward<S>(stream: S, socket: &UdpSocket) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
{
    let (reader, writer) = split(stream);
    tokio::select! {
        ended = inward(reader, socket) => ended,
        ended = outward(socket, writer) => ended,
    }
}

/// From the stream to the socket.
async fn inward<S: AsyncRead>(mut reader: ReadHalf<S>, socket: &UdpSocket) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(BATCH);
    while read(&mut reader, &mut buffer).await? > 0 {
        while let Some(datagram) = take_frame(&mut buffer).map_err(io::Error::other)? {
            // A datagram may be lost; so may all of them, while nobody listens at the other port.
            let _ = socket.send(&datagram).await;
        }
        buffer.reserve(BATCH);
    }
    Ok(())
}

/// From the socket to the stream, as much at once as is there.
async fn outward<S: AsyncWrite>(socket: &UdpSocket, mut writer: WriteHalf<S>) -> io::Result<()> {
    let mut datagram = [0; MAX_DATAGRAM + 1];
    let mut frames = BytesMut::with_capacity(BATCH + 2 * datagram.len());
    loop {
        match socket.recv(&mut datagram).await {
            Ok(len) => put_frame(&mut frames, &datagram[..len]),
            // Nobody listens at the other port yet, or any more.
            Err(error) if is_unheard(&error) => continue,
            Err(error) => return Err(error),
        }
        while frames.len() < BATCH
            && let Ok(len) = socket.try_recv(&mut datagram)
        {
            put_frame(&mut frames, &datagram[..len]);
        }
        writer.write_all_buf(&mut frames).await?;
        writer.flush().await?;
    }
}

fn is_unheard(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}
