//! [`FaultProxy`]: a TCP proxy in front of a server, whose behaviour is switched while it runs.
//!
//! Faults that strike at an offset count the bytes of HTTP/1.1 bodies, so that a test need not know how long the headers
//! are; the other faults work with any protocol.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> lifeboat_testkit::Result<()> {
//! use lifeboat_testkit::proxy::{Fault, FaultProxy};
//! use lifeboat_testkit::s3::{Options, TinyS3};
//!
//! let server = TinyS3::start(Options::default().bucket("data")).await?;
//! let proxy = FaultProxy::start(server.address()).await?;
//! println!("give {} to the application", proxy.url());
//! proxy.set(Fault::BlackHole); // an outage: connections are accepted, and nothing comes back
//! proxy.set(Fault::Pass); // and it is over
//! # Ok(())
//! # }
//! ```

mod message;
mod port;
mod relay;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::port::Port;
use crate::error::{Error, Result, io};
use crate::http_server::listen_at;

/// How the proxy misbehaves. Changing it affects open connections too.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Not at all.
    Pass,
    /// Connections are refused; open ones are reset.
    Refuse,
    /// Connections are never made: whoever connects is not answered at all, as by a firewall that drops packets or a
    /// machine that is gone. Open ones are reset, so that what comes next has to connect. For this the kernel must drop
    /// whoever knocks at a full port, as Linux does: [`in_force`](FaultProxy::in_force) says where it does not.
    DropConnects,
    /// Connections are accepted, and nothing passes in either direction until this ends.
    BlackHole,
    /// The server has vanished without a word from the connections that are open now: they stay open and silent for
    /// good. New ones pass.
    HalfOpen,
    /// A connection is reset when this many bytes of a response's body have passed.
    ResetAfter(u64),
    /// A connection is closed in an orderly way when this many bytes of a response's body have passed: the body is
    /// shorter than announced.
    TruncateAfter(u64),
    /// Nothing passes any more once this many bytes of a response's body have passed, until this ends.
    StallAfter(u64),
    /// A connection is reset when this many bytes of a request's body have passed.
    CutUpload(u64),
    /// Requests reach the server, and connections are reset in place of the response: the outcome is unknown.
    LoseResponse,
    /// [`LoseResponse`](Self::LoseResponse) for this share of the responses (0 to 1), drawn from the seed.
    Flaky(f64),
    /// Every response comes this much later.
    Delay(Duration),
    /// Every response comes later by a time between nothing and this, drawn from the seed.
    Jitter(Duration),
    /// Responses and requests pass at this many bytes per second at most.
    Throttle(u64),
    /// One bit of the body byte at this offset is flipped in every response that is long enough.
    CorruptResponse(u64),
    /// One bit of the body byte at this offset is flipped in every request that is long enough.
    CorruptRequest(u64),
}

impl Fault {
    /// Nobody is let in: what connections there are end.
    fn shuts(self) -> bool {
        matches!(self, Self::Refuse | Self::DropConnects)
    }
}

/// The fault in force, as connections see it.
#[derive(Clone, Copy, Debug)]
struct Mode {
    fault: Fault,
    /// Counts the changes, so that a connection knows whether it is older than one.
    generation: u64,
}

/// What the port does.
#[derive(Clone, Debug, Default, PartialEq)]
struct AtPort {
    /// The latest change that it follows, or cannot follow.
    generation: u64,
    /// Why not.
    trouble: Option<String>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    mode: watch::Sender<Mode>,
    at_port: watch::Sender<AtPort>,
    /// How often the fault may still strike; `u64::MAX` for always.
    strikes_left: AtomicU64,
    strikes: AtomicU64,
    connections: AtomicU64,
    random: Mutex<StdRng>,
}

/// A running proxy. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy on a free loopback port. Its random decisions are the same in every run.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when no port is to be had.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        Self::start_seeded(upstream, 0).await
    }

    /// As [`start`](Self::start), with a seed for the random decisions.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when no port is to be had.
    pub async fn start_seeded(upstream: SocketAddr, seed: u64) -> Result<Self> {
        let listener = listen_at(None).await?;
        let address = listener.local_addr().map_err(io("read a listener's address"))?;
        let (mode, changes) = watch::channel(Mode { fault: Fault::Pass, generation: 0 });
        let shared = Arc::new(Shared {
            upstream,
            mode,
            at_port: watch::Sender::default(),
            strikes_left: AtomicU64::new(u64::MAX),
            strikes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
        });
        let port = Port::new(listener, address);
        let task = tokio::spawn(accept(port, Arc::clone(&shared), changes));
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that clients take as their endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Misbehaves like this from now on. What concerns the port ([`Fault::Refuse`], [`Fault::DropConnects`], and the end of
    /// them) takes hold a moment later: [`in_force`](Self::in_force) waits for it.
    pub fn set(&self, fault: Fault) {
        self.set_times(fault, u64::MAX);
    }

    /// Misbehaves like this until it has struck so many times, counted in responses (or uploads) that were hit, and
    /// passes everything afterwards. Only faults that strike single messages count; the others stay until changed.
    pub fn set_times(&self, fault: Fault, times: u64) {
        self.shared.mode.send_modify(|mode| {
            self.shared.strikes_left.store(times, Ordering::SeqCst);
            *mode = Mode { fault, generation: mode.generation + 1 };
        });
    }

    /// Waits until the port does what the fault that was set last asks of it.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when it cannot: the port was taken by somebody else, or the system
    /// answers whoever connects to a full one.
    pub async fn in_force(&self) -> Result<()> {
        let wanted = self.shared.mode.borrow().generation;
        let mut at_port = self.shared.at_port.subscribe();
        // The sender lives as long as `self` does.
        let there = at_port.wait_for(|at_port| at_port.generation >= wanted).await;
        match there.ok().and_then(|there| there.trouble.clone()) {
            Some(trouble) => Err(Error::Invalid(trouble)),
            None => Ok(()),
        }
    }

    /// The fault that was set last.
    pub fn fault(&self) -> Fault {
        self.shared.mode.borrow().fault
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many messages were hit by a fault so far.
    pub fn strikes(&self) -> u64 {
        self.shared.strikes.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Whether the fault strikes now; counts it if so.
    fn strike(&self) -> bool {
        let take = |left: u64| match left {
            0 => None,
            u64::MAX => Some(left),
            left => Some(left - 1),
        };
        let struck =
            self.strikes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok();
        if struck {
            self.strikes.fetch_add(1, Ordering::SeqCst);
        }
        struck
    }

    fn random<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Accepts until aborted; the port follows the mode.
async fn accept(mut port: Port, shared: Arc<Shared>, mut changes: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    loop {
        let Mode { fault, generation } = *changes.borrow_and_update();
        let trouble = port.follow(fault).await.err().map(|error| error.to_string());
        let now = AtPort { generation, trouble };
        shared.at_port.send_if_modified(|at_port| {
            let is_news = *at_port != now;
            *at_port = now;
            is_news
        });
        tokio::select! {
            // The sender lives as long as this task does, so a change is all that comes.
            _ = changes.changed() => {}
            Some(stream) = port.accept() => {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(relay::serve(stream, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
