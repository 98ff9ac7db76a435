//! A TCP flow from memory to memory: what shares a link with whatever else is on it.

use std::{
    fs, io,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::lab::{self, Machine};

/// What the kernel may hold for a connection until it is acknowledged: least, at first, and most, as
/// `tcp_wmem` has it. The usual 4 MiB would limit a flow on a long path more than its congestion
/// control does.
const SEND_BUFFER: &str = "4096 65536 33554432";
/// What is written and read at once.
const CHUNK: usize = 256 << 10;

/// How a flow went.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// That arrived.
    pub bytes: u64,
    /// While it was counted.
    pub elapsed: Duration,
}

impl Flow {
    /// Bits per second.
    pub fn rate(&self) -> f64 {
        // Exact enough up to 2^53 bytes.
        #[allow(clippy::cast_precision_loss, reason = "a figure to read")]
        let bits = self.bytes as f64 * 8.0;
        bits / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

/// The congestion controls that this kernel has.
pub fn congestion_controls() -> io::Result<Vec<String>> {
    let names = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")?;
    Ok(names.split_whitespace().map(str::to_owned).collect())
}

/// Sends from one machine to an address of another, under a congestion control by its kernel name:
/// for `lead`, of which nothing is counted, and then for `time`. What arrived in the latter. Comes
/// back when the time is over.
pub fn flow(
    from: &Machine,
    to: (&Machine, Ipv4Addr),
    congestion: &str,
    lead: Duration,
    time: Duration,
) -> Result<Flow, lab::Error> {
    let system = |what| move |source| lab::Error::System { what, source };
    from.enter(|| fs::write("/proc/sys/net/ipv4/tcp_wmem", SEND_BUFFER))?
        .map_err(system("set the send buffer of TCP"))?;
    let listen = || TcpListener::bind((to.1, 0));
    let listener = to.0.enter(listen)?.map_err(system("listen for TCP"))?;
    let address = listener.local_addr().map_err(system("listen for TCP"))?;
    let stream = from
        .enter(|| connect(address, congestion))?
        .map_err(system("connect by TCP with this congestion control"))?;
    let (incoming, _) = listener.accept().map_err(system("accept TCP"))?;
    thread::scope(|scope| {
        let receiving = scope.spawn(|| drain(incoming, lead, time));
        send(stream, lead + time);
        receiving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
    .map_err(system("receive by TCP"))
}

fn connect(address: SocketAddr, congestion: &str) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_congestion(congestion.as_bytes())?;
    socket.connect(&address.into())?;
    Ok(socket.into())
}

/// Sends zeros until the time is over or the receiver has gone.
fn send(mut stream: TcpStream, time: Duration) {
    let (zeros, end) = (vec![0; CHUNK], Instant::now() + time);
    // With this a full window does not outlast the time.
    let limited = stream.set_write_timeout(Some(time));
    while limited.is_ok() && Instant::now() < end && stream.write(&zeros).is_ok() {}
}

/// Counts what comes in the time after the lead.
fn drain(mut stream: TcpStream, lead: Duration, time: Duration) -> io::Result<Flow> {
    let (mut buffer, start, mut bytes) = (vec![0; CHUNK], Instant::now(), 0);
    loop {
        let left = (lead + time).saturating_sub(start.elapsed());
        if left.is_zero() {
            break;
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) if start.elapsed() < lead => {}
            Ok(length) => bytes += u64::try_from(length).unwrap_or(u64::MAX),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Flow { bytes, elapsed: start.elapsed().saturating_sub(lead) })
}
