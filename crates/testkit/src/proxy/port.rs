//! The port of a proxy: open, closed, or so full that the kernel drops whoever knocks.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::Fault;
use crate::error::{Error, Result, io};
use crate::http_server::listen_at;

/// More connections than fit into the shortest queue: Linux keeps two.
const QUEUE: usize = 16;

/// Loopback answers within microseconds; whoever waits for this long is not answered.
const UNANSWERED: Duration = Duration::from_millis(200);

/// The port, in its present state.
pub(super) struct Port {
    address: SocketAddr,
    state: State,
}

enum State {
    Open(TcpListener),
    Closed,
    Full { _queue: FullQueue },
}

/// A listener that never accepts, and what fills its queue.
struct FullQueue {
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Port {
    pub(super) fn new(listener: TcpListener, address: SocketAddr) -> Self {
        Self { address, state: State::Open(listener) }
    }

    /// Does what a fault asks of the port. It is the same one each time: it lies outside of the range for outgoing
    /// connections, so nobody takes it meanwhile; should it be taken all the same, the next change tries again.
    pub(super) async fn follow(&mut self, fault: Fault) -> Result<()> {
        let follows = match self.state {
            State::Open(_) => !fault.shuts(),
            State::Closed => fault == Fault::Refuse,
            State::Full { .. } => fault == Fault::DropConnects,
        };
        if follows {
            return Ok(());
        }
        // What is there goes first: two listeners share no port.
        self.state = State::Closed;
        self.state = match fault {
            Fault::Refuse => State::Closed,
            Fault::DropConnects => State::Full { _queue: FullQueue::at(self.address).await? },
            _ => State::Open(listen_at(Some(self.address)).await?),
        };
        Ok(())
    }

    /// The next connection; none that could be accepted, or never, while nobody is let in.
    pub(super) async fn accept(&self) -> Option<TcpStream> {
        match &self.state {
            State::Open(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
            State::Closed | State::Full { .. } => std::future::pending().await,
        }
    }
}

impl FullQueue {
    async fn at(address: SocketAddr) -> Result<Self> {
        let listener = shortest_queue(address).map_err(io(format!("listen on {address}")))?;
        let mut queued = Vec::new();
        while queued.len() < QUEUE {
            match timeout(UNANSWERED, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => queued.push(stream),
                Ok(Err(error)) => return Err(io(format!("knock at {address}"))(error)),
                Err(_) => return Ok(Self { _listener: listener, _queued: queued }),
            }
        }
        Err(Error::Invalid(format!("{address} answers however many connections wait there")))
    }
}

fn shortest_queue(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1)
}
