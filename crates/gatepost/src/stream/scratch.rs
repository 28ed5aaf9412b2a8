//! Buffers that belong to a thread and are borrowed while bytes move, so that an idle connection holds none.
//! Each has one use and the uses nest in one order (plain, then received, then records), so no borrow meets another.

use std::cell::RefCell;

/// Most bytes of content that move at once.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Most bytes of TLS records that are undecided at once: a handshake message may be 64 KiB long and needs all its
/// fragments. A record of content is far shorter.
pub(crate) const UNDECIDED: usize = 64 * 1024;

/// Room for what `UNDECIDED` allows and a whole record more.
const RECEIVED: usize = UNDECIDED + 20 * 1024;

/// Room for `CHUNK` in records: four of them, each with at most 29 bytes more, and a key update before them.
const RECORDS: usize = CHUNK + 1024;

thread_local! {
    static PLAIN: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(CHUNK));
    static CIPHER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(RECEIVED));
    static SEALED: RefCell<Box<[u8]>> = RefCell::new(vec![0; RECORDS].into_boxed_slice());
}

/// Lends an empty buffer for content. What was in it is overwritten afterwards: passwords pass through here.
pub(crate) fn plain<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    PLAIN.with_borrow_mut(|buffer| {
        let result = work(buffer);
        if buffer.len() <= WIPED {
            buffer.fill(0);
        }
        buffer.clear();
        // A TLS peer's first bytes can be a little more than fits.
        buffer.shrink_to(CHUNK + 32 * 1024);
        result
    })
}

/// Content longer than this is mail, not a login, and is left for the next user of the thread's buffer to overwrite:
/// wiping it would cost as much as moving it.
const WIPED: usize = 8 * 1024;

/// Lends an empty buffer for TLS records as they come from the peer.
pub(crate) fn received<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    CIPHER.with_borrow_mut(|buffer| {
        let result = work(buffer);
        buffer.clear();
        buffer.shrink_to(RECEIVED);
        result
    })
}

/// Lends a slice to write TLS records into.
pub(crate) fn records<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    SEALED.with_borrow_mut(|buffer| work(buffer))
}
