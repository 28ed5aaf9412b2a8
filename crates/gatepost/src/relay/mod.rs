//! Two connections and the bytes between them, as a small task of its own that holds no buffer while idle.
//! Knows no users and no protocols.

mod half;
mod halt;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep};

use crate::stream::Stream;
use half::{Fault, Half};
pub use halt::Halt;

/// Relays in a task of its own, which owns the two connections and nothing of the session before; `after` runs in it
/// when the relay is over.
pub fn start(mut relay: Relay, after: impl FnOnce(Ended) + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        // By reference: moved into the await, it would take its room in the task twice.
        let ended = (&mut relay).await;
        after(ended);
    })
}

/// A client and its backend: a future that ends when both have, or one fails, or it is told to.
pub struct Relay {
    client: Stream,
    backend: Stream,
    to_client: Half,
    to_backend: Half,
    halt: Halt,
    /// Who closed first, once somebody has.
    first: Option<Side>,
    /// Made when somebody has closed.
    patience: Option<Box<Patience>>,
}

/// How a relay ended.
#[derive(Debug)]
pub struct Ended {
    /// Bytes the client was sent, without TLS.
    pub to_client: u64,
    /// Bytes the backend was sent, without TLS.
    pub to_backend: u64,
    /// Who ended it.
    pub by: Side,
    /// Why, if not in good order.
    pub error: Option<io::Error>,
}

/// Who ended a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client closed first, or failed.
    Client,
    /// The backend closed first, or failed.
    Backend,
    /// We did, by `Halt::stop`.
    Gate,
}

impl Relay {
    /// Prepares a relay. `to_backend` and `to_client` are bytes that were read already and belong to the other side.
    /// `halt` can end it, and counts for it.
    pub fn new(client: Stream, backend: Stream, to_backend: Vec<u8>, to_client: Vec<u8>, halt: Halt) -> Self {
        Self {
            client,
            backend,
            to_client: Half::new(to_client),
            to_backend: Half::new(to_backend),
            halt,
            first: None,
            patience: None,
        }
    }

    /// Relays in the task that awaits it.
    pub async fn run(self) -> Ended {
        self.await
    }

    /// Who ended the relay and how, once it is over.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<(Side, Option<io::Error>)> {
        if self.halt.poll_stopped(cx) {
            return Poll::Ready((Side::Gate, None));
        }
        let up = self.to_backend.poll(cx, &mut self.client, &mut self.backend, self.halt.to_backend());
        // Even when `up` failed: a backend that went away has often left a last word for the client.
        let down = self.to_client.poll(cx, &mut self.backend, &mut self.client, self.halt.to_client());
        match (up, down) {
            (Poll::Ready(Err(fault)), _) => return Poll::Ready(blame(fault, Side::Client, Side::Backend)),
            (_, Poll::Ready(Err(fault))) => return Poll::Ready(blame(fault, Side::Backend, Side::Client)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                return Poll::Ready((self.first.unwrap_or(self.ended_now()), None));
            }
            _ => {}
        }
        if self.to_backend.ended() || self.to_client.ended() {
            let first = *self.first.get_or_insert(self.ended_now());
            let (to_client, to_backend) = self.halt.moved();
            let patience = self.patience.get_or_insert_with(|| Box::new(Patience::with(first)));
            if patience.poll_lost(cx, to_client + to_backend) {
                return Poll::Ready((first, None));
            }
        }
        Poll::Pending
    }

    fn ended_now(&self) -> Side {
        if self.to_backend.ended() { Side::Client } else { Side::Backend }
    }
}

impl Future for Relay {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let Poll::Ready((by, error)) = self.poll_end(cx) else { return Poll::Pending };
        let this = &mut *self;
        // TLS has a last word: one try to say it. Everybody else learns from the closing of the socket.
        for stream in [&mut this.client, &mut this.backend] {
            if stream.is_tls() {
                let _ = stream.poll_shutdown(cx);
            }
        }
        let (to_client, to_backend) = this.halt.moved();
        Poll::Ready(Ended { to_client, to_backend, by, error })
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("client", &self.client)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Gate => "gate",
        })
    }
}

fn blame(fault: Fault, from: Side, to: Side) -> (Side, Option<io::Error>) {
    match fault {
        Fault::Reading(error) => (from, Some(error)),
        Fault::Writing(error) => (to, Some(error)),
    }
}

/// Ends a relay with one side closed on which nothing moves any more: the other side may be gone without a word, and
/// a socket that is not read does not tell.
struct Patience {
    sleep: Pin<Box<Sleep>>,
    /// Bytes moved when the sleep began.
    moved: u64,
    limit: Duration,
}

/// How long the other side may be silent once one has closed.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same once the backend has closed: a client has nothing more to say then, and its place in its
/// user's limit is wanted back.
const PATIENCE_WITH_CLIENTS: Duration = Duration::from_secs(5);

impl Patience {
    fn with(first: Side) -> Self {
        let limit = if first == Side::Backend { PATIENCE_WITH_CLIENTS } else { PATIENCE };
        Self { sleep: Box::pin(sleep(limit)), moved: 0, limit }
    }

    fn poll_lost(&mut self, cx: &mut Context<'_>, moved: u64) -> bool {
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.moved == moved {
                return true;
            }
            self.moved = moved;
            self.sleep.as_mut().reset(Instant::now() + self.limit);
        }
        false
    }
}
