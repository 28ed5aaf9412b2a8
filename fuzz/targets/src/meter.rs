//! A counting allocator: how much memory a run holds at its worst.
//!
//! A binary installs [`Meter`] as its global allocator; without that every peak reads as 0. The counts
//! are a thread's own, so tests that run beside each other do not disturb them.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with a thread's live bytes counted.
#[derive(Debug)]
pub struct Meter;

thread_local! {
    // Constant and without a destructor, so that touching them allocates nothing.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Runs `work`, and panics when it held more than 16 bytes per byte of `input` and 64 KiB at once.
pub fn within<T>(input: &[u8], work: impl FnOnce() -> T) -> T {
    let (result, peak) = peak(work);
    let limit = 16 * input.len() + 64 * 1024;
    assert!(peak <= limit, "{peak} bytes held for an input of {} (at most {limit})", input.len());
    result
}

/// Runs `work` and says how many bytes it held at its worst, beyond those held before.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    (result, usize::try_from(PEAK.get() - before).unwrap_or_default())
}

fn count(change: isize) {
    let live = LIVE.get() + change;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

// SAFETY: every call is passed on to the system's allocator as it came; counting neither allocates nor
// touches the memory.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: the caller keeps the contract of `dealloc`, and every block is the system's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks exist while the bytes are moved.
        count(signed(size));
        count(-signed(layout.size()));
        // SAFETY: the caller keeps the contract of `realloc`, and every block is the system's.
        unsafe { System.realloc(block, layout, size) }
    }
}
