//! One direction of a relay: through the thread's buffer, or, when nothing is encrypted and a read filled that buffer,
//! through a borrowed pipe. Keeps only what the receiver did not take.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use sys::splice::Lease;
use tokio::io::Interest;

use crate::stream::scratch::{self, CHUNK};
use crate::stream::{Socket, Stream};

/// One direction.
pub(super) struct Half {
    /// What was read and not yet taken.
    rest: Vec<u8>,
    /// Held while bytes move, or while there are some in it.
    pipe: Option<Box<Lease>>,
    phase: Phase,
    /// So much comes that a pipe is worth its calls.
    bulk: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The sender has ended; the receiver must be given the rest and be told.
    Ended,
    Done,
}

/// Which end failed.
#[derive(Debug)]
pub(super) enum Fault {
    Reading(io::Error),
    Writing(io::Error),
}

impl Half {
    pub(super) fn new(rest: Vec<u8>) -> Self {
        Self { rest, pipe: None, phase: Phase::Open, bulk: false }
    }

    /// The sender will send nothing more.
    pub(super) fn ended(&self) -> bool {
        self.phase != Phase::Open
    }

    /// Moves what can be moved, at most `TURNS` times so that others get theirs. `Ready(Ok)`: the sender has ended and
    /// the receiver was told.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        moved: &AtomicU64,
    ) -> Poll<Result<(), Fault>> {
        for _ in 0..TURNS {
            ready!(self.poll_deliver(cx, to, moved)).map_err(Fault::Writing)?;
            match self.phase {
                Phase::Open => {}
                Phase::Ended => {
                    ready!(poll_tell_end(cx, to)).map_err(Fault::Writing)?;
                    self.phase = Phase::Done;
                    return Poll::Ready(Ok(()));
                }
                Phase::Done => return Poll::Ready(Ok(())),
            }
            match (from.bare(), to.bare()) {
                (Some(socket), Some(_)) if self.bulk => {
                    let filled = self.poll_fill(cx, socket);
                    if filled.is_pending() {
                        self.pipe = None;
                    }
                    ready!(filled).map_err(Fault::Reading)?;
                }
                _ => ready!(self.poll_copy(cx, from, to, moved))?,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gives the receiver what is held for it. Ready: nothing is.
    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Stream,
        moved: &AtomicU64,
    ) -> Poll<io::Result<()>> {
        if let (Some(pipe), Some(socket)) = (&mut self.pipe, to.bare()) {
            while pipe.held() > 0 {
                let count = ready!(socket.poll_try(cx, Interest::WRITABLE, |socket| pipe.drain(socket)))?;
                moved.fetch_add(count as u64, Ordering::Relaxed);
            }
        }
        if !self.rest.is_empty() {
            while !self.rest.is_empty() {
                let count = ready!(to.poll_write(cx, &self.rest))?;
                moved.fetch_add(count as u64, Ordering::Relaxed);
                self.rest.drain(..count);
            }
            self.rest = Vec::new();
        }
        to.poll_flush(cx)
    }

    /// Reads into the thread's buffer and writes from it. Pending: nothing came.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        moved: &AtomicU64,
    ) -> Poll<Result<(), Fault>> {
        self.pipe = None;
        scratch::plain(|content| {
            let count = ready!(from.poll_read(cx, content)).map_err(Fault::Reading)?;
            if count == 0 {
                self.phase = Phase::Ended;
            }
            self.bulk = count >= CHUNK;
            let mut rest = content.as_slice();
            while !rest.is_empty() {
                match to.poll_write(cx, rest) {
                    Poll::Ready(count) => {
                        let count = count.map_err(Fault::Writing)?;
                        moved.fetch_add(count as u64, Ordering::Relaxed);
                        rest = &rest[count..];
                    }
                    Poll::Pending => {
                        self.rest = rest.to_vec();
                        break;
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Fills a pipe from the sender's socket, if one is to be had. Pending: nothing came.
    fn poll_fill(&mut self, cx: &mut Context<'_>, from: &Socket) -> Poll<io::Result<()>> {
        let pipe = &mut self.pipe;
        let filled = from.poll_try(cx, Interest::READABLE, |socket| {
            // Not before there is something to move: an idle session holds no pipe.
            if pipe.is_none() {
                *pipe = Lease::take().map(Box::new);
            }
            pipe.as_mut().map(|pipe| pipe.fill(socket)).transpose()
        });
        match ready!(filled)? {
            Some(0) => self.phase = Phase::Ended,
            Some(count) => self.bulk = count >= LITTLE,
            None => self.bulk = false,
        }
        Poll::Ready(Ok(()))
    }
}

/// Passes on the end of file. A receiver that is gone needs not be told.
fn poll_tell_end(cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
    match ready!(to.poll_shutdown(cx)) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
        told => Poll::Ready(told),
    }
}

/// Moves of one direction before others get their turn: at most 16 MiB through a pipe, 1 MiB through the buffer.
const TURNS: usize = 16;

/// Less than this through a pipe, and a copy is cheaper.
const LITTLE: usize = 16 * 1024;
