//! Pipes that can be lent, and moving bytes through them between descriptors without copying (splice(2)).
//! Leaves to the caller when that pays and which descriptors to move between.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

/// A pipe on loan from this thread's stock.
///
/// Dropping it gives the pipe back, to the stock of whichever thread drops it, if the pipe is empty. A pipe with a
/// rest in it is closed instead: lent again, it would carry one user's mail to another.
#[derive(Debug)]
pub struct Lease {
    /// `None` only while being dropped.
    pipe: Option<Pipe>,
    held: usize,
}

impl Lease {
    /// Borrows a pipe, or makes one. `None`: there are enough of them, or the kernel gives no more; copy instead.
    pub fn take() -> Option<Self> {
        let kept = STOCK.try_with(|stock| stock.borrow_mut().pop()).ok().flatten();
        let pipe = kept.or_else(Pipe::open)?;
        Some(Self { pipe: Some(pipe), held: 0 })
    }

    /// Bytes that were filled in and not yet drained.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Moves what `from` has to give into the empty pipe; 0: end of file.
    ///
    /// # Errors
    /// Those of splice(2). `WouldBlock` always means that `from` has nothing, as a full pipe is refused here with
    /// `InvalidInput`.
    pub fn fill(&mut self, from: BorrowedFd<'_>) -> io::Result<usize> {
        let Some(pipe) = self.pipe.as_ref().filter(|_| self.held == 0) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "pipe is filled before it was drained"));
        };
        let moved = splice(from, pipe.write.as_fd(), pipe.capacity)?;
        self.held = moved;
        Ok(moved)
    }

    /// Moves what the pipe holds to `to`, as far as it takes it.
    ///
    /// # Errors
    /// Those of splice(2). `WouldBlock` always means that `to` takes nothing, as an empty pipe is answered with 0.
    pub fn drain(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        let Some(pipe) = self.pipe.as_ref().filter(|_| self.held > 0) else { return Ok(0) };
        let moved = splice(pipe.read.as_fd(), to, self.held)?;
        if moved == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        // The kernel never moves more than it was asked for; if it did, the pipe is not what it seems and stays
        // marked as holding something, so that it is closed.
        self.held = self.held.checked_sub(moved).unwrap_or(usize::MAX);
        Ok(moved)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(pipe) = self.pipe.take() else { return };
        // The kernel's own count decides as well: a wrong count here must not cost a user their privacy.
        if self.held > 0 || rustix::io::ioctl_fionread(&pipe.read) != Ok(0) {
            return;
        }
        let _ = STOCK.try_with(|stock| {
            let mut stock = stock.borrow_mut();
            if stock.len() < KEPT_PER_THREAD {
                stock.push(pipe);
            }
        });
    }
}

/// Both ends of a non-blocking pipe.
#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
}

impl Pipe {
    fn open() -> Option<Self> {
        let alive = ALIVE.fetch_add(1, Ordering::Relaxed);
        // From here on `Pipe`'s drop, or this function, takes the count back.
        let ends =
            if alive < MOST_ALIVE { pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok() } else { None };
        let Some((read, write)) = ends else {
            ALIVE.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        let enlarged = if alive < MOST_LARGE { fcntl_setpipe_size(&write, LARGE).ok() } else { None };
        let capacity = enlarged.or_else(|| fcntl_getpipe_size(&write).ok()).unwrap_or(4096);
        Some(Self { read, write, capacity })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    loop {
        match rustix::pipe::splice(from, None, to, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE) {
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

thread_local! {
    static STOCK: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// Pipes of this process, lent or kept.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Empty pipes a thread keeps: as many as it moves through at once, seldom more than two.
const KEPT_PER_THREAD: usize = 4;

/// Pipes in all. A slow reader holds one until it has taken what is in it.
const MOST_ALIVE: usize = 256;

/// Pipes that ask for `LARGE`. A user without privileges may own 16,384 pages of pipe before new pipes shrink to
/// almost nothing: 32 of 256 pages and the rest of 16 stay below that.
const MOST_LARGE: usize = 32;

/// The most an unprivileged user may ask for by default (`/proc/sys/fs/pipe-max-size`).
const LARGE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        (near, far)
    }

    fn number(lease: &Lease) -> i32 {
        lease.pipe.as_ref().unwrap().read.as_raw_fd()
    }

    #[test]
    fn bytes_pass_through_unchanged_and_in_order() {
        let (mut client, from) = pair();
        let (to, mut backend) = pair();
        client.write_all(b"hello, backend").unwrap();
        let mut lease = Lease::take().unwrap();
        assert_eq!(lease.fill(from.as_fd()).unwrap(), 14);
        assert_eq!(lease.held(), 14);
        assert_eq!(lease.drain(to.as_fd()).unwrap(), 14);
        assert_eq!(lease.held(), 0);
        let mut got = [0; 32];
        assert_eq!(backend.read(&mut got).unwrap(), 14);
        assert_eq!(&got[..14], b"hello, backend");
    }

    #[test]
    fn an_empty_pipe_is_lent_again_and_one_with_a_rest_is_not() {
        // A thread of its own, so that no other test has put a pipe into this stock.
        std::thread::spawn(|| {
            let first = Lease::take().unwrap();
            let descriptor = number(&first);
            drop(first);
            let mut again = Lease::take().unwrap();
            assert_eq!(number(&again), descriptor);

            let (mut client, from) = pair();
            client.write_all(b"secret").unwrap();
            again.fill(from.as_fd()).unwrap();
            drop(again);
            assert!(STOCK.with_borrow(Vec::is_empty));

            let (nobody, _kept_open) = pair();
            let mut fresh = Lease::take().unwrap();
            assert_eq!(fresh.held(), 0);
            let nothing = fresh.fill(nobody.as_fd()).unwrap_err();
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_pipe_with_a_rest_that_was_not_counted_is_closed_too() {
        std::thread::spawn(|| {
            let lease = Lease::take().unwrap();
            rustix::io::write(&lease.pipe.as_ref().unwrap().write, b"unseen").unwrap();
            drop(lease);
            assert!(STOCK.with_borrow(Vec::is_empty));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_filled_pipe_is_not_filled_again_and_an_empty_one_drains_nothing() {
        let (mut client, from) = pair();
        client.write_all(b"abc").unwrap();
        let mut lease = Lease::take().unwrap();
        assert_eq!(lease.drain(from.as_fd()).unwrap(), 0);
        lease.fill(from.as_fd()).unwrap();
        assert_eq!(lease.fill(from.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn the_end_of_a_stream_is_told_as_zero_and_a_gone_reader_as_an_error() {
        let (client, from) = pair();
        drop(client);
        let mut lease = Lease::take().unwrap();
        assert_eq!(lease.fill(from.as_fd()).unwrap(), 0);

        let (mut client, from) = pair();
        let (to, backend) = pair();
        client.write_all(b"late").unwrap();
        drop(backend);
        lease.fill(from.as_fd()).unwrap();
        assert_eq!(lease.drain(to.as_fd()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_thread_keeps_few_pipes() {
        std::thread::spawn(|| {
            let leases: Vec<_> = (0..KEPT_PER_THREAD + 3).filter_map(|_| Lease::take()).collect();
            assert!(leases.len() > KEPT_PER_THREAD);
            drop(leases);
            assert_eq!(STOCK.with_borrow(Vec::len), KEPT_PER_THREAD);
        })
        .join()
        .unwrap();
    }
}
