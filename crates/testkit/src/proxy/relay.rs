//! One proxied connection: bytes go both ways, and the mode in force is applied to each piece.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::message::{Follower, Methods};
use super::{Fault, Mode, Shared};

/// How much is read at once.
const PIECE: usize = 16 << 10;

/// A throttled stream moves this often in a second, so that it flows rather than bursts.
const THROTTLE_TICKS: u64 = 50;

/// How a connection ends other than by itself.
enum End {
    /// With an RST.
    Reset,
    /// The server is gone and the client is not told.
    Vanished,
    /// One side broke it.
    Broken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

/// Serves a client until one side ends it or a fault does.
pub(super) async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let mut mode = shared.mode.subscribe();
    let born = mode.borrow_and_update().generation;
    let _ = client.set_nodelay(true);
    let end = match connect(&shared, &mut mode).await {
        Ok(mut server) => relay(&mut client, &mut server, &shared, mode, born).await,
        Err(end) => Err(end),
    };
    match end {
        Err(End::Reset) => {
            // On failure the connection ends with a FIN, which is all that is left to do.
            let _ = client.set_zero_linger();
        }
        Err(End::Vanished) => drain(client).await,
        Err(End::Broken) | Ok(()) => {}
    }
}

/// Connects to the server, but not out of a black hole.
async fn connect(shared: &Shared, mode: &mut watch::Receiver<Mode>) -> Result<TcpStream, End> {
    let open = |mode: &Mode| mode.fault != Fault::BlackHole;
    let fault = mode.wait_for(open).await.map_err(|_| End::Broken)?.fault;
    if fault.shuts() {
        return Err(End::Reset);
    }
    let server = TcpStream::connect(shared.upstream).await.map_err(|_| End::Reset)?;
    let _ = server.set_nodelay(true);
    Ok(server)
}

/// Swallows what a client still sends to a server that is no more.
async fn drain(mut client: TcpStream) {
    let mut buffer = vec![0; PIECE];
    while client.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

async fn relay(
    client: &mut TcpStream,
    server: &mut TcpStream,
    shared: &Shared,
    mut mode: watch::Receiver<Mode>,
    born: u64,
) -> Result<(), End> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let methods = Methods::default();
    let requests = Pump {
        direction: Direction::Request,
        follower: Follower::requests(Arc::clone(&methods)),
        shared,
        mode: mode.clone(),
    };
    let responses = Pump {
        direction: Direction::Response,
        follower: Follower::responses(methods),
        shared,
        mode: mode.clone(),
    };
    let both = async {
        tokio::try_join!(
            requests.run(from_client, to_server),
            responses.run(from_server, to_client)
        )
    };
    let ends = |mode: &Mode| {
        mode.fault.shuts() || (mode.fault == Fault::HalfOpen && mode.generation > born)
    };
    tokio::select! {
        ended = both => ended.map(drop),
        mode = mode.wait_for(ends) => match mode.map(|mode| mode.fault) {
            Ok(Fault::HalfOpen) => Err(End::Vanished),
            _ => Err(End::Reset),
        },
    }
}

/// One direction of a connection.
struct Pump<'a> {
    direction: Direction,
    follower: Follower,
    shared: &'a Shared,
    mode: watch::Receiver<Mode>,
}

impl Pump<'_> {
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), End> {
        let mut buffer = vec![0; PIECE];
        loop {
            let read = from.read(&mut buffer).await.map_err(|_| End::Broken)?;
            let open = |mode: &Mode| mode.fault != Fault::BlackHole;
            let fault = self.mode.wait_for(open).await.map_err(|_| End::Broken)?.fault;
            if read == 0 {
                return to.shutdown().await.map_err(|_| End::Broken);
            }
            self.pass(&mut buffer[..read], fault, &mut to).await?;
        }
    }

    /// Sends a piece on, as far as the fault lets it.
    async fn pass(
        &mut self,
        piece: &mut [u8],
        fault: Fault,
        to: &mut WriteHalf<'_>,
    ) -> Result<(), End> {
        let wanted = match (fault, self.direction) {
            (
                Fault::ResetAfter(at)
                | Fault::TruncateAfter(at)
                | Fault::StallAfter(at)
                | Fault::CorruptResponse(at),
                Direction::Response,
            )
            | (Fault::CutUpload(at) | Fault::CorruptRequest(at), Direction::Request) => at,
            _ => u64::MAX,
        };
        let found = self.follower.follow(piece, wanted);
        if let (Some(at), true) = (found.start, self.direction == Direction::Response) {
            self.before_response(&mut piece[..at], fault, to).await?;
        }
        // What came before the start of a response is sent already.
        let sent = found.start.filter(|_| self.direction == Direction::Response).unwrap_or(0);
        let Some(at) = found.byte.filter(|_| self.shared.strike()) else {
            return self.write(&piece[sent..], fault, to).await;
        };
        match fault {
            Fault::CorruptResponse(_) | Fault::CorruptRequest(_) => {
                piece[at] ^= 1;
                self.write(&piece[sent..], fault, to).await
            }
            Fault::StallAfter(_) => {
                self.write(&piece[sent..at], fault, to).await?;
                self.mode.changed().await.map_err(|_| End::Broken)?;
                let open = |mode: &Mode| mode.fault != Fault::BlackHole;
                self.mode.wait_for(open).await.map_err(|_| End::Broken)?;
                self.write(&piece[at..], fault, to).await
            }
            Fault::TruncateAfter(_) => {
                self.write(&piece[sent..at], fault, to).await?;
                Err(End::Broken)
            }
            _ => {
                self.write(&piece[sent..at], fault, to).await?;
                Err(End::Reset)
            }
        }
    }

    /// Sends the rest of the response before, then holds or loses the one that begins.
    async fn before_response(
        &mut self,
        rest: &mut [u8],
        fault: Fault,
        to: &mut WriteHalf<'_>,
    ) -> Result<(), End> {
        self.write(rest, fault, to).await?;
        let lost = match fault {
            Fault::LoseResponse => self.shared.strike(),
            Fault::Flaky(share) => {
                let share = share.clamp(0.0, 1.0);
                self.shared.random(|random| random.random_bool(share)) && self.shared.strike()
            }
            _ => false,
        };
        if lost {
            return Err(End::Reset);
        }
        let delay = match fault {
            Fault::Delay(delay) => delay,
            Fault::Jitter(most) => most.mul_f64(self.shared.random(RngExt::random::<f64>)),
            _ => return Ok(()),
        };
        if self.shared.strike() {
            tokio::time::sleep(delay).await;
        }
        Ok(())
    }

    async fn write(&self, data: &[u8], fault: Fault, to: &mut WriteHalf<'_>) -> Result<(), End> {
        let Fault::Throttle(rate) = fault else {
            return to.write_all(data).await.map_err(|_| End::Broken);
        };
        let rate = rate.max(1);
        let per_tick = usize::try_from(rate / THROTTLE_TICKS).unwrap_or(usize::MAX);
        for slice in data.chunks(per_tick.max(1)) {
            to.write_all(slice).await.map_err(|_| End::Broken)?;
            // A slow link is what is asked for, so the time passes whatever else happens.
            let nanoseconds = (slice.len() as u64).saturating_mul(1_000_000_000) / rate;
            tokio::time::sleep(Duration::from_nanos(nanoseconds)).await;
        }
        Ok(())
    }
}
